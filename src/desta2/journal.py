"""Resumable writing: what is appended stays, whatever happens to the process.

Trade-off: each record is one `write` to the operating system, so it survives a kill -9 of the process, but
`fsync` comes only every SYNC_APPENDS records or SYNC_SECONDS seconds (looked at when a record is appended),
when a shard is full, and at the end. A power cut can therefore lose the records since the last fsync; their
ids are then simply not done and are made again. Finished files are never half there: they get their name
by an atomic rename after an fsync. What is done is known by id, in a table of bounded memory (`ids.py`).

Two layouts, chosen by the path: `NAME.jsonl` is one file, written as `NAME.jsonl.partial` and renamed by
`finish()`; any other path is a folder of `part-NNNNN.jsonl`, of which the last is `.partial` while it is
written. Work added to a finished single file renames it back to `.partial` at the first append: a rename is
atomic, so at every moment exactly one of the two names holds all the records, nothing is copied, and
readers do not take the growing file for a finished one. A rerun that has nothing to add changes nothing.
"""

import contextlib
import io
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic_core import from_json

from desta2.errors import InputError, RecordError, RunError
from desta2.ids import IdTable
from desta2.lines import PARTIAL, numbered_lines, part_files, sync_folder
from desta2.records import Record, record_id, to_line

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

SYNC_APPENDS = 1000
SYNC_SECONDS = 10.0


