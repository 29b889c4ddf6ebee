"""A folder of recordings: every file of audio in it, however deep, is a clip.

A text file of the same name (a.wav, a.txt) is the transcript; a JSON file of the same name holds fields
and attributes under their names, or under names that `--map` explains. The id is the path in the folder
without its suffix, so two files that differ in nothing else cannot both be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from desta2.data.sources.base import Reading, Source, files_below, text_of
from desta2.data.sources.columns import clip_values, resolve
from desta2.errors import InputError, RecordError
from desta2.records import Clip

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".mov", ".webm", ".mka", ".mkv")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read a folder in the order of the names in it."""
    folder = Path(src).expanduser().absolute()
    if not folder.is_dir():
        raise InputError(f"{src} is not a folder; expected one with files of audio in it")
    return _clips(folder, reading)


def _clips(folder: Path, reading: Reading) -> Iterator[Clip]:
    found = False
    for path in files_below(folder, AUDIO_SUFFIXES):
        found = True
        try:
            values = _beside(path, reading)
        except (InputError, RecordError) as error:
            reading.bad(path, error)
            continue
        values.setdefault("id", path.relative_to(folder).with_suffix("").as_posix())
        if clip := reading.clip(path, **values | {"audio": str(path)}):
            yield clip
    if not found:
        raise InputError(f"{folder} holds no audio: no file in it ends in {', '.join(AUDIO_SUFFIXES)}")


def _beside(path: Path, reading: Reading) -> dict[str, Any]:
    """What the .json and the .txt of the same name say; the text of the .json wins."""
    values: dict[str, Any] = {}
    if content := text_of(path.with_suffix(".json")):
        try:
            fields = from_json(content, allow_inf_nan=False)
        except ValueError as error:
            raise RecordError(f"{path.with_suffix('.json').name}: not valid JSON: {error}") from error
        if not isinstance(fields, dict):
            raise RecordError(f"{path.with_suffix('.json').name}: expected a JSON object")
        here = {c: t for c, t in reading.options.columns.items() if c in fields}
        taken, unused = resolve(list(fields), here)
        reading.unused_columns = tuple(dict.fromkeys([*reading.unused_columns, *unused]))
        values = clip_values(fields, taken)
    if text := text_of(path.with_suffix(".txt")):
        values.setdefault("text", text)
    return values


SOURCE = Source(
    name="folder",
    title="a folder of recordings",
    layout="files of audio, each with a .txt or .json of the same name if anything is known of it",
    carries="text (.txt), and what the .json files hold",
    licence="yours",
    obtain="wherever your recordings are",
    read=read,
    options=frozenset({"columns"}),
    own_data=True,
)
