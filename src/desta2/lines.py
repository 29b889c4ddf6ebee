"""Files of lines: plain, gzip, zstd or Parquet by suffix, alone or as a folder of parts.

Trade-off: lines end at the line feed alone and stay bytes, so that whatever stands in them is somebody else's
error; compressed files are read to their end, so that a file that was cut is never taken for a whole one. A
row of a Parquet file is a line here (see `parquet.py`).
"""

import contextlib
import gzip
import io
import logging
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from desta2.errors import InputError, RecordError

logger = logging.getLogger(__name__)

PARTIAL = ".partial"  # suffix of a file that a journal is still writing
RECORDS = re.compile(r"\.(jsonl(\.gz|\.zst)?|parquet)$")
"""Suffixes of the files that hold records."""
FAILED = re.compile(r"\.failed\.jsonl$")
"""Ends the name of a file that stands beside a part and tells what is not in it."""


def manifest_files(path: str | Path) -> list[Path]:
    """List the files that hold the records of `path`, a file or a folder of parts, in order.

    Unfinished parts (`.partial`) are not among them. InputError where there is nothing to read.
    """
    path = Path(path)
    unfinished = "only unfinished .partial output is there: run the stage that writes it to its end"
    if path.is_dir():
        partial = sorted(path.glob(f"part-*.jsonl{PARTIAL}"))
        if not (files := part_files(path)):
            why = unfinished if partial else "expected part-*.jsonl, .jsonl.gz, .jsonl.zst or .parquet"
            raise InputError(f"the folder {path} holds no records: {why}")
        if partial:
            logger.warning("%s is not finished: %s is left out", path, partial[0].name)
        return files
    if not path.exists():
        partial_exists = path.with_name(path.name + PARTIAL).exists()
        raise InputError(f"{path} does not exist" + (f": {unfinished}" if partial_exists else ""))
    if not RECORDS.search(path.name):
        raise InputError(
            f"given {path}, expected .jsonl, .jsonl.gz, .jsonl.zst, .parquet or a folder of parts"
        )
    return [path]


def part_files(folder: Path) -> list[Path]:
    """List the finished parts of a folder in order; part-10 comes after part-9."""
    parts = [
        file for file in folder.glob("part-*") if RECORDS.search(file.name) and not FAILED.search(file.name)
    ]
    return sorted(parts, key=lambda file: re.sub("[0-9]+", lambda digits: digits[0].zfill(20), file.name))


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (POSIX; elsewhere folders cannot be synced)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name only when it is whole and on the disk.

    Only whole lines may be written. After any error in the block an older file of that name is untouched.
    InputError for another suffix than `.jsonl`, `.jsonl.gz`, `.jsonl.zst` and `.parquet`, and where the
    folder cannot be written to.
    """
    if not RECORDS.search(path.name):
        raise InputError(
            f"cannot write records to {path}: expected .jsonl, .jsonl.gz, .jsonl.zst or .parquet"
        )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    raw = _create(temporary)
    try:
        with raw:
            with _compressed(raw, path) as out:
                yield out
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _create(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb")
    except OSError as error:
        raise InputError(f"cannot write in the folder {path.parent}: {error.strerror}") from error


def _compressed(raw: IO[bytes], path: Path) -> contextlib.AbstractContextManager[Any]:
    """Compress what is written to `raw` by the suffix of `path`, leaving `raw` open."""
    if path.suffix == ".parquet":
        from desta2.parquet import parquet_writer

        return parquet_writer(raw, path)
    if path.suffix == ".gz":  # no name and no time inside: equal records give equal files
        return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
    if path.suffix == ".zst":
        writer: contextlib.AbstractContextManager[Any] = (
            _zstandard(path).ZstdCompressor().stream_writer(raw, closefd=False)
        )
        return writer
    return contextlib.nullcontext(raw)


def _zstandard(path: Path) -> Any:
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise InputError(
            f"{path}: .zst files need the package zstandard: pip install 'desta2[zst]'"
        ) from error
    return zstandard


class _ZstdReader(io.RawIOBase):
    """Decompress a zstd file, frame after frame. zstandard's own reader takes a cut file for a whole one."""

    def __init__(self, raw: IO[bytes], zstandard: Any) -> None:
        self._raw, self._zstandard = raw, zstandard
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready, self._inside = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame, self._inside = self._zstandard.ZstdDecompressor().decompressobj(), False
            if not (chunk := chunk or self._raw.read(1 << 16)):
                if self._inside:
                    raise EOFError("the compressed file ends too early")
                return 0
            self._inside = True
            try:
                self._ready = self._frame.decompress(chunk)
            except self._zstandard.ZstdError as error:
                raise OSError(str(error)) from error
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with open(path, "rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as plain:
                yield plain  # type: ignore[misc]  # GzipFile reads lines as IO[bytes] does
        elif path.suffix == ".zst":
            yield io.BufferedReader(_ZstdReader(raw, _zstandard(path)), 1 << 17)
        else:
            yield raw


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line with its newline), decompressed by suffix; lines end at \\n alone.

    Of a Parquet file, (row number, row as such a line). RecordError where the file is not whole.
    """
    if path.suffix == ".parquet":
        from desta2.parquet import numbered_rows

        yield from numbered_rows(path)
        return
    number = 0
    try:
        with _opened(path) as handle:
            for number, line in enumerate(handle, 1):
                yield number, line
    except (EOFError, OSError, zlib.error) as error:
        raise RecordError(f"{path}: cannot be read after line {number}: {error}; is it cut?") from error
