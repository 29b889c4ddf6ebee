"""Files that several processes append to and any may die over: numbers in one, their index in another.

Each process writes a pair of files of its own, so nobody locks. An index entry is written after the numbers
that it names are on the disk (fsync), as one write that ends in a newline: whatever a kill leaves behind is
either not in the index, or a last line without its newline, which readers pass over. Nothing is ever changed
in place. The trade-off: what a killed process had written without an entry stays as dead bytes until the
folder is deleted; that is at most one batch a kill.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_INDEX, _NUMBERS = ".index.jsonl", ".bin"


class Appender:
    """This process's own files in a folder; made at the first entry.

    A process that is forked from a writer, or gets one as a pickle, has files of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._opened: tuple[int, int, int] | None = None  # by which process, and its two files
        self._end = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def add(self, blocks: Sequence[bytes], entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write blocks, and then one entry for each, with `file`, `at` and `size` in bytes put in.

        Raises:
            OSError: the disk refuses; no entry is written then.
        """
        data, index = self._files()
        placed = []
        for block, entry in zip(blocks, entries, strict=True):
            _write(data, block)
            placed.append({**entry, "file": self._name, "at": self._end, "size": len(block)})
            self._end += len(block)
        if any(blocks):
            os.fsync(data)
        _write(index, "".join(json.dumps(entry) + "\n" for entry in placed).encode())
        return placed

    def _files(self) -> tuple[int, int]:
        if self._opened is None or self._opened[0] != os.getpid():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._name = f"{os.getpid()}-{secrets.token_hex(6)}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            names = (self._folder / f"{self._name}{suffix}" for suffix in (_NUMBERS, _INDEX))
            data, index = (os.open(name, flags, 0o666) for name in names)
            self._opened = os.getpid(), data, index
        _, data, index = self._opened
        self._end = os.fstat(data).st_size  # after a write that failed half-way, too
        return data, index


class Follower:
    """Reads the entries of all processes, the old ones and those that come; picklable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}  # bytes of each index that are read

    def news(self) -> list[dict[str, Any]]:
        """Entries that were written since the last call."""
        entries: list[dict[str, Any]] = []
        for file in sorted(self._folder.glob(f"*{_INDEX}")):
            start = self._read.get(file.name, 0)
            if file.stat().st_size == start:
                continue
            with open(file, "rb") as lines:
                lines.seek(start)
                whole = lines.read().rpartition(b"\n")
            self._read[file.name] = start + len(whole[0]) + len(whole[1])
            entries += [json.loads(line) for line in whole[0].splitlines() if line.strip()]
        return entries


def read_block(folder: Path, entry: dict[str, Any]) -> bytearray | None:
    """The numbers of an entry; None where they are not there (a copy that was cut, or a deleted file)."""
    block = bytearray(entry["size"])
    try:
        with open(folder / f"{entry['file']}{_NUMBERS}", "rb", buffering=0) as data:
            data.seek(entry["at"])
            got = data.readinto(block)
    except FileNotFoundError:
        return None
    return block if got == len(block) else None


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _write(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
