"""Files of pairs as one long list that is read at random places, so that a set need not fit in memory.

A pass over the files notes where each line begins; a pair is then read and checked again whenever it is
wanted. That keeps shuffling exact and resumable, which a stream with a shuffle buffer is not, for 14 bytes of
memory a pair. Lines of plain JSON are read where they are. Compressed files and Parquet have no random
places, so their lines are unpacked once into a folder of the run: the price is disk.

Three kinds of lines are pairs: our own, and the columns of the two published training sets (see
`desta2.data.sources.published`, whose readers make pairs of them).
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import secrets
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from desta2.data.sources.published import AQA5M_COLUMNS, DESTA2_COLUMNS, aqa5m_fields, desta2_fields
from desta2.data.sources.rows import table_files
from desta2.errors import InputError, RecordError, RunError
from desta2.ids import IdTable
from desta2.lines import RECORDS, manifest_files, numbered_lines, part_files
from desta2.records import Pair, parse_line, to_line

logger = logging.getLogger(__name__)

Place = tuple[int, int, int]
"""Where a line is: number of its file, offset and size in bytes."""
_PUBLISHED = {
    "desta2": (DESTA2_COLUMNS, desta2_fields, ("audio_filepath", "target")),
    "aqa5m": (AQA5M_COLUMNS, aqa5m_fields, ("seed_description", "messages")),
}


class PairFiles:
    """The pairs of a file or folder, by number.

    Args:
        path: `.jsonl` (also `.gz`, `.zst`), `.parquet`, or a folder of such files.
        unpacked: folder for the lines of files without random places; made when it is needed. Without it such
            files can be scanned, and nothing else.

    Attributes:
        folder: that of the pairs, for relative paths of audio.
    """

    def __init__(self, path: Path, unpacked: Path | None) -> None:
        self.path = path
        self.folder = path if path.is_dir() else path.parent
        self._unpacked = unpacked
        self._files = _files_of(path)
        self._plain = [file if unpacked is None else _plain_name(file, unpacked) for file in self._files]
        self._kinds = [""] * len(self._files)
        self._file, self._offset, self._size = array("H"), array("q"), array("i")

    def __len__(self) -> int:
        return len(self._offset)

    def scan(self) -> Iterator[tuple[Place, Pair, bool]]:
        """Read all pairs in order, each with its place and whether it comes from a published set.

        Only those that are then given to `keep` get a number. Rows that a published set repeats come once.

        Raises:
            RecordError: a line is no pair ("path:LINE: reason"), or has an id that an earlier one has.
        """
        places = IdTable()
        repeated = 0
        for index, file in enumerate(self._files):
            offset = 0
            for number, line in self._lines(index):
                place, offset = (index, offset, len(line)), offset + len(line)
                if not line.strip():
                    continue
                pair = self._parse(index, line, number)
                here = index << 40 | number
                if (first := places.setdefault(pair.id, here)) != here:
                    if self._kinds[index] != "pair":
                        repeated += 1
                        continue
                    before = f"{self._files[first >> 40]}:{first & (1 << 40) - 1}"
                    raise RecordError(
                        f"{file}:{number}: the id {pair.id!r} is already used at {before}; ids must be unique"
                    )
                yield place, pair, self._kinds[index] != "pair"
        if repeated:
            logger.info("%s: %d rows repeat an earlier one and count once", self.path, repeated)

    def some(self, stride: int = 1) -> Iterator[Pair]:
        """Every `stride`th pair in order, repeated rows too; the lines between are not looked into.

        Raises:
            RecordError: a line is no pair.
        """
        for index, number, line in itertools.islice(self._held(), 0, None, stride):
            yield self._parse(index, line, number)

    def count(self) -> int:
        """Count the pairs, repeated rows too, without looking into them."""
        return sum(1 for _ in self._held())

    def _held(self) -> Iterator[tuple[int, int, bytes]]:
        """Lines that hold something: number of the file, number of the line, and the line."""
        for index in range(len(self._files)):
            yield from ((index, number, line) for number, line in self._lines(index) if line.strip())

    def keep(self, place: Place) -> None:
        """Put a pair that `scan` gave into the list."""
        file, offset, size = place
        self._file.append(file)
        self._offset.append(offset)
        self._size.append(size)

    def __getitem__(self, number: int) -> tuple[Pair, bool]:
        """A pair that was kept, and whether it comes from a published set.

        Raises:
            RunError: the file was changed meanwhile.
        """
        file = self._file[number]
        with open(self._plain[file], "rb") as lines:
            lines.seek(self._offset[number])
            line = lines.read(self._size[number])
        try:
            return self._parse(file, line, number), self._kinds[file] != "pair"
        except RecordError as error:
            raise RunError(f"{self._files[file]} was changed while it was in use: {error}") from error

    def _parse(self, file: int, line: bytes, number: int) -> Pair:
        kind = self._kinds[file] = self._kinds[file] or _kind(line)
        try:
            return parse_line(line, Pair) if kind == "pair" else _published_pair(line, kind)
        except RecordError as error:
            raise RecordError(f"{self._files[file]}:{number}: {error}") from None

    def _lines(self, index: int) -> Iterator[tuple[int, bytes]]:
        """The numbered lines of a file, unpacked on the way where it has no random places."""
        file, plain = self._files[index], self._plain[index]
        if plain.exists() or self._unpacked is None:
            yield from numbered_lines(plain)
            return
        self._unpacked.mkdir(parents=True, exist_ok=True)
        temporary = plain.with_name(f"{plain.name}.{secrets.token_hex(6)}.tmp")
        try:
            with open(temporary, "wb") as out:
                for number, line in numbered_lines(file):
                    out.write(line)
                    yield number, line
            os.replace(temporary, plain)
        finally:
            temporary.unlink(missing_ok=True)


def _files_of(path: Path) -> list[Path]:
    """The files of a set: parts as our stages write them, or else tables by name, as published."""
    if path.is_dir() and not part_files(path) and not any(path.glob("part-*")):
        with contextlib.suppress(InputError):  # manifest_files says better what is missing
            files = table_files(str(path))
            if all(RECORDS.search(file.name) for file in files):
                return files
    return manifest_files(path)


def _plain_name(file: Path, unpacked: Path) -> Path:
    """Where the lines of a file lie: itself, or a name that changes with its content."""
    if file.suffix == ".jsonl":
        return file
    stat = file.stat()
    told = repr((str(file.resolve()), stat.st_size, stat.st_mtime_ns))
    return unpacked / f"{file.name.split('.')[0]}-{hashlib.blake2s(told.encode()).hexdigest()[:12]}.jsonl"


def _kind(line: bytes) -> str:
    """What a line is by its columns; what nobody knows is taken for a pair, whose error tells what lacks."""
    try:
        fields: Any = from_json(line)
    except ValueError:
        return "pair"
    if not isinstance(fields, dict) or "provenance" in fields:
        return "pair"
    return next((kind for kind, (_, _, keys) in _PUBLISHED.items() if fields.keys() >= set(keys)), "pair")


def _published_pair(line: bytes, kind: str) -> Pair:
    columns, fields, _ = _PUBLISHED[kind]
    try:
        row = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise RecordError(f"not valid JSON: {error}") from None
    if not isinstance(row, dict):
        raise RecordError(f"given {str(row)[:60]!r}, expected a JSON object")
    return parse_line(to_line(fields({**dict.fromkeys(columns), **row})), Pair)
