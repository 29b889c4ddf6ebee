"""What a set of pairs is made of: counts for its dataset card, gathered while pairs stream by.

Memory: one entry for each speaker, language and source, and for attribute values and provenances (of each
kind the first MOST_VALUES; others count together). Clips are told apart in an on-disk `Index`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desta2.data.check.index import Index
from desta2.data.check.item import Item
from desta2.data.check.text import count_letters, words
from desta2.records import Record, read_records

MOST_VALUES = 1000
OTHERS = "(others)"
_FIELDS = ("duration", "speaker", "language", "source")


class ClipFacts:
    """Fields of clips by the id of their pair, from a file of seeds; held on disk."""

    def __init__(self, seeds: Path | None) -> None:
        self._index = Index("CREATE TABLE clips (id TEXT PRIMARY KEY, fields TEXT) WITHOUT ROWID")
        if seeds is not None:
            for record in read_records(seeds, Record):
                extra = record.model_extra or {}
                known = {name: extra[name] for name in _FIELDS if extra.get(name) is not None}
                self._index.add("INSERT INTO clips VALUES (?, ?)", [record.id, json.dumps(known)])

    def of(self, pair_id: str) -> dict[str, Any]:
        """What is known; empty for an unknown id."""
        rows = self._index.all("SELECT fields FROM clips WHERE id = ?", [pair_id])
        return dict(json.loads(rows[0][0])) if rows else {}


@dataclass
class Statistics:
    """Counts over pairs.

    Attributes:
        pairs: how many there are.
        clips: different clips among them.
        seconds: length of all clips, each counted once.
        rounded: clips whose length is known from the whole seconds of their seed only.
        unknown_length: clips whose length is not known at all.
        speakers, languages, sources: pairs of each; pairs of which it is not known count nowhere.
        attributes: pairs of each value, by name as the seeds write it; a value counts once a pair.
        clip_seconds: clips of each length in whole seconds, rounded down.
        answer_words: answers of each length in tens of words, rounded down.
        origins: pairs of each provenance (JSON, without the time).
    """

    pairs: int = 0
    clips: int = 0
    seconds: float = 0.0
    rounded: int = 0
    unknown_length: int = 0
    speakers: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    attributes: dict[str, Counter[str]] = field(default_factory=dict)
    clip_seconds: Counter[int] = field(default_factory=Counter)
    answer_words: Counter[int] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    _index: Index = field(
        default_factory=lambda: Index("CREATE TABLE clips (key TEXT PRIMARY KEY) WITHOUT ROWID")
    )

    def add(self, item: Item, facts: dict[str, Any]) -> None:
        """Count a pair; `facts` are fields of its clip, which win over those that the pair has itself."""
        known = (item.pair.model_extra or {}) | facts
        known.setdefault("source", known.get("dataset"))
        self.pairs += 1
        for name, counter in zip(_FIELDS[1:], (self.speakers, self.languages, self.sources), strict=True):
            if isinstance(known.get(name), str) and count_letters(known[name]):
                counter[known[name]] += 1
        stated = [pair for turn in item.turns or () for pair in turn.attributes.items()]
        for name, value in dict.fromkeys(stated):
            if name in self.attributes or len(self.attributes) < MOST_VALUES:
                _count(self.attributes.setdefault(name, Counter()), value)
        self.answer_words[len(words(item.pair.response)) // 10 * 10] += 1
        origin = item.pair.provenance.model_dump(exclude={"time"}, exclude_none=True)
        _count(self.origins, json.dumps(origin, ensure_ascii=False, sort_keys=True))
        self._add_clip(item, known)

    def _add_clip(self, item: Item, known: dict[str, Any]) -> None:
        places = [[entry.get(name) for name in ("audio", "start", "end")] for entry in item.clips]
        key = json.dumps(places or item.pair.id, ensure_ascii=False, default=str)
        if self._index.all("SELECT 1 FROM clips WHERE key = ?", [key]):
            return
        self._index.add("INSERT INTO clips VALUES (?)", [key])
        self.clips += 1
        seconds = known.get("duration")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
            seconds = max((turn.end for turn in item.turns), default=0.0) if item.turns else None
            self.rounded += seconds is not None
        if seconds is None:
            self.unknown_length += 1
            return
        self.seconds += seconds
        self.clip_seconds[int(seconds)] += 1


def _count(counter: Counter[str], value: str) -> None:
    counter[value if value in counter or len(counter) < MOST_VALUES else OTHERS] += 1
