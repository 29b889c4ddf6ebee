"""Checkpoints of a training run: what is trained, and what training needs to go on.

The weights of a checkpoint are a model folder, the frozen models only named. The optimiser's state is kept
whole and by parameter names: a run that was begun on one device can go on with several, or sharded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from desta2.model import lora
from desta2.model.checkpoint import ADAPTER_FILE, read_tensors

FOLDER = "checkpoints"
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint: one that was cut short lacks the state, which is written last."""
    whole = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _is_whole(path)]
    return max(whole, key=step_of, default=None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        state_of(checkpoint)
    except (FileNotFoundError, ValueError):
        return False
    return all((checkpoint / name).is_file() for name in (ADAPTER_FILE, OPTIMIZER_NAME, SCHEDULER_NAME))


def step_of(checkpoint: Path) -> int:
    """Optimiser steps that led to a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def state_of(checkpoint: Path) -> dict[str, Any]:
    """The Trainer's state: `global_step`, `log_history`, `best_global_step`, …

    Raises:
        FileNotFoundError, ValueError: the checkpoint was cut short.
    """
    state: dict[str, Any] = json.loads((checkpoint / TRAINER_STATE_NAME).read_text())
    return state


def best(last: Path) -> Path:
    """The checkpoint with the best evaluation up to `last`; `last` itself where there was none."""
    step = state_of(last).get("best_global_step")
    found = last if step is None else last.with_name(f"{PREFIX_CHECKPOINT_DIR}-{step}")
    return found if (found / ADAPTER_FILE).is_file() else last


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The trained weights, by their names in the model.

    Raises:
        CheckpointError: a file cannot be read.
    """
    state = {f"adapter.{name}": t for name, t in read_tensors(checkpoint / ADAPTER_FILE).items()}
    if (checkpoint / lora.WEIGHTS_FILE).is_file():
        matrices = read_tensors(checkpoint / lora.WEIGHTS_FILE)
        state |= {f"llm.{name}": t for name, t in lora.named_as_in_llm(matrices).items()}
    return state


def gather_weights(model: torch.nn.Module) -> dict[str, Tensor]:
    """The trained weights of a model that is sharded, whole. All processes must call this."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {
        name: tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
        for name, tensor in model.state_dict().items()
        if name in trained or name.startswith("adapter.")
    }


def save_progress(checkpoint: Path, model: Any, optimizer: Any, schedule: Any, writes: bool) -> None:
    """Write the state of optimiser and learning rate. All processes must call this; one of them `writes`."""
    state = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    if writes:
        torch.save(state, checkpoint / OPTIMIZER_NAME)
        torch.save(schedule.state_dict(), checkpoint / SCHEDULER_NAME)


def load_progress(checkpoint: Path, model: Any, optimizer: Any, schedule: Any) -> None:
    """Take up the state of optimiser and learning rate. All processes must call this."""
    state = torch.load(checkpoint / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
    set_optimizer_state_dict(model, optimizer, state, options=_WHOLE)
    schedule.load_state_dict(torch.load(checkpoint / SCHEDULER_NAME, weights_only=True))
