"""Examples → one batch, padded on the right."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from desta2.train.dataset import IGNORED, Example


@dataclass(frozen=True)
class Collator:
    """Stacks examples for `Desta2Model.forward`.

    Attributes:
        key: what the clips are given as: "taps" or "input_features".
    """

    key: str

    def __call__(self, rows: Sequence[tuple[Example, list[Tensor]]]) -> dict[str, Any]:
        """Rows → a batch.

        Returns:
            `input_ids`, `attention_mask`, `labels` (batch, length); `audio_slots` (n_audio, 2), one for each
            window of each clip; `frames` (n_audio,) where the examples tell them; `taps` (n_taps, n_audio, T,
            d_encoder), padded with zeros to the longest, or `input_features` (n_audio, n_mels, frames). With
            key "taps", windows that the cache does not have come as `input_features` beside the taps of the
            others, and `unheard` says which they are: see `features.completed`.
        """
        examples = [example for example, _ in rows]
        length = max(len(example.input_ids) for example in examples)

        def pad(values: list[int], fill: int) -> list[int]:
            return values + [fill] * (length - len(values))

        slots = [[row, start] for row, example in enumerate(examples) for start in example.slots]
        batch: dict[str, Any] = {
            "input_ids": torch.tensor([pad(e.input_ids, 0) for e in examples]),
            "attention_mask": torch.tensor([pad([1] * len(e.input_ids), 0) for e in examples]),
            "labels": torch.tensor([pad(e.labels, IGNORED) for e in examples]),
            "audio_slots": torch.tensor(slots),
        }
        if frames := [frame for example in examples for frame in example.frames]:
            batch["frames"] = torch.tensor(frames)
        heard = [window for _, windows in rows for window in windows]
        return batch | (self._with_unheard(rows, heard) if self.key == "taps" else _features(heard))

    @staticmethod
    def _with_unheard(rows: Sequence[tuple[Example, list[Tensor]]], heard: list[Tensor]) -> dict[str, Any]:
        starts = itertools.accumulate((len(windows) for _, windows in rows), initial=0)
        unheard = [
            replace(own, first=start + own.first)
            for start, (example, _) in zip(starts, rows, strict=False)
            for own in example.unheard
        ]
        waiting = {own.first + i for own in unheard for i in range(len(own.frames))}
        found = [window for place, window in enumerate(heard) if place not in waiting]
        batch: dict[str, Any] = {} if not found else {"taps": stacked(found)}
        if unheard:
            batch |= _features([heard[place] for place in sorted(waiting)]) | {"unheard": unheard}
        return batch


def _features(windows: list[Tensor]) -> dict[str, Tensor]:
    return {"input_features": torch.stack(windows).float()}


def stacked(windows: list[Tensor]) -> Tensor:
    """Taps (n_taps, T, d) of windows of different T → (n_taps, n_windows, longest T, d), in their type.

    The adapter makes float32 of them, on its device: half the bytes to move.
    """
    longest = max(window.shape[1] for window in windows)
    return torch.stack([F.pad(own, (0, 0, 0, longest - own.shape[1])) for own in windows], dim=1)
