"""The records that flow between the stages, and how they stand in files of JSON lines.

Trade-off: a record is strict about the fields that it knows (a wrong type is an error, never converted) and
open about those that it does not know (kept as they are), so that a corpus may carry what it likes but a
misread number cannot reach a seed transcript. Files are read line by line; only the ids are remembered (in
a table of bounded memory, `ids.py`): with an id that occurs twice, "finished" would mean nothing later on.
"""

import json
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticSerializationError, from_json

from desta2.errors import AudioError, RecordError
from desta2.ids import IdTable
from desta2.lines import manifest_files, numbered_lines, writing

logger = logging.getLogger(__name__)

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")
_LINE_BITS = 40  # a place is file index and line number in one integer: a third of a tuple's memory


def _unwritable(value: Any) -> tuple[str, str] | None:
    """Find the first part of `value` that JSON in UTF-8 cannot hold: (where, what), or None."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return "", f"text with the lone surrogate U+{ord(value[error.start]):04X}, expected valid Unicode"
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else ("", f"given {value}, expected a finite number")
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        items = value.items()
        for key in value:
            if not isinstance(key, str):
                return "", f"given the key {_short(key)}, expected keys that are text"
            if found := _unwritable(key):
                return "", f"a key is {found[1]}"
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return "", f"given {_short(value)} ({type(value).__name__}), expected a plain JSON value"
    for key, part in items:
        if found := _unwritable(part):
            return f"[{key!r}]{found[0]}", found[1]
    return None


def _check_json(value: Any) -> Any:
    if found := _unwritable(value):
        raise ValueError(f"at {found[0]}: {found[1]}" if found[0] else found[1])
    return value


Json = Annotated[Any, AfterValidator(_check_json)]
"""Any value that JSON can hold: finite numbers, valid Unicode, lists, and objects with text keys."""
Text = Annotated[str, AfterValidator(_check_json)]  # pydantic's own str lets lone surrogates in
Seconds = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class _Fields(BaseModel):
    """Strict about known fields, keeping unknown ones; dumps leave out what is empty."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Json]

    @model_serializer(mode="wrap")
    def _leave_out_empty(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        known = type(self).model_fields
        return {k: v for k, v in dump(self).items() if k not in known or (v is not None and v != {})}


class Segment(_Fields):
    """One speaker's turn inside a clip, `start` and `end` in seconds from the clip's start.

    `start == end` is allowed, unlike in a clip: seed transcripts count whole seconds, so a turn of half a
    second reads `[00:00:03 - 00:00:03]` and must still be a segment.
    """

    start: Seconds
    end: Seconds
    text: Text | None = None
    speaker: Text | None = None
    attributes: dict[Text, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"given start {self.start} and end {self.end}, expected start <= end")
        return self


class Record(_Fields):
    """What every line of a file has: an id that is unique in the file and stable from run to run."""

    id: Name

    def to_dict(self) -> dict[str, Any]:
        """Give the record as plain values, without known fields that are None or an empty dict.

        Raises RecordError where a field was set to a wrong type after the record was made.
        """
        try:
            return self.model_dump(warnings="error")
        except PydanticSerializationError as error:
            reason = " ".join(str(error).split())
            raise RecordError(f"record {self.id!r} cannot be written: {reason}") from error


class Clip(Record):
    """A piece of audio and what is known about it.

    `audio` is a path (see `resolve_audio`) or URI; `start`, `end` and `duration` are seconds; `attributes`
    are the corpus's labels; `measured` are numbers with their unit in the key, such as `f0_median_hz`.
    """

    audio: Name
    start: Seconds | None = None
    end: Seconds | None = None
    duration: Annotated[float, Field(gt=0)] | None = None
    text: Text | None = None
    language: Text | None = None
    speaker: Text | None = None
    source: Text | None = None
    attributes: dict[Text, Text] = Field(default_factory=dict)
    measured: dict[Text, float] = Field(default_factory=dict)
    segments: list[Segment] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0.0):
            raise ValueError(f"given start {self.start or 0.0} and end {self.end}, expected start < end")
        return self


class Seed(Clip):
    """A clip with its seed transcript."""

    seed: Text
    seed_format: Literal["v2", "v2.5"]


class Provenance(_Fields):
    """How a response came to be. Only a self-generated pair knows everything, so most may be missing.

    A `fingerprint` that comes with the `backend` "endpoint" is that of the LLM which the user named as the
    one to be trained, and whose name the server gave as its own: weights cannot be seen by URL.
    """

    llm: Name
    prompt: Text
    revision: Text | None = None
    fingerprint: Text | None = None
    backend: Literal["transformers", "endpoint", "template"] | None = None  # the last: by rule, no LLM
    prompt_pool: Text | None = None  # digest of the pool that the prompt was drawn from
    answer: int | None = None  # 1, 2, … where a clip has several answers
    layout: Text | None = None
    system_prompt: Text | None = None  # empty for none
    chat_template_kwargs: dict[Text, Json] | None = None  # of the LLM's chat template; None where it had none
    sampling: dict[Text, Json] = Field(default_factory=dict)
    seed_format: Literal["v2", "v2.5"] | None = None
    desta2_version: Text | None = None
    time: Text | None = None  # ISO 8601, UTC


class Pair(Record):
    """A training pair: `messages` in DeSTA2.5's form, and the LLM's own `response` to the seed transcript."""

    messages: list[dict[Text, Json]]
    response: Text
    seed: Text
    provenance: Provenance


class Prediction(Record):
    """A model's answer to one benchmark item; `label` is the expected answer where there is one."""

    task: Name
    instruction: Text
    response: Text
    label: Text | None = None
    audio: Text | None = None


AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class BadLine:
    """A line that could not be used; `str()` gives "path:LINE: reason"."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def record_id(record: Record | Mapping[str, Any]) -> str:
    """Give the id of a record or of plain fields; RecordError where it is not a text or is empty."""
    key = record.id if isinstance(record, Record) else record.get("id")
    if not isinstance(key, str) or not key:
        raise RecordError(f"given a record with the id {_short(key)}, expected a text that is not empty")
    return key


def to_line(record: Record | Mapping[str, Any]) -> bytes:
    """Write a record, or plain fields, as one line of UTF-8 JSON with its newline.

    Raises RecordError, naming the record and the place, for what JSON cannot hold: NaN, infinities, lone
    surrogates, keys that are not text, objects of other types.
    """
    fields = record.to_dict() if isinstance(record, Record) else dict(record)
    if found := _unwritable(fields):
        where = f"at {found[0]}: " if found[0] else ""
        raise RecordError(f"record {_short(fields.get('id'))} cannot be written: {where}{found[1]}")
    return json.dumps(fields, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def parse_line(line: bytes, model: type[AnyRecord]) -> AnyRecord:
    """Read one line; RecordError says which field is wrong, what was given and what was expected."""
    try:
        fields = from_json(line.rstrip(b"\r\n"), allow_inf_nan=False)
    except ValueError as error:
        reason = str(error).replace(" at line 1 column", ", at column")
        raise RecordError(
            f"not valid JSON in UTF-8: {reason}; given {_short(line.decode(errors='replace'))}"
        ) from None
    if not isinstance(fields, dict):
        raise RecordError(f"given {_short(fields)}, expected the JSON object of a {model.__name__}")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RecordError(_explain(error, model)) from None


def _explain(error: ValidationError, model: type[Record]) -> str:
    problems = error.errors(include_url=False)
    first, more = problems[0], len(problems) - 1
    place = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ").replace("Input should", "expected it to", 1)
    if first["type"] == "missing":
        text = f"field '{place}' is missing, a {model.__name__} needs it"
    elif first["type"] == "value_error":  # our own message: it already says what was given
        text = f"field '{place}': {reason}" if place else reason
    else:
        text = f"field '{place}': given {_short(first['input'])}, {reason}"
    return text + (f" (and {more} more)" if more else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def read_records(
    path: str | Path, model: type[AnyRecord], *, skip_bad: bool = False, bad: list[BadLine] | None = None
) -> Iterator[AnyRecord]:
    """Read the records of a `.jsonl`, `.jsonl.gz` or `.jsonl.zst` file, or of a folder of such parts.

    With `skip_bad`, lines that do not fit (an id seen before included) are left out, counted in the log and
    listed in `bad`; otherwise the first one raises RecordError "path:LINE: reason". Blank lines are nothing.
    A file that cannot be decompressed to its end raises in both cases. InputError for a missing path, an
    empty folder or another suffix comes at the call, not at the first record.
    """
    return _read(manifest_files(path), model, skip_bad, [] if bad is None else bad)


def _read(
    files: list[Path], model: type[AnyRecord], skip_bad: bool, bad: list[BadLine]
) -> Iterator[AnyRecord]:
    places = IdTable()
    skipped = 0
    for index, file in enumerate(files):
        for number, line in numbered_lines(file):
            if not line.strip():
                continue
            try:
                record = parse_line(line, model)
                here = index << _LINE_BITS | number
                if (first := places.setdefault(record.id, here)) != here:
                    before = f"{files[first >> _LINE_BITS]}:{first & (1 << _LINE_BITS) - 1}"
                    raise RecordError(f"the id {record.id!r} is already used at {before}; ids must be unique")
            except RecordError as error:
                problem = BadLine(file, number, str(error))
                if not skip_bad:
                    raise RecordError(str(problem)) from None
                bad.append(problem)
                skipped += 1
                continue
            yield record
    if skipped:
        logger.warning("skipped %d bad lines, the last one: %s", skipped, bad[-1])


def write_records(path: str | Path, records: Iterable[Record | Mapping[str, Any]]) -> int:
    """Write records to a `.jsonl`, `.jsonl.gz` or `.jsonl.zst` file and return how many there were.

    The file appears under its name only when it is whole and on the disk (temporary name, fsync, rename);
    after any error an older file of that name is untouched. An id that occurs twice is a RecordError.
    """
    path, numbers = Path(path), IdTable()
    with writing(path) as out:
        for number, record in enumerate(records, 1):
            key = record_id(record)
            if (first := numbers.setdefault(key, number)) != number:
                raise RecordError(f"{path}: records {first} and {number} both have the id {key!r}")
            out.write(to_line(record))
    return len(numbers)


def count_records(path: str | Path) -> int:
    """Count the lines of a manifest that hold something, without reading what; for progress bars."""
    return sum(bool(line.strip()) for file in manifest_files(path) for _, line in numbered_lines(file))


def resolve_audio(clip: Clip, manifest: Path, data_root: Path | None) -> str | Path:
    """Find a clip's audio: a URI as it is, otherwise the existing file.

    A relative path is looked for under `data_root` first, where one is given, then in the folder of
    `manifest` (which is itself that folder when it is a folder of parts). AudioError names every place.
    """
    if _URI.match(clip.audio):
        return clip.audio
    folders = [data_root, manifest if manifest.is_dir() else manifest.parent]
    places = list(dict.fromkeys(folder / clip.audio for folder in folders if folder is not None))
    for place in places:
        if place.exists():
            return place
    looked = " nor ".join(str(place) for place in places)
    raise AudioError(f"clip {clip.id!r}: no audio file at {looked}; is the data root right?")
