"""Reading the tasks: folders of Parquet, saved datasets, tables or datasets on the hub, as questions.

A row has the benchmark's columns: `audio`, `instruction`, `label`, and in some tasks a second clip `audio2`
and a `text` (a sentence that the clip is compared with). Audio comes as the bytes of a file, or as a path; it
is not decoded here. The trade-off: nothing is copied out of the tables, so rows are read again when a run
goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from desta2.data.sources.base import Options, Reading
from desta2.data.sources.hf import fetched, open_parquet, open_splits, rows_of
from desta2.data.sources.rows import Row, is_table, read_table, table_files
from desta2.data.sources.store import AudioStore
from desta2.errors import InputError, RecordError
from desta2.evaluate.dynamic_superb.table import Table
from desta2.evaluate.runner import is_hub
from desta2.evaluate.systems import Question

logger = logging.getLogger(__name__)

Rows = Callable[[], Iterator[Row]]
_SAVED = ("dataset_dict.json", "state.json")
_SPLIT = "test"


def read_questions(data: Path, table: Table) -> Iterator[Question]:
    """The questions of all tasks in the order of the table; see `find_tasks`."""
    found = find_tasks(data, table)
    if missing := [task for task in table.averaged if task not in found]:
        logger.warning("%s lacks %d tasks, such as %s", data, len(missing), missing[0])
    ordered = [task for task in table.dimension_of if task in found]
    return (question for task in ordered for question in _questions(task, *found[task]))


def find_tasks(data: Path, table: Table) -> dict[str, tuple[Path, Rows]]:
    """Where each task is, and how its rows are read.

    Args:
        data: a folder with a folder or table for each task, the folder of a single task, or "hf:OWNER" for
            the datasets of an owner on the hub.
        table: the tasks.

    Raises:
        InputError: there is no task here, or one stands here twice.
    """
    if is_hub(data):
        owner = str(data).removeprefix("hf:")
        return {task: (Path(), _hub_rows(owner, table.spellings(task))) for task in table.dimension_of}
    if not data.is_dir():
        raise InputError(f"{data} is no folder; expected one with the tasks of Dynamic-SUPERB")
    entries = [data] if table.resolve(data.resolve().name) else sorted(data.iterdir())
    found: dict[str, tuple[Path, Rows]] = {}
    for entry in entries:
        if entry.name.startswith(".") or not (entry.is_dir() or is_table(entry.name)):
            continue
        name = entry.resolve().name if entry.is_dir() else entry.name.split(".")[0]
        task = table.resolve(name)
        if task is None:
            logger.warning("%s is no task of the table and is left out (--names says what it is)", entry)
        elif task in found:
            raise InputError(f"{found[task][0]} and {entry} are both {task}: move one of them away")
        else:
            found[task] = (entry, _local_rows(entry))
    if not found:
        example = next(iter(table.dimension_of), "…")
        raise InputError(
            f"{data} holds no task of Dynamic-SUPERB: expected folders or tables named like {example}; what "
            "is called otherwise can be named in a file for --names"
        )
    return found


def _local_rows(entry: Path) -> Rows:
    """How the rows of a task's folder or table are read."""
    if entry.is_dir() and any((entry / name).exists() for name in _SAVED):
        return lambda: _split_rows(str(entry))
    if entry.is_file() and entry.suffix != ".parquet":
        return lambda: read_table(entry, _reading())
    if files := [entry] if entry.is_file() else _parquet_files(entry):
        return lambda: rows_of(str(entry), open_parquet(files))
    files = table_files(str(entry))
    return lambda: (row for file in files for row in read_table(file, _reading()))


def _parquet_files(folder: Path) -> list[Path]:
    """The Parquet files of the test split, where there is one, or else all of them."""
    files = [
        file
        for file in sorted(folder.rglob("*.parquet"))
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    tests = [file for file in files if file.name.startswith(_SPLIT) or file.parent.name == _SPLIT]
    return tests or files


def _hub_rows(owner: str, spellings: list[str]) -> Rows:
    def rows() -> Iterator[Row]:
        for spelling in spellings:
            try:
                return _split_rows(f"{owner}/{spelling}")
            except InputError as error:
                reason = error
        raise reason

    return rows


def _split_rows(src: str) -> Iterator[Row]:
    splits = open_splits(src, _reading())
    if _SPLIT not in splits and len(splits) != 1:
        raise InputError(f"{src} has the splits {', '.join(splits)}; expected {_SPLIT!r}, or a single one")
    name = _SPLIT if _SPLIT in splits else next(iter(splits))
    return rows_of(src, splits[name])


def _reading() -> Reading:
    return Reading(Options(), AudioStore(Path()))  # strict; audio is not kept


def _questions(task: str, entry: Path, rows: Rows) -> Iterator[Question]:
    folder = entry if entry.is_dir() else entry.parent
    for number, (place, row) in enumerate(rows(), start=1):
        if row.get("audio") is None:
            raise RecordError(f"{place}: has no audio; its columns: {', '.join(row)}")
        sources = [_clip(row[column], place, folder) for column in ("audio", "audio2") if row.get(column)]
        asked = "\n".join(
            [_text(row, "instruction", place), *([str(row["text"])] if row.get("text") else [])]
        )
        key = f"{task}/{number:05d}"
        parts = [{"type": "audio", "audio": source} for source, _ in sources]
        yield Question(
            key,
            [{"role": "user", "content": [*parts, {"type": "text", "text": asked}]}],
            {
                "task": task,
                "instruction": asked,
                "label": _text(row, "label", place),
                "audio": str(row.get("file") or sources[0][1] or key),
                "clip": _clip_id(sources[0][0]),
                "row": place,
            },
        )


def _clip_id(source: bytes | str) -> str:
    """Equal for equal clips of all tasks: names of files in tables may repeat, or all be the same."""
    return hashlib.blake2s(source, digest_size=8).hexdigest() if isinstance(source, bytes) else source


def _text(row: Mapping[str, Any], column: str, place: str) -> str:
    value = row.get(column)
    if isinstance(value, bool | int | float):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        given = f"given {column}={value!r}" if column in row else f"there is no column {column!r}"
        raise RecordError(f"{place}: {given}, expected a text; the columns: {', '.join(row)}")
    return value.strip()


def _clip(audio: Any, place: str, folder: Path) -> tuple[bytes | str, str | None]:
    """A clip's bytes or path, and the name of its file."""
    audio = fetched(audio)
    if isinstance(audio, Mapping):
        if isinstance(audio.get("bytes"), bytes) and audio["bytes"]:
            return audio["bytes"], audio.get("path")
        audio = audio.get("path")
    if not isinstance(audio, str) or not audio:
        raise RecordError(
            f"{place}: its audio is {str(audio)[:60]!r}, expected a path or the bytes of a file"
        )
    return str(folder / audio), audio
