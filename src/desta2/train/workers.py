"""The DataLoader's processes, which decode audio and tokenise ahead of the device."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Iterator

from desta2.errors import InputError

# As torch hands on an exception of another process: its traceback, with its own words at the end.
_HANDED_ON = re.compile(
    r"Caught (?P<name>\w+) in DataLoader worker process \d+\.\nOriginal Traceback.*\n"
    r"(?:\w+\.)*(?P=name): (?P<words>.*)\Z",
    re.DOTALL,
)


def heed_the_parent_alone(number: int) -> None:
    """Leave it to the training process to answer Ctrl-C and SIGTERM, which may reach all processes of a job.

    A loader's process that died of one would end the run before its checkpoint. One that the training process
    itself ends has to go, so SIGTERM cannot simply be ignored. Where signals do not tell who sent them (not
    on Linux), SIGTERM ends the process as usual.

    Args:
        number: of this process, as torch gives it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_await_the_parent, daemon=True).start()


def _await_the_parent() -> None:
    parent = multiprocessing.parent_process()
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if parent is None or sender == parent.pid:
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
