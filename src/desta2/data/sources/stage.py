"""The corpus stage: a reader's records into a manifest, resumable, with paths that stay true.

Trade-off: the corpus is gone through again when a run is continued, and what is in the manifest is
skipped; reading names and tables is quick, and what takes time (headers, audio that has to be written) is
not done twice.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from desta2.data.audio import audio_seconds
from desta2.data.headers import header_seconds
from desta2.data.sources import load_source
from desta2.data.sources.base import Options, Reading, Source
from desta2.data.sources.store import AudioStore, audio_folder_of
from desta2.errors import AudioError, InputError
from desta2.ids import IdTable
from desta2.journal import Journal
from desta2.records import Clip, Record, Seed

Durations = Literal["header", "all", "none"]

_FLAGS = {"columns": "--map", "max_seconds": "--max-seconds"}


@dataclass
class Summary:
    """What a run of `read_corpus` did.

    Attributes:
        written: records written now.
        already_done: records that were there before.
        bad: how many things could not be used and were left out.
        bad_examples: the first of them, in words.
        left_out: records that were left out on purpose, by reason.
        fields: in how many of the written records each field and attribute is known.
        splits: written records by split.
        unused_columns: columns of a table that are no part of any clip.
    """

    written: int = 0
    already_done: int = 0
    bad: int = 0
    bad_examples: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    unused_columns: tuple[str, ...] = ()


def read_corpus(
    name: str,
    src: str,
    out: str | Path,
    *,
    options: Options | None = None,
    data_root: str | Path | None = None,
    audio_folder: str | Path | None = None,
    durations: Durations = "header",
    limit: int | None = None,
    skip_bad: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Read a corpus into a manifest; a second run continues where the first one stopped.

    Args:
        name: of the reader, see `sources.NAMES`.
        src: the corpus: a folder, a file, or a hub id.
        out: the manifest, `.jsonl` or a folder of parts.
        options: what is asked of the reader.
        data_root: folder that the audio paths will be relative to; by default they are relative to the
            manifest's folder. Given again to the later stages, it lets the audio be anywhere.
        audio_folder: where audio goes that has no file of its own; by default "NAME_audio" beside the
            manifest.
        durations: from the header where that is exact and cheap (wav, flac), of all files (which reads the
            others whole), or none.
        limit: stop after this many records of the corpus.
        skip_bad: count and list what cannot be used instead of raising.
        progress: called with the number of records finished so far.

    Raises:
        InputError: the corpus is not there or not as it should be, or the reader has no such option.
        RecordError, AudioError: a row or file cannot be used (only without `skip_bad`).
    """
    source, options, out = load_source(name), options or Options(), Path(out)
    if strange := [option for option in options.given() if option not in source.options]:
        flag = _FLAGS.get(strange[0], f"--{strange[0]}")
        raise InputError(f"{source.name} has no use for {flag}; it takes {_taken(source.options)}")
    if options.max_seconds != Options().max_seconds and not options.dialogues:
        raise InputError("--max-seconds is the longest clip of a dialogue: it goes with --dialogues")
    root = Path(data_root).expanduser().absolute() if data_root is not None else None
    store = AudioStore(Path(audio_folder) if audio_folder is not None else audio_folder_of(out))
    reading = Reading(options, store, data_root=root, skip_bad=skip_bad)
    records: Iterable[Record] = source.read(src, reading)  # before the manifest is touched: it may refuse
    summary = Summary()
    with Journal(out) as journal:
        _check_continues(journal.first, source, src, options, out)
        seen = IdTable()  # in this run: of those in the journal, an earlier run may have written them
        for place, record in enumerate(itertools.islice(records, limit)):
            if record.id in seen:
                if source.repeats:
                    reading.leave_out(record.id, "rows that repeat an earlier one")
                else:
                    reading.bad(
                        record.id, "the id is used twice: give another column as the id, or rename a file"
                    )
                continue
            if record.id in journal.done:
                seen.setdefault(record.id, place)
                summary.already_done += 1
            elif (ready := _ready(record, reading, source.label(src), out, root, durations)) is not None:
                journal.append(ready)
                seen.setdefault(record.id, place)
                _count(ready, summary)
            if progress is not None:
                progress(summary.already_done + summary.written)
    summary.bad, summary.bad_examples = reading.bad_count, reading.bad_examples
    summary.left_out, summary.unused_columns = dict(reading.left_out), reading.unused_columns
    return summary


def _taken(options: frozenset[str]) -> str:
    flags = sorted(_FLAGS.get(option, f"--{option}") for option in options)
    return ", ".join(flags) if flags else "none of --split, --map and the like"


def _check_continues(
    first: Mapping[str, Any] | None, source: Source, src: str, options: Options, out: Path
) -> None:
    """Refuse to put a second corpus into a manifest: ids that both have would count as finished."""
    if first is None or "source" in options.columns.values():
        return
    if first.get("source") != source.label(src):
        raise InputError(
            f"{out} holds records of {first.get('source')!r}, and now {source.label(src)!r} is asked for: "
            "give another output, or delete this one"
        )


def _ready(
    record: Record, reading: Reading, label: str, out: Path, root: Path | None, durations: Durations
) -> Record | None:
    """The record as it will be written: its audio there, its duration known, its path portable."""
    update: dict[str, object] = {} if getattr(record, "source", None) else {"source": label}
    if isinstance(record, Seed) or not isinstance(record, Clip) or "://" in record.audio:
        return record.model_copy(update=update)
    path = Path(record.audio)
    try:
        if not path.is_file():
            raise AudioError(f"no audio file at {path}")
        if record.duration is None and durations != "none":
            update["duration"] = _seconds(record, path, durations)
    except AudioError as error:
        reading.bad(f"clip {record.id!r}", error)
        return None
    return record.model_copy(update=update | {"audio": portable(path, out, root)})


def _seconds(clip: Clip, path: Path, durations: Durations) -> float | None:
    begin = clip.start or 0.0
    if clip.end is not None:
        return round(clip.end - begin, 3)
    seconds = header_seconds(path)
    if seconds is None and durations == "all":
        seconds = audio_seconds(path)
    if seconds is not None and seconds <= begin:
        raise AudioError(f"{path}: cannot be cut from {begin:g} s: it ends at {seconds:.3f} s")
    return None if seconds is None else max(0.001, round(seconds - begin, 3))


def portable(path: Path, out: Path, root: Path | None) -> str:
    """A path relative to the data root, or else to the folder of the manifest; POSIX, links to files kept.

    Raises:
        InputError: the file is not under the data root.
    """
    real = path.parent.resolve() / path.name
    if root is not None:
        if not real.is_relative_to(root.resolve()):
            raise InputError(f"{path} is not under the data root {root}; give another --data-root, or none")
        return real.relative_to(root.resolve()).as_posix()
    folder = out.parent if out.suffix == ".jsonl" else out
    return Path(os.path.relpath(real, folder.resolve())).as_posix()


def _count(record: Record, summary: Summary) -> None:
    summary.written += 1
    if isinstance(record, Clip):
        known = {"text": record.text, "speaker": record.speaker, "duration": record.duration}
        summary.fields.update(name for name, value in known.items() if value is not None)
        summary.fields.update(record.attributes.keys())
        summary.fields.update(["segments"] if record.segments else [])
    split = (record.model_extra or {}).get("split")
    if isinstance(split, str):
        summary.splits[split] += 1
