"""Many tasks side by side, one thread each, in processes that die with the one that started them.

The trade-off: processes are spawned and load everything anew, seconds for tasks of minutes; in return each
has an interpreter, a thread and a log of its own. A run that is killed leaves no orphans, which would still
hold the locks of what the next start wants to go on with. The first task that fails stops the rest:
tasks that are under way come to their end, which keeps their work.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr
from pathlib import Path
from typing import Protocol, TypeVar

from desta2.data.pool import die_with_parent
from desta2.errors import RunError
from desta2.progress import Progress


class Setup(Protocol):
    """What all tasks share."""

    @property
    def folder(self) -> Path:
        """Where everything is; gets `logs/`."""


S = TypeVar("S", bound=Setup)
S_contra = TypeVar("S_contra", bound=Setup, contravariant=True)


class Task(Protocol[S_contra]):
    """Something to do once; can be pickled."""

    @property
    def name(self) -> str:
        """For the log."""

    def is_done(self, setup: S_contra) -> bool:
        """Whether nothing is left to do."""

    def perform(self, setup: S_contra) -> None:
        """Do it, going on where it was stopped."""


def perform_all(tasks: Sequence[Task[S]], setup: S, processes: int, doing: str) -> None:
    """Perform the tasks that are not done, in order, some at a time.

    Args:
        tasks: none needs another of them.
        setup: that they share.
        processes: how many at a time.
        doing: what the progress bar says.

    Raises:
        RunError: a process died.
        Desta2Error: whatever a task raises; the others are kept.
    """
    todo = [task for task in tasks if not task.is_done(setup)]
    if not todo:
        return
    context = multiprocessing.get_context("spawn")
    with (
        Progress(len(tasks), doing, done=len(tasks) - len(todo)) as progress,
        ProcessPoolExecutor(processes, mp_context=context, initializer=_begin) as pool,
    ):
        waiting: set[Future[str]] = {pool.submit(_perform, task, setup) for task in todo}
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    progress.advance(note=future.result())
        except BrokenProcessPool as error:
            raise RunError(
                f"a process died while {doing}, perhaps for lack of memory ({setup.folder / 'logs'}); what "
                "is finished is kept: run again to go on, with fewer --processes"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """One thread for each process, and none that outlives the one that started it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from desta2.commands import quiet_transformers

    torch.set_num_threads(1)
    quiet_transformers()
    die_with_parent()


def _perform(task: Task[S], setup: S) -> str:
    """In a worker: the task, its reports in a log of its own; tells its name and minutes."""
    logs = setup.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (logs / f"{task.name}.log").open("a", encoding="utf-8") as log, redirect_stderr(log):
        task.perform(setup)
    return f"{task.name}: {(time.monotonic() - started) / 60:.1f} min"
