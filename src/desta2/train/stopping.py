"""Ways to end a run before its last step.

SIGTERM, which Slurm and other schedulers send ahead of a kill, and Ctrl-C let the step that runs come to its
end, write a checkpoint and leave. All processes have to leave after the same step, so each step ends with
asking the others: one number over the wire, next to nothing beside a step of an 8-billion-parameter LLM.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from desta2.errors import RunError

_SAME = 1.0  # seconds in which a second Ctrl-C is the first one, passed on by a launcher


class Terminated(RunError):
    """SIGTERM ended the run after a checkpoint; it can go on from there."""

    exit_code = 143  # as if the signal had ended the process at once


class Stop(TrainerCallback):
    """Ends training after the step that runs when SIGTERM or Ctrl-C arrives. A second Ctrl-C ends it at once.

    A context manager: signals are caught inside, in the main thread.
    """

    def __init__(self) -> None:
        self._signal = 0
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            caught = (signal.SIGTERM, signal.SIGINT)
            self._before = {number: signal.signal(number, self._note) for number in caught}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signal == number == signal.SIGINT and now - self._since > _SAME:
            raise KeyboardInterrupt
        if not self._signal:
            self._signal, self._since = number, now

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop, if any process was told to. A due evaluation is left out: time may be short."""
        self._signal = _highest(self._signal, args.device)
        if self._signal:
            control.should_save = control.should_training_stop = True
            control.should_evaluate = False

    def leave(self, step: int) -> None:
        """After training: what the signal asked for.

        Raises:
            KeyboardInterrupt: Ctrl-C came.
            Terminated: SIGTERM came.
        """
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal:
            raise Terminated(
                f"stopped by SIGTERM after step {step}, which is saved; run the same command again to go on"
            )


def _highest(number: int, device: torch.device) -> int:
    """The largest of all processes' numbers."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return number
    shared = torch.tensor(number, device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return int(shared)


def is_out_of_patience(state: Mapping[str, Any], patience: int | None) -> bool:
    """Whether the last `patience` evaluations brought nothing better; None waits for ever.

    Args:
        state: the Trainer's state.
        patience: evaluations to wait.
    """
    best = state.get("best_global_step") or 0
    return patience is not None and sum(step > best for step in _evaluated(state["log_history"])) >= patience


def _evaluated(log: Sequence[Mapping[str, Any]]) -> set[int]:
    return {logs["step"] for logs in log if any(name.startswith("eval_") for name in logs)}


class StopEarly(TrainerCallback):
    """Ends training when evaluations get no better any more.

    Looks when a checkpoint is written: then the newest evaluation has been compared with the best.

    Args:
        patience: evaluations to wait.
    """

    def __init__(self, patience: int | None) -> None:
        self._patience = patience

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop, if enough evaluations have passed."""
        if is_out_of_patience(vars(state), self._patience):
            control.should_training_stop = True
