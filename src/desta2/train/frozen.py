"""Proof that training changed nothing but what it was to train.

Every value of the frozen weights goes into a sum of their bit patterns, before and after. That reads all of
an 8-billion-parameter LLM in seconds; a cryptographic hash would need minutes, and guards against intent,
which is not the danger here. Of a sharded model each process proves its own part.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from desta2.errors import RunError

_PATTERNS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # bytes of a value → its bits


@torch.no_grad()
def checksums(model: nn.Module) -> dict[str, int]:
    """The sum of bit patterns of every parameter that is not trained."""
    sums = {}
    # Not `named_parameters()`: after an evaluation those of a sharded model may still be whole.
    for name, parameter in model.state_dict(keep_vars=True).items():
        if isinstance(parameter, nn.Parameter) and not parameter.requires_grad:
            values = parameter.to_local() if isinstance(parameter, DTensor) else parameter.data
            sums[name] = int(values.view(_PATTERNS[values.element_size()]).sum(dtype=torch.int64))
    return sums


class FrozenGuard(TrainerCallback):
    """Raises at the end of training if a frozen weight is not what it was."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Remember."""
        self._before = checksums(model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Compare.

        Raises:
            RunError: some weights changed; they are named.
        """
        after = checksums(model)
        changed = [name for name, value in self._before.items() if after.get(name) != value]
        if changed:
            more = f" and {len(changed) - 3} others" if len(changed) > 3 else ""
            raise RunError(
                f"training changed weights that must stay frozen: {', '.join(changed[:3])}{more}; no model "
                "is written. This is a defect of desta2 or of a callback: please report it"
            )
