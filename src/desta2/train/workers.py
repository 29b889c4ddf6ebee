"""The DataLoader's processes, which decode audio and tokenise ahead of the device."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from types import FrameType

from desta2.errors import InputError

# As torch hands on an exception of another process: its traceback, with its own words at the end.
_HANDED_ON = re.compile(
    r"Caught (?P<name>\w+) in DataLoader worker process \d+\.\nOriginal Traceback.*\n"
    r"(?:\w+\.)*(?P=name): (?P<words>.*)\Z",
    re.DOTALL,
)


class Spared:
    """Spares loader processes from Ctrl-C and SIGTERM while the training process still needs them.

    Schedulers and terminals may send a signal to all processes of a job; a loader process that died of it
    would end the run before its checkpoint. Within the context, which the training process enters, they take
    no notice. After it SIGTERM ends them, as Python ends at its exit what then still runs. Give it to
    DataLoaders as `worker_init_fn`.
    """

    def __init__(self) -> None:
        self._over = multiprocessing.RawValue(ctypes.c_bool, False)  # seen by all of them

    def __enter__(self) -> Spared:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.value = True

    def __call__(self, number: int) -> None:
        """Begin a loader process; `number` is torch's for it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._heed)

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if self._over.value:
            os._exit(0)


@contextlib.contextmanager
def errors_of_workers() -> Iterator[None]:
    """Lets mistakes in the data that such a process finds read as if they were found here.

    Raises:
        InputError: of the kind, and in the words, of the one that was raised there.
    """
    try:
        yield
    except InputError as error:
        if (found := _HANDED_ON.match(str(error))) is None:
            raise
        raise type(error)(found["words"].strip()) from error
