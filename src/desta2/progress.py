"""How long work shows where it stands: bars on a terminal, a plain line every few seconds elsewhere.

Everything goes to stderr, so that stdout holds results only. Rich draws the bars; the plain lines are ours,
because a log file wants whole lines at a steady, slow pace and no control characters.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

LINE_EVERY = 5.0
"""Seconds between two plain lines."""


@lru_cache(maxsize=1)
def stderr_console() -> Console:
    """The one console on stderr: bars and log lines have to share it, or they overwrite each other."""
    from rich.console import Console

    return Console(stderr=True)


def track(iterable: Iterable[T], total: int | None = None, description: str = "") -> Iterator[T]:
    """Yield the items of `iterable` and show how many are done.

    Args:
        iterable: what to go through.
        total: how many items there are; taken from `len(iterable)` if it has one, otherwise unknown.
        description: what is being done, a few words.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(total, description) as progress:
        for item in iterable:
            yield item
            progress.advance()


class Progress:
    """Progress of work that is no simple loop; a context manager.

    Args:
        total: units of work, or None where it is not known.
        description: what is being done, a few words.
        line_every: seconds between two plain lines, where stderr is not a terminal.
        done: units that an earlier run did; they say nothing about the speed of this one.
    """

    def __init__(
        self, total: int | None, description: str, *, line_every: float = LINE_EVERY, done: int = 0
    ) -> None:
        self._done = done
        self._view: _Bar | _Lines
        if stderr_console().is_terminal:
            self._view = _Bar(total, description, done)
        else:
            self._view = _Lines(total, description, line_every, done)

    def __enter__(self) -> Progress:
        self._view.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.stop(finished=kind is None)

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count `n` more units as done; `note` (say, the loss) stands beside until the next one."""
        self.move_to(self._done + n, note)

    def move_to(self, done: int, note: str | None = None) -> None:
        """Set how many units are done in all; `note` as for `advance`."""
        self._done = done
        self._view.show(done, note)


class _Bar:
    """One bar on the terminal."""

    def __init__(self, total: int | None, description: str, done: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        self._rich = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=stderr_console(),
        )
        self._task = self._rich.add_task(description, start=False, total=total, completed=done, note="")

    def start(self) -> None:
        self._rich.start_task(self._task)
        self._rich.start()

    def show(self, done: int, note: str | None) -> None:
        self._rich.update(self._task, completed=done)
        if note is not None:
            self._rich.update(self._task, note=note)

    def stop(self, finished: bool) -> None:
        self._rich.stop()


class _Lines:
    """Plain lines: one after `line_every` seconds at the soonest, and one at the end."""

    def __init__(self, total: int | None, description: str, line_every: float, done: int) -> None:
        self._total = total
        self._before = done
        self._description = description
        self._line_every = line_every
        self._done = done
        self._note = ""

    def start(self) -> None:
        self._started = self._last_line = time.monotonic()

    def show(self, done: int, note: str | None) -> None:
        self._done = done
        if note is not None:
            self._note = note
        now = time.monotonic()
        if now - self._last_line >= self._line_every:
            self._last_line = now
            self._write(self._remaining(now - self._started))

    def stop(self, finished: bool) -> None:
        took = clock(time.monotonic() - self._started)
        self._write(f"done in {took}" if finished else f"stopped after {took}")

    def _remaining(self, elapsed: float) -> str:
        here = self._done - self._before
        if self._total is None or here <= 0:
            return f"{clock(elapsed)} so far"
        left = elapsed / here * max(0, self._total - self._done)
        return f"about {clock(left)} left"

    def _write(self, state: str) -> None:
        count = str(self._done)
        if self._total:
            count += f"/{self._total} ({100 * self._done // self._total} %)"
        parts = [count, state, self._note]
        line = f"{self._description}: " + ", ".join(part for part in parts if part)
        stderr_console().print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as people read them: `0:07`, `3:20`, `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
