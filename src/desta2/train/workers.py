"""The DataLoader's processes, which decode audio and tokenise ahead of the device."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from desta2.errors import InputError

# As torch hands on an exception of another process: its traceback, with its own words at the end.
_HANDED_ON = re.compile(
    r"Caught (?P<name>\w+) in DataLoader worker process \d+\.\nOriginal Traceback.*\n"
    r"(?:\w+\.)*(?P=name): (?P<words>.*)\Z",
    re.DOTALL,
)


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
