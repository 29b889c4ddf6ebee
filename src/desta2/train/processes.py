"""The processes of one training run: one per device, as torchrun or accelerate starts them.

What must be done once, such as unpacking, the first process does while the others wait; then they find it
done. What is much, such as encoding clips ahead, they divide. So the same code runs with one process and with
many, on machines that share the folder of the run.
"""

from __future__ import annotations

import logging
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import DistributedType

from desta2.errors import ConfigError
from desta2.model.checkpoint import was_quantised
from desta2.model.modeling import Desta2Model

_PATIENCE = timedelta(hours=12)  # others wait while the first process encodes; torch's limit is minutes


def join(*, sharded: bool) -> PartialState:
    """Find the other processes of this run. Only the first one logs what is less than an error.

    Args:
        sharded: whether the frozen models are to be shared among them (`run.fsdp`).

    Returns:
        accelerate's state: `num_processes`, `is_main_process`, `device`, `main_process_first()`.

    Raises:
        ConfigError: there is nothing to share among.
    """
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=_PATIENCE)
    if sharded and state.num_processes == 1:
        raise ConfigError(
            "run.fsdp shares the frozen models among processes, and there is one; start several with "
            "'torchrun --nproc-per-node=N -m desta2 train …', or leave run.fsdp out"
        )
    if sharded and state.distributed_type == DistributedType.MULTI_CPU:
        raise ConfigError("run.fsdp needs GPUs: accelerate does not shard on CPUs; leave run.fsdp out")
    if not state.is_main_process:
        logging.getLogger("desta2").setLevel(logging.ERROR)
    return state


def place(model: Desta2Model, device: torch.device, *, whole: bool) -> None:
    """Put a model on the device of this process; unless `whole`, its Whisper alone.

    A model that is to be sharded may not fit whole, and its Whisper hears clips before that. A quantised LLM
    is where it was loaded, and so are the others with it.
    """
    if not was_quantised(model.llm):
        torch.nn.Module.to(model if whole else model.whisper, device)


def added_up(values: torch.Tensor, state: PartialState) -> torch.Tensor:
    """The sum of all processes' values, for each of them."""
    if state.num_processes == 1:
        return values
    shared = values.to(state.device)
    dist.all_reduce(shared)
    return shared.to(values.device)
