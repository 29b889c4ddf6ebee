"""Examples → one batch, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from desta2.train.dataset import IGNORED, Example


@dataclass(frozen=True)
class Collator:
    """Stacks examples for `Desta2Model.forward`.

    Attributes:
        key: what the clips are given as: "taps" or "input_features".
    """

    key: str

    def __call__(self, rows: Sequence[tuple[Example, list[Tensor]]]) -> dict[str, Tensor]:
        """Rows → `input_ids`, `attention_mask`, `labels` (batch, length), `audio_slots` (n_audio, 2), and
        `taps` (n_taps, n_audio, T, d) or `input_features` (n_audio, n_mels, frames)."""
        examples = [example for example, _ in rows]
        length = max(len(example.input_ids) for example in examples)

        def pad(values: list[int], fill: int) -> list[int]:
            return values + [fill] * (length - len(values))

        slots = [[row, start] for row, example in enumerate(examples) for start in example.slots]
        heard = [clip for _, clips in rows for clip in clips]
        return {
            "input_ids": torch.tensor([pad(e.input_ids, 0) for e in examples]),
            "attention_mask": torch.tensor([pad([1] * len(e.input_ids), 0) for e in examples]),
            "labels": torch.tensor([pad(e.labels, IGNORED) for e in examples]),
            "audio_slots": torch.tensor(slots),
            self.key: torch.stack(heard, dim=1 if self.key == "taps" else 0).float(),
        }
