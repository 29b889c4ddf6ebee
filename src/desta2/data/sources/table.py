"""A table of recordings: CSV, TSV, JSON lines or Parquet, a row a clip.

The audio of a row is a path, relative to the table's folder (or to `--data-root`, or absolute), or its
bytes, as Hugging Face's Parquet files have them ({"bytes": …, "path": …}); those are written beside the
manifest. An id is made of the path and the cut where the table has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from desta2.data.sources.base import Reading, Source
from desta2.data.sources.columns import clip_values, resolve
from desta2.data.sources.rows import Row, read_table, table_files
from desta2.data.sources.store import suffix_for
from desta2.errors import AudioError, InputError, RecordError
from desta2.records import Clip


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read a table, or all tables of a folder one after another."""
    return _clips(table_files(src), reading)


def _clips(files: list[Path], reading: Reading) -> Iterator[Clip]:
    for file in files:
        rows = read_table(file, reading)
        yield from row_clips(rows, reading, [file.parent], str(file), gaps=".jsonl" in file.name)


def row_clips(
    rows: Iterator[Row], reading: Reading, folders: list[Path], name: str, *, gaps: bool = False
) -> Iterator[Clip]:
    """Make clips of rows.

    Args:
        rows: of one table.
        reading: of this run; gets the columns that are not used.
        folders: where relative audio paths are looked for, after the data root.
        name: of the table, for errors.
        gaps: a row leaves out the columns that it has nothing for, as objects of JSON do.

    Raises:
        InputError: no column holds the audio, or the user maps a column that is not there.
    """
    by_names: dict[tuple[str, ...], dict[str, str]] = {}
    columns = reading.options.columns
    for place, row in rows:
        names = tuple(row)
        if names not in by_names:
            here = {c: t for c, t in columns.items() if c in row} if gaps else columns
            by_names[names], unused = resolve(names, here)
            reading.unused_columns = tuple(dict.fromkeys([*reading.unused_columns, *unused]))
            if len(by_names) == 1 and "audio" not in {*by_names[names].values(), *columns.values()}:
                raise InputError(
                    f"{name}: no column holds the audio; say which one does, such as --map file=audio; its "
                    f"columns: {', '.join(names)}"
                )
        if clip := _clip(place, row, by_names[names], reading, folders):
            yield clip
    met = {column for names in by_names for column in names}
    if by_names and (never := [column for column in columns if column not in met]):
        raise InputError(
            f"{name}: no row has the column {never[0]!r} of --map; its columns: {', '.join(met)}"
        )


def _clip(
    place: str, row: Mapping[str, Any], taken: Mapping[str, str], reading: Reading, folders: list[Path]
) -> Clip | None:
    try:
        values = clip_values(row, taken)
    except RecordError as error:
        reading.bad(place, error)
        return None
    if "audio" not in values:
        reading.bad(place, "has no audio")
        return None
    audio = values.pop("audio")
    values.setdefault("id", row_id(audio, values, place))
    path = audio_path(audio, values["id"], place, reading, folders)
    return path and reading.clip(place, audio=path, **values)  # type: ignore[return-value]


def row_id(audio: Any, values: Mapping[str, Any], place: str) -> str:
    """An id for a row that has none: the path of its audio, with the cut if it is only a part."""
    path = audio if isinstance(audio, str) else (audio.get("path") if isinstance(audio, dict) else None)
    cut = "-".join(f"{values[key]:g}" for key in ("start", "end") if key in values)
    return f"{path}#{cut}" if path and cut else str(path or Path(place).name)


def audio_path(audio: Any, clip_id: str, place: str, reading: Reading, folders: list[Path]) -> str | None:
    """The audio of a row as a path or URI, kept in a file if it comes as bytes or samples.

    Args:
        audio: a path or URI; {"bytes", "path"} as `datasets` gives undecoded audio; {"array",
            "sampling_rate"} as it gives decoded audio.
        clip_id: names the file that is kept.
        place: for errors.
        reading: of this run.
        folders: where a relative path is looked for, after the data root.
    """
    if isinstance(audio, dict):
        name, content = audio.get("path"), audio.get("bytes")
        if isinstance(content, bytes | bytearray) and content:
            try:
                suffix = suffix_for(bytes(content), name)
            except AudioError as error:
                reading.bad(place, error)
                return None
            return str(reading.keep_audio(clip_id, suffix, lambda: bytes(content)))
        if audio.get("array") is not None:
            return _keep_samples(audio, clip_id, place, reading)
        audio = name
    if not isinstance(audio, str) or not audio:
        reading.bad(place, f"its audio is {str(audio)[:60]!r}, expected a path, or the bytes of a file")
        return None
    if "://" in audio:
        return audio
    roots = [root for root in (reading.data_root, *folders) if root is not None]
    places = [root / Path(audio).expanduser() for root in roots]
    return str(next((path for path in places if path.exists()), places[-1]))


def _keep_samples(audio: Mapping[str, Any], clip_id: str, place: str, reading: Reading) -> str | None:
    from desta2.data.audio import load_audio

    try:
        rate = int(audio["sampling_rate"])
        samples = load_audio(np.asarray(audio["array"], np.float32), sampling_rate=rate, name=place)
        return str(reading.keep_audio(clip_id, ".wav", lambda: np.clip(samples, -1.0, 1.0)))
    except (AudioError, KeyError, TypeError, ValueError) as error:
        reading.bad(place, f"its samples cannot be used: {error}")
        return None


SOURCE = Source(
    name="table",
    title="a table of recordings",
    layout="a .csv, .tsv, .jsonl or .parquet file, or a folder of them, with a column that holds the audio",
    carries="what its columns hold",
    licence="yours",
    obtain="wherever your recordings are",
    read=read,
    options=frozenset({"columns"}),
    own_data=True,
)
