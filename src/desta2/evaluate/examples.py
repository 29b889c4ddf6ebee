"""Items to look at: which a system did worst, where two differ most, and what was heard in them.

Most scores are right or wrong, so "worst" has many equals. Examples are drawn from the parts of the table in
turn, the part with the worst score first: twelve wrong answers of one task would show less than one of each.
The trade-off: clips are found by asking the benchmark for its questions again, as predictions hold no audio;
that reads through the data until all are found, and not at all where the data are on a hub.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeAlias

from desta2.errors import InputError
from desta2.evaluate.benchmarks import Options, open_benchmark
from desta2.evaluate.rows import Entry, Row, item_of, leaves
from desta2.evaluate.runner import is_hub
from desta2.evaluate.stored import NANO, Stored
from desta2.records import Clip, read_records, resolve_audio

logger = logging.getLogger(__name__)
Source: TypeAlias = Any  # what `load_audio` reads, or an array at the model's rate


def worst(rows: Sequence[Row], count: int) -> list[tuple[Row, Entry]]:
    """The worst items, none of them perfect, from all parts of a table in turn, the worst part first.

    Returns:
        At most `count`, each with the row that it was found in; every item once.
    """
    ordered = sorted(leaves(rows), key=_badness_of_score, reverse=True)
    return _in_turn([(row, _bad(row)) for row in ordered], count)


def apart(rows: Sequence[tuple[Row, Row]], count: int) -> list[tuple[Row, Entry]]:
    """The items in which the first of two systems is better than the second by most, from all parts in turn.

    Args:
        rows: both systems' rows, pair by pair, of the same items.
        count: at most so many.
    """
    lowest = {id(row) for row in leaves([first for first, _ in rows])}
    found = []
    for first, second in rows:
        if id(first) in lowest:
            other = {(entry.id, entry.group): badness(second, entry) for entry in second.entries}
            gains = [(other[entry.id, entry.group] - badness(first, entry), entry) for entry in first.entries]
            better = sorted((gain for gain in gains if gain[0] > 0), key=lambda gain: -gain[0])
            found.append((first, [entry for _, entry in better]))
    return _in_turn(found, count)


def badness(row: Row, entry: Entry) -> float:
    """How bad an item is in a row: the higher, the worse; 0 where it could not be better."""
    value = entry.value / entry.size
    return value if row.kind == "error" else row.best - value


def _badness_of_score(row: Row) -> float:
    value = row.score().value
    return value if row.kind == "error" else row.best - value


def _bad(row: Row) -> list[Entry]:
    bad = [entry for entry in row.entries if badness(row, entry) > 0]
    return sorted(bad, key=lambda entry: -badness(row, entry))


def _in_turn(found: Iterable[tuple[Row, Sequence[Entry]]], count: int) -> list[tuple[Row, Entry]]:
    queues = [[(row, entry) for entry in entries] for row, entries in found]
    chosen: dict[str, tuple[Row, Entry]] = {}
    for turn in zip_longest(*queues):
        for pair in turn:
            if pair is not None and len(chosen) < count:
                chosen.setdefault(pair[1].id, pair)
        if len(chosen) >= count:
            break
    return list(chosen.values())


def find_clips(stored: Stored, ids: Iterable[str], options: Options | None = None) -> dict[str, list[Source]]:
    """What was heard in some items: id → sources of clips; items whose clips cannot be found are missing."""
    wanted = set(ids)
    found: dict[str, list[Source]] = {}
    try:
        for key, sources in _clips(stored, wanted, options or Options()):
            if key in wanted:
                found[key] = sources
            if len(found) == len(wanted):
                break
    except InputError as error:
        logger.warning("the report has not all clips: %s", error)
    return found


def _clips(stored: Stored, wanted: set[str], options: Options) -> Iterator[tuple[str, list[Source]]]:
    if stored.benchmark == NANO:
        yield from _nano_clips(stored, wanted)
        return
    data = stored.facts.get("data")
    if not data:
        paths = ((item.id, item.audio) for item in stored.predictions if item.id in wanted)
        yield from ((key, [path]) for key, path in paths if path and Path(path).is_file())
    elif is_hub(Path(data)):
        logger.info("clips on a hub are not fetched again for the report: %s", data)
    else:
        # By item: in how many orders each was asked is not known here, and all have the same clips.
        ids: dict[str, list[str]] = {}
        for item in stored.predictions:
            if item.id in wanted:
                ids.setdefault(item_of(item), []).append(item.id)
        for question in open_benchmark(stored.benchmark, options).questions(Path(data)):
            for key in ids.get(str(question.fields.get("item") or question.id), ()):
                yield key, _sources(question.messages)


def _sources(messages: Sequence[Mapping[str, Any]]) -> list[Source]:
    from desta2.model.messages import ClipPart, normalise

    parts = [part for turn in normalise(messages) for part in turn.parts]
    return [part.audio for part in parts if isinstance(part, ClipPart) and part.audio is not None]


def _nano_clips(stored: Stored, wanted: set[str]) -> Iterator[tuple[str, list[Source]]]:
    manifest = stored.path / "clips.annotated.jsonl"
    if not manifest.exists():
        return
    clips = {clip.id: clip for clip in read_records(manifest, Clip)}
    for item in stored.predictions:
        clip = clips.get(str((item.model_extra or {}).get("clip")))
        if item.id in wanted and clip is not None:
            yield item.id, [resolve_audio(clip, manifest, None)]
