"""Columns of a table as fields of a clip.

Trade-off: a column is taken if it has the name of a field or attribute, or if the user says what it is
(`--map sentence=text`); nothing is guessed from what a name suggests, and the columns that stay unused are
listed at the end of the run, so that a missing `--map` is seen.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from desta2.data.attributes import key_of, load_scheme
from desta2.data.sources.labels import canonical
from desta2.errors import InputError, RecordError

_TEXTS = ("id", "audio", "text", "language", "speaker", "source")
_SECONDS = ("start", "end", "duration")
_OBJECTS = ("attributes", "measured", "segments")
_PREFIXES = ("attributes.", "measured.")
_IGNORE = "-"


def parse_columns(pairs: Iterable[str]) -> dict[str, str]:
    """Read `COLUMN=FIELD` pairs; the last "=" divides, so that a column may have one in its name.

    FIELD is a field of a clip, an attribute ("gender", or "attributes.NAME" for one that the scheme does not
    list), a number ("measured.snr_db"), or "-" for a column that must not be taken.

    Raises:
        InputError: a pair without "=", an unknown field, or two columns for one field.
    """
    columns: dict[str, str] = {}
    for pair in pairs:
        column, separator, target = pair.rpartition("=")
        if not separator or not column or not target:
            raise InputError(f"given --map {pair}, expected COLUMN=FIELD, such as sentence=text")
        columns[column] = _field(target)
    targets = [target for target in columns.values() if target != _IGNORE]
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        raise InputError(f"--map names {twice[0]!r} for two columns; give each field one column")
    return columns


def resolve(names: Sequence[str], columns: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which columns of a table are taken, as column → field, and which are not.

    Raises:
        InputError: the user maps a column that the table does not have.
    """
    for column in columns:
        if column not in names:
            raise InputError(f"there is no column {column!r}{_did_you_mean(column, names)}")
    taken = {column: target for column, target in columns.items() if target != _IGNORE}
    for name in names:
        own = _own_field(name)
        if name not in columns and own is not None and own not in taken.values():
            taken[name] = own
    unused = tuple(name for name in names if name not in taken and columns.get(name) != _IGNORE)
    return taken, unused


def clip_values(row: Mapping[str, Any], taken: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row as fields of a clip; `audio` stays as it is, since only a reader knows its forms.

    Raises:
        RecordError: a value cannot be what its field needs; the message names the column.
    """
    values: dict[str, Any] = {}
    attributes: dict[str, str] = {}
    measured: dict[str, float] = {}
    for column, target in taken.items():
        value = row.get(column)
        if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
            continue
        if target == "audio":
            values[target] = value
        elif target in _SECONDS:
            values[target] = _number(value, column)
        elif target in _TEXTS:
            values[target] = _text(value, column)
        elif target in _OBJECTS:
            values[target] = _object(value, column)
        elif target.startswith("measured."):
            measured[target.removeprefix("measured.")] = _number(value, column)
        else:
            key = target.removeprefix("attributes.")
            if (label := canonical(key, _text(value, column))) is not None:
                attributes[key] = label
    for name, own in (("attributes", attributes), ("measured", measured)):
        if own:
            values[name] = {**(values.get(name) or {}), **own}
    return values


def _own_field(name: str) -> str | None:
    """The field or attribute that a column of this name is by itself."""
    if name in _TEXTS + _SECONDS + _OBJECTS or name.startswith(_PREFIXES):
        return name
    key = key_of(name)
    return f"attributes.{key}" if key in _scheme_keys() else None


def _field(target: str) -> str:
    own = target if target == _IGNORE else _own_field(target)
    if own is None or own in _PREFIXES:
        known = [*_TEXTS, *_SECONDS, *_scheme_keys()]
        raise InputError(
            f"given --map …={target}, expected a field of a clip or an attribute"
            f"{_did_you_mean(target, known)}; an attribute of your own is attributes.{key_of(target)}"
        )
    return own


def _scheme_keys() -> list[str]:
    # The duration is a field; as an attribute it would stand in seeds as the corpus happens to write it.
    return [attribute.key for attribute in load_scheme().attributes if attribute.key != "duration"]


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f": {', '.join(known)}"


def _number(value: Any, column: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise RecordError(f"column {column!r}: given {str(value)[:60]!r}, expected a number")
    return number


def _text(value: Any, column: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with gaps comes as floats: 3.0 is speaker 3
    if isinstance(value, str | int | float | date):
        return str(value)
    raise RecordError(
        f"column {column!r}: given {str(value)[:60]!r} ({type(value).__name__}), expected a text"
    )


def _object(value: Any, column: str) -> Any:
    """An object or list of a JSON table; in CSV it may stand as JSON."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError as error:
            raise RecordError(f"column {column!r}: given {value[:60]!r}, expected JSON: {error}") from error
    return value
