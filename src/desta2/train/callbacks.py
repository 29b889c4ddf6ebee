"""What a run shows while it goes on: progress on stderr, `log.jsonl`, and TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from desta2.progress import Progress

_LOGGED = ("loss", "grad_norm", "learning_rate")


class Shown(TrainerCallback):
    """Progress on stderr, and figures in `log.jsonl`, by the first process.

    The log holds no times: it is the same however often the run was stopped.

    Args:
        path: the log.
        progress: of the steps.
    """

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the log anew: what a stopped run logged after its checkpoint will come again."""
        self._progress.move_to(state.global_step)
        self._path.write_text("")
        for logs in state.log_history:
            self._note(logs["step"], logs)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        self._progress.move_to(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Note figures."""
        self._note(state.global_step, logs or {})
        if "loss" in (logs or {}):
            note = f"loss {logs['loss']:.3f}, {logs['tokens_per_second']:,.0f} tokens/s"
            self._progress.move_to(state.global_step, note)

    def _note(self, step: int, logs: Mapping[str, Any]) -> None:
        names = _LOGGED if "loss" in logs else [name for name in logs if name.startswith("eval_")]
        if names:
            with self._path.open("a") as lines:
                lines.write(json.dumps({"step": step, **{name: logs[name] for name in names}}) + "\n")


def tensorboard(folder: Path, step: int) -> TensorBoardCallback:
    """Writes figures for TensorBoard; what a stopped run wrote after `step` is hidden.

    Args:
        folder: gets the event files.
        step: the last step that counts.
    """
    from tensorboardX import SummaryWriter

    return TensorBoardCallback(SummaryWriter(str(folder), purge_step=step + 1))


class Evaluated(TrainerCallback):
    """Has the model evaluated whenever a checkpoint is due, so that the best one is always at hand."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for an evaluation."""
        control.should_evaluate = control.should_save
