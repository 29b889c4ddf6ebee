"""Rows of different lengths as one batch, padded on the left, which is the side that `generate` needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from desta2.model.prompt import Prompt


@dataclass(frozen=True)
class LeftPadded:
    """A batch of prompts.

    Attributes:
        input_ids: (batch, length), 0 at padding.
        attention_mask: (batch, length), 0 at padding.
        shifts: by how much each row was moved to the right.
    """

    input_ids: Tensor
    attention_mask: Tensor
    shifts: list[int]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], device: Any = None) -> LeftPadded:
        """Pad rows of token ids."""
        length = max(map(len, rows))
        shifts = [length - len(row) for row in rows]
        ids = [[0] * shift + list(row) for shift, row in zip(shifts, rows, strict=True)]
        mask = [[0] * shift + [1] * len(row) for shift, row in zip(shifts, rows, strict=True)]
        return cls(torch.tensor(ids, device=device), torch.tensor(mask, device=device), shifts)

    def audio_slots(self, prompts: Sequence[Prompt]) -> Tensor | None:
        """Row and first position of each clip of the padded prompts: (n_audio, 2); None without clips."""
        slots = [
            [row, start + shift]
            for row, (prompt, shift) in enumerate(zip(prompts, self.shifts, strict=True))
            for start, length in prompt.audio_slots
            if length
        ]
        return torch.tensor(slots) if slots else None
