"""What a clip is known by: a digest of its audio file, and the part that is taken of it.

A corpus that moved, or a second copy of a clip, is therefore not encoded again. So that a known file need not
be read either, its path, size and time, the stamp, are kept beside the digest: a file that changes behind an
unchanged time and size would not be noticed.
"""

from __future__ import annotations

import hashlib
import json
import os

from desta2.errors import AudioError
from desta2.train.dataset import ClipRef


class ClipKeys:
    """Digests of clips; a file whose size and time are known is not read again."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}

    def of(self, clip: ClipRef) -> str:
        """The digest of a clip's file and of the part that is taken of it.

        Raises:
            AudioError: its file cannot be read.
        """
        stamp = stamp_of(clip)
        if stamp not in self._keys:
            self._keys[stamp] = _digest(clip)
        return self._keys[stamp]

    def learn(self, stamp: str, key: str) -> None:
        """Take over what an index tells."""
        self._keys[stamp] = key


def stamp_of(clip: ClipRef) -> str:
    """Path, size and time of a clip's file, and the part that is taken of it.

    Raises:
        AudioError: there is no such file.
    """
    try:
        stat = os.stat(clip.path)
    except OSError as error:
        raise _unreadable(clip, error) from error
    path = os.path.abspath(clip.path)
    return json.dumps([path, stat.st_size, stat.st_mtime_ns, clip.start, clip.end])


def _digest(clip: ClipRef) -> str:
    try:
        with open(clip.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise _unreadable(clip, error) from error
    digest.update(json.dumps([clip.start, clip.end]).encode())
    return digest.hexdigest()[:40]


def _unreadable(clip: ClipRef, error: OSError) -> AudioError:
    return AudioError(f"{clip.path}: {error.strerror}; training needs clips as local files")
