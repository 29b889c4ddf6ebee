"""Tables as rows: CSV, TSV, JSON lines and Parquet, each row with the place that it stands at.

Trade-off: rows come one after another and are forgotten, so that a table of any length takes the memory of
a row (Parquet: of `_BATCH` rows, whose audio may be in them). What a file cannot say is not made up: the
values of CSV and TSV are texts, or None where a field is empty; whoever knows what a column means converts
them.

CSV is read as RFC 4180 has it, with quotes; TSV as IANA's text/tab-separated-values, without: a quotation
mark is a character like any other (in Common Voice's files sentences begin and end with them). Both, and
JSON lines, may be compressed (.gz, .zst).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from desta2.errors import InputError
from desta2.lines import numbered_lines
from desta2.parquet import parquet_module

if TYPE_CHECKING:
    from desta2.data.sources.base import Reading

Row = tuple[str, dict[str, Any]]
"""Where a row stands ("file:LINE"), and its values by column."""

_FORMATS = re.compile(r"\.(csv|tsv|jsonl|parquet)(\.gz|\.zst)?$", re.IGNORECASE)
_BATCH = 64  # rows of a Parquet file that are in memory at a time


def is_table(name: str) -> bool:
    """Whether a file of this name is a table that can be read."""
    return _FORMATS.search(name) is not None


def table_files(src: str) -> list[Path]:
    """The files of a table: one file, or those of a folder (and of its `data` folder), by name.

    Raises:
        InputError: there is none.
    """
    path = Path(src).expanduser().absolute()
    if path.is_file():
        if not is_table(path.name):
            raise InputError(
                f"given {src}, expected .csv, .tsv, .jsonl or .parquet, or a folder of such files"
            )
        return [path]
    if not path.is_dir():
        raise InputError(f"{src} does not exist; expected a .csv, .tsv, .jsonl or .parquet file, or a folder")
    for folder in (path, path / "data"):
        if files := sorted(f for f in folder.glob("*.*") if is_table(f.name) and f.is_file()):
            kinds = {_FORMATS.search(f.name)[1].lower() for f in files}  # type: ignore[index]
            if len(kinds) > 1:
                raise InputError(
                    f"{folder} holds tables of several kinds ({', '.join(sorted(kinds))}): name one"
                )
            return files
    raise InputError(f"{src} holds no .csv, .tsv, .jsonl or .parquet file")


def read_table(file: Path, reading: Reading) -> Iterator[Row]:
    """Read one file row by row; rows that cannot be read are given to `reading.bad`."""
    found = _FORMATS.search(file.name)
    kind = found[1].lower() if found else ""
    if kind == "parquet":
        return _parquet_rows(file)
    if kind == "jsonl":
        return _json_rows(file, reading)
    return read_separated(file, reading, "\t" if kind == "tsv" else ",")


def _json_rows(file: Path, reading: Reading) -> Iterator[Row]:
    for number, line in numbered_lines(file):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        try:
            row = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            reading.bad(place, f"not valid JSON: {error}")
            continue
        if isinstance(row, dict):
            yield place, row
        else:
            reading.bad(place, f"given {str(row)[:60]!r}, expected a JSON object")


def read_separated(
    file: Path, reading: Reading, delimiter: str, columns: Sequence[str] = ()
) -> Iterator[Row]:
    """Read a table whose values are separated by commas (quotes count) or by tabs (they do not).

    Args:
        file: the table; its first line names the columns.
        reading: gets the rows that cannot be read.
        delimiter: "," or a tab.
        columns: those that must be there.

    Raises:
        InputError: the first line is missing, names a column twice, or lacks one of `columns`.
    """
    # Bytes that are no UTF-8 pass as surrogates: only their own row is bad, and line numbers stay right.
    lines = (line.decode("utf-8", "surrogateescape") for _, line in numbered_lines(file))
    if delimiter == "\t":
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    else:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
    header = [name.removeprefix("\ufeff").strip() for name in _next_row(rows, file, reading) or []]
    if not any(header):
        raise InputError(f"{file} is empty: expected a first line with the names of the columns")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InputError(f"{file}: two columns have the same name: {', '.join(twice)}")
    if missing := [name for name in columns if name not in header]:
        raise InputError(f"{file}: there is no column {missing[0]!r}; its columns: {', '.join(header)}")
    while (row := _next_row(rows, file, reading)) is not None:
        place = f"{file}:{rows.line_num}"
        if not any(row):
            continue
        if len(row) != len(header):
            reading.bad(place, f"has {len(row)} fields, the first line names {len(header)}")
        elif any("\ud800" <= character <= "\udfff" for value in row for character in value):
            reading.bad(place, "is not text in UTF-8")
        else:
            yield place, {name: value.strip() or None for name, value in zip(header, row, strict=True)}


def _next_row(rows: Any, file: Path, reading: Reading) -> list[str] | None:
    while True:
        try:
            return next(rows)
        except StopIteration:
            return None
        except csv.Error as error:
            reading.bad(f"{file}:{rows.line_num}", f"cannot be read as a row: {error}")


def _parquet_rows(file: Path) -> Iterator[Row]:
    parquet = parquet_module()
    import pyarrow

    try:
        with parquet.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file}:row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read as Parquet: {error}") from error
