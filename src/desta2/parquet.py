"""Records in Parquet: lines of JSON in, lines of JSON out, so that every stage reads and writes both.

Trade-off: plain values become columns of their type; whatever is nested or mixed (attributes, segments,
messages) becomes a column of JSON text, named in the file's metadata. Any record survives, and no schema has
to be known before the last line: the lines are spooled to the disk, gone through once for the types and once
for the values, so that memory does not grow with their number. What Parquet cannot say is lost: a field that
is null and one that is absent are both absent when read back. Foreign files with columns of structs and maps
are read too; there a null anywhere counts as absent.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from desta2.errors import InputError, RecordError

_READ_ROWS = 256  # in memory at a time
_WRITE_ROWS = 5_000  # rows of a row group
_JSON_COLUMNS = b"desta2.json"  # key of the file's metadata: which columns hold JSON text
_CONTAINERS = frozenset({"attributes", "measured", "segments", "messages", "provenance"})
"""Fields that are JSON text wherever they are text: another program may have dropped the metadata."""
_EXACT = 2**53  # integers up to here are exact as float64


def parquet_module() -> Any:
    """The module pyarrow.parquet; InputError says how to get it where it is not installed."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(".parquet files need the package pyarrow: pip install 'desta2[corpora]'") from error
    return parquet


def numbered_rows(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (row number from 1, the row as a line of JSON).

    Raises:
        RecordError: the file is no whole Parquet file, or a row holds what JSON cannot (bytes, dates).
    """
    parquet = parquet_module()
    import pyarrow

    number = 0
    try:
        with parquet.ParquetFile(path) as table:
            as_json = _json_columns(table.schema_arrow)
            for batch in table.iter_batches(batch_size=_READ_ROWS):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield number, _line(row, as_json)
    except (pyarrow.ArrowException, OSError) as error:
        raise RecordError(
            f"{path}: cannot be read as Parquet after row {number}: {error}; is it cut?"
        ) from error
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}:{number}: the row is no record: {error}") from error


@contextlib.contextmanager
def parquet_writer(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Take whole lines of JSON objects and write them to `raw` as Parquet when the block ends.

    Args:
        raw: where the file goes; stays open.
        path: for messages, and its folder is where the lines are spooled.
    """
    parquet_module()
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        yield spool
        spool.seek(0)
        kinds = _kinds(spool)
        spool.seek(0)
        _write(spool, kinds, raw)


def _json_columns(schema: Any) -> frozenset[str]:
    import pyarrow

    marked = json.loads((schema.metadata or {}).get(_JSON_COLUMNS, b"[]"))
    texts = {
        f.name for f in schema if pyarrow.types.is_string(f.type) or pyarrow.types.is_large_string(f.type)
    }
    return frozenset(texts & (_CONTAINERS | set(marked)))


def _line(row: dict[str, Any], as_json: frozenset[str]) -> bytes:
    fields = {
        name: from_json(value) if name in as_json else _without_nulls(value)
        for name, value in row.items()
        if value is not None
    }
    return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _without_nulls(value: Any) -> Any:
    """Leave out the null fields of structs, at any depth: a struct has all its fields in every row."""
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value


def _kinds(lines: IO[bytes]) -> dict[str, str]:
    """The kind of every column, in the order in which they first appear."""
    kinds: dict[str, str] = {}
    for line in lines:
        for name, value in from_json(line).items():
            if value is not None:
                kind = _kind(value)
                kinds[name] = _common(kinds.get(name, kind), kind)
    return kinds


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if abs(value) <= _EXACT else "json"
    if isinstance(value, float):
        return "double"
    return "string" if isinstance(value, str) else "json"


def _common(one: str, other: str) -> str:
    if one == other:
        return one
    return "double" if {one, other} == {"int64", "double"} else "json"


def _write(lines: IO[bytes], kinds: dict[str, str], raw: IO[bytes]) -> None:
    import pyarrow

    types = {"bool": pyarrow.bool_(), "int64": pyarrow.int64(), "double": pyarrow.float64()}
    marked = json.dumps([name for name, kind in kinds.items() if kind == "json"]).encode()
    schema = pyarrow.schema(
        [(name, types.get(kind, pyarrow.string())) for name, kind in kinds.items()],
        metadata={_JSON_COLUMNS: marked},
    )
    with parquet_module().ParquetWriter(raw, schema, compression="zstd") as writer:
        while rows := [from_json(line) for line in itertools.islice(lines, _WRITE_ROWS)]:
            columns = [
                pyarrow.array([_cell(row.get(name), kind) for row in rows], type=field.type)
                for (name, kind), field in zip(kinds.items(), schema, strict=True)
            ]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))


def _cell(value: Any, kind: str) -> Any:
    if value is None or kind != "json":
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
