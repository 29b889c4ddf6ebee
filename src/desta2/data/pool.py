"""Work on many records side by side: whole processes, results in the order of the records.

Trade-off: processes with one-thread sessions each, instead of threads within one: the work is small, and
more threads than cores slow it down a lot. They are spawned, not forked, since onnxruntime's sessions do not
survive a fork: a script that uses this needs the usual `if __name__ == "__main__":`. Results come in order,
so that a stage that is stopped goes on where it was, and only a few records are in memory at a time.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from desta2.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")

_BATCH = 4  # items that a process takes at a time


def cores() -> int:
    """Cores that this process may use: a container or a batch system may give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def die_with_parent() -> None:
    """End this spawned process as soon as the one that started it is gone.

    A worker of a pool does not notice that: after a kill -9 it would wait for ever, with its memory and its
    locks.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_await_end_of, args=(parent,), daemon=True).start()


def _await_end_of(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], processes: int, doing: str
) -> Generator[Result, None, None]:
    """Apply `work` to every item in several processes; results in order, only a few items in memory.

    Args:
        work: a function that can be pickled, as can its items and results.
        items: taken from as they are needed.
        processes: how many; 1 works in this process.
        doing: names the work where a process dies, such as "annotating".

    Raises:
        RunError: a process died.
    """
    if processes == 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[list[Result]]] = deque()
    source = iter(items)
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)
    try:
        while batch := list(itertools.islice(source, _BATCH)):
            waiting.append(pool.submit(_work_batch, work, batch))
            if len(waiting) > 2 * processes:  # enough to keep every process busy
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RunError(
            f"a process died while {doing}, perhaps for lack of memory: run again to go on, "
            "with fewer processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _work_batch(work: Callable[[Item], Result], batch: list[Item]) -> list[Result]:
    return [work(item) for item in batch]


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which winds up the others
    die_with_parent()