class Journal:
    """Append records to a file or folder, each id once, over as many runs as it takes. One thread only.

    `with Journal(path) as journal:` takes an exclusive lock, repairs the torn end that a kill may have left,
    and loads the finished ids into `journal.done`. Leaving the block normally calls `finish()`; leaving it
    by an exception keeps the partial state, and the next run continues from there.

    Raises InputError where the path cannot be used or another process writes to it, RecordError where a
    file that is there holds a line without id, an id twice, or damage that is not a torn end.
    """

    def __init__(self, path: str | Path, shard_size: int = 10_000) -> None:
        self._path = Path(path)
        self._single = self._path.suffix == ".jsonl"
        if shard_size < 1:
            raise InputError(f"given shard_size {shard_size}, expected 1 or more")
        if self._path.suffix in {".gz", ".zst", ".json", PARTIAL}:
            raise InputError(f"cannot write {path} resumably: expected NAME.jsonl or a folder")
        self._shard_size = sys.maxsize if self._single else shard_size
        self._done = IdTable()
        self._first: dict[str, Any] | None = None
        self._broken = False  # an append did not come to its end: the file may have a torn line
        self._finished: list[Path] = []
        self._file: io.FileIO | None = None  # the active shard, under its partial name
        self._shard = self._path  # the name that the active shard will get
        self._count = self._unsynced = 0  # records in the active shard; of these since the last fsync
        self._synced = 0.0
        self._lock: tuple[Path, int] | None = None

    @property
    def done(self) -> AbstractSet[str]:
        """The ids that are written."""
        return self._done.keys()

    @property
    def first(self) -> Mapping[str, Any] | None:
        """The first record that an earlier run left here: it tells how the output was begun."""
        return self._first

    def __enter__(self) -> Self:
        wrong_kind = self._path.is_dir() if self._single else self._path.is_file()
        if wrong_kind:
            raise InputError(
                f"{self._path} is a {'folder' if self._single else 'file'}: give another output path"
            )
        folder = self._path.parent if self._single else self._path
        lock_path = folder / (f".{self._path.name}.lock" if self._single else ".lock")
        self._done, self._first, self._broken = IdTable(), None, False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_path, _lock(lock_path, self._path)
            self._load()
        except BaseException as error:
            self._close()
            if isinstance(error, OSError):
                raise InputError(f"cannot write to {self._path}: {error.strerror}") from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._close()

    def append(self, record: Record | Mapping[str, Any]) -> None:
        """Write one record; when this returns, it survives the death of the process.

        RunError for an id that is done, or where the disk refuses; RecordError for a record without id.
        """
        key = record_id(record)
        if key in self._done:
            raise RunError(f"the id {key!r} is already in {self._path}: leave out the ids in journal.done")
        line = to_line(record)
        self._check_usable()
        self._broken = True
        with self._disk_errors():
            file = self._file or self._start_shard()
            rest = memoryview(line)
            while rest:
                rest = rest[file.write(rest) :]
            self._done.setdefault(key, len(self._done))
            self._count += 1
            self._unsynced += 1
            if self._count >= self._shard_size:
                self._seal(file)
            elif self._unsynced >= SYNC_APPENDS or time.monotonic() - self._synced >= SYNC_SECONDS:
                self._sync(file)
        self._broken = False

    def finish(self) -> None:
        """Give the active shard its final name. With nothing ever appended, leave one empty file.

        The empty file lets a reader tell "finished, nothing to write" from "never finished".
        """
        self._check_usable()
        with self._disk_errors():
            if self._file is None and not self._finished:
                self._start_shard()
            if self._file is not None:
                self._seal(self._file)

    def _check_usable(self) -> None:
        if self._lock is None:
            raise RunError(
                f"the journal on {self._path} is not open: use it as `with Journal(path) as journal:`"
            )
        if self._broken:
            raise RunError(
                f"an earlier append to {self._path} was cut short: run again to repair it and go on"
            )

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"cannot write to {self._path}: {error.strerror}; what is written is kept: run again to go on"
            ) from error

    def _start_shard(self) -> io.FileIO:
        if self._single and self._finished:
            os.replace(self._finished.pop(), _partial(self._path))
        elif not self._single:
            self._shard = self._path / f"part-{_next_number(self._finished):05d}.jsonl"
        return self._open()

    def _open(self) -> io.FileIO:
        file = self._file = io.FileIO(_partial(self._shard), "a")
        sync_folder(self._shard.parent)
        self._count = 0
        self._sync(file)
        return file

    def _sync(self, file: io.FileIO) -> None:
        os.fsync(file.fileno())
        self._unsynced, self._synced = 0, time.monotonic()

    def _seal(self, file: io.FileIO) -> None:
        self._sync(file)
        file.close()
        self._file = None
        os.replace(_partial(self._shard), self._shard)
        self._finished.append(self._shard)
        sync_folder(self._shard.parent)

    def _close(self) -> None:
        """Leave everything as it is on the disk, and let others in."""
        file, self._file = self._file, None
        lock, self._lock = self._lock, None
        try:
            if file is not None:
                with file:
                    os.fsync(file.fileno())
        except OSError as error:  # the records are with the operating system; do not hide why we are leaving
            logger.warning("could not sync %s: %s", _partial(self._shard), error)
        finally:
            if lock is not None:
                _unlock(*lock)

    def _load(self) -> None:
        partials = self._find_files()
        for file in self._finished:
            number, line = 0, b"\n"
            for number, line in numbered_lines(file):
                if line.strip():
                    self._note(line, f"{file}:{number}")
            if not line.endswith(b"\n"):
                raise RecordError(f"{file}:{number}: no newline at the end: add one if the line is whole")
        if partials:
            self._resume(partials[0])

    def _find_files(self) -> list[Path]:
        """Set the finished files; give the partial one, if any."""
        if self._single:
            self._finished = [self._path] if self._path.exists() else []
            partials = [p for p in [_partial(self._path)] if p.exists()]
        else:
            self._finished = part_files(self._path)
            partials = sorted(self._path.glob(f"part-*.jsonl{PARTIAL}"))
        if len(partials) > 1:
            raise InputError(f"{partials[0]} and {partials[1]} are both there, expected one unfinished part")
        for partial in partials:
            if (final := partial.with_suffix("")).exists():
                raise InputError(f"{final} and {partial.name} are both there: move one of them away")
        return partials

    def _resume(self, partial: Path) -> None:
        """Note the ids of a partial file, cut off its torn end, and make it the active shard."""
        count = keep = offset = torn = 0
        for number, line in numbered_lines(partial):
            offset += len(line)
            if not _is_complete(line):
                torn = torn or number
            elif torn:
                raise RecordError(
                    f"{partial}:{torn}: not a JSON line, though good lines follow, so this is no torn end: "
                    "delete that line to have its record made again"
                )
            elif line.strip():
                self._note(line, f"{partial}:{number}")
                count, keep = count + 1, offset
        if keep < offset:
            logger.warning("%s: cut off %d bytes of a torn last line", partial, offset - keep)
        if not keep:
            partial.unlink()
            return
        os.truncate(partial, keep)
        self._shard = partial.with_suffix("")
        file = self._open()
        self._count = count
        if count >= self._shard_size:
            self._seal(file)

    def _note(self, line: bytes, place: str) -> None:
        try:
            fields = from_json(line)
        except ValueError as error:
            raise RecordError(f"{place}: not valid JSON: {error}") from None
        key = fields.get("id") if isinstance(fields, dict) else None
        if not isinstance(key, str) or not key:
            raise RecordError(f"{place}: the record has no id, so it cannot be told what is done")
        number = len(self._done)
        if self._done.setdefault(key, number) != number:
            raise RecordError(f"{place}: the id {key!r} is in this output twice: delete one of the lines")
        self._first = self._first or fields


def _partial(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)


def _next_number(parts: list[Path]) -> int:
    numbers = [int(found[1]) for part in parts if (found := re.match(r"part-([0-9]+)", part.name))]
    return max(numbers, default=-1) + 1


def _is_complete(line: bytes) -> bool:
    """Tell whether a line ends in a newline and parses (a blank line does no harm)."""
    if not line.endswith(b"\n"):
        return False
    if not line.strip():
        return True
    try:
        from_json(line)
    except ValueError:
        return False
    return True


def _lock(path: Path, output: Path) -> int:
    """Take the exclusive lock at `path` and give its file descriptor; InputError if another holds it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if sys.platform == "win32":
            return handle
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            raise InputError(
                f"{output} is being written by another run (process {owner}): wait, or give another output"
            ) from None
        except OSError as error:
            logger.warning("no locks on this file system (%s): start only one run on %s", error, output)
            return handle
        if _is_at(handle, path):
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            return handle
        os.close(handle)  # the last holder removed the name after we opened it: this lock keeps nobody out


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _unlock(path: Path, handle: int) -> None:
    path.unlink(missing_ok=True)  # while we still hold it: whoever waits sees that its file is gone
    os.close(handle)
