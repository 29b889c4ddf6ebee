"""The processes of one training run: one per device, as torchrun or accelerate starts them.

What must be done once, such as caches, the first process does while the others wait; then they find it done.
So the same code runs with one process and with many, on machines that share the folder of the run.
"""

from __future__ import annotations

from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from desta2.errors import ConfigError
from desta2.model.modeling import Desta2Model
from desta2.train.config import RunConfig

_PATIENCE = timedelta(hours=12)  # others wait while the first process encodes; torch's limit is minutes


def join(run: RunConfig) -> PartialState:
    """Find the other processes of this run.

    Returns:
        accelerate's state: `num_processes`, `is_main_process`, `device`, `main_process_first()`.

    Raises:
        ConfigError: `run.fsdp` is set where there is nothing to share among.
    """
    state = PartialState(cpu=not torch.accelerator.is_available(), timeout=_PATIENCE)
    if run.fsdp and state.num_processes == 1:
        raise ConfigError(
            "run.fsdp shares the frozen models among processes, and there is one; start several with "
            "'torchrun --nproc-per-node=N -m desta2 train …', or leave run.fsdp out"
        )
    if run.fsdp and state.distributed_type == DistributedType.MULTI_CPU:
        raise ConfigError("run.fsdp needs GPUs: accelerate does not shard on CPUs; leave run.fsdp out")
    return state


def place(model: Desta2Model, run: RunConfig, device: torch.device) -> None:
    """Put a model on the device of this process.

    With FSDP it stays where it is: whole, it may not fit. Quantised LLMs are where they were loaded.
    """
    if not run.fsdp and getattr(model.llm, "hf_quantizer", None) is None:
        torch.nn.Module.to(model, device)
