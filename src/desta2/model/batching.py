"""Rows of different lengths as one batch, padded on the left, which is the side that `generate` needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LeftPadded:
    """A batch of prompts.

    Attributes:
        input_ids: (batch, length). Padding repeats a row's own first id: it is masked, but penalties for
            repetition in a generation config look at all ids, and an id that the row has anyway changes
            nothing for them. A row then answers as it would alone.
        attention_mask: (batch, length), 0 at padding.
        shifts: by how much each row was moved to the right.
    """

    input_ids: Tensor
    attention_mask: Tensor
    shifts: list[int]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], device: Any = None) -> LeftPadded:
        """Pad rows of token ids, none of them empty."""
        length = max(map(len, rows))
        shifts = [length - len(row) for row in rows]
        ids = [[row[0]] * shift + list(row) for shift, row in zip(shifts, rows, strict=True)]
        mask = [[0] * shift + [1] * len(row) for shift, row in zip(shifts, rows, strict=True)]
        return cls(torch.tensor(ids, device=device), torch.tensor(mask, device=device), shifts)

    def audio_slots(self, starts: Sequence[Sequence[int]]) -> Tensor | None:
        """Row and first position of each window: (n_windows, 2); None without audio.

        Args:
            starts: of each row, the first positions of its windows before it was padded.
        """
        slots = [
            [row, start + shift]
            for row, (own, shift) in enumerate(zip(starts, self.shifts, strict=True))
            for start in own
        ]
        return torch.tensor(slots) if slots else None
