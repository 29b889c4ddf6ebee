"""Exact duplicates: the same answer to the same prompt about the same seed.

Answers alone would not do: two clips of one sentence, spoken alike, have a right to the same description, and
short answers ("Male.") recur. Case, punctuation and spacing make no difference. The first one stays.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar

from desta2.data.check.base import Filter, Finding
from desta2.data.check.index import Index
from desta2.data.check.item import Item
from desta2.data.check.text import plain, shown


class Duplicate(Filter):
    """Prompt, seed and answer of a pair that was kept before."""

    name: ClassVar[str] = "duplicate"
    about: ClassVar[str] = "repeats answer and seed of another pair"
    last: ClassVar[bool] = True

    def __init__(self) -> None:
        self._index = Index("CREATE TABLE seen (key BLOB PRIMARY KEY, id TEXT) WITHOUT ROWID")

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        first = self._index.all("SELECT id FROM seen WHERE key = ?", [_key(item)])
        if not first:
            return None
        return Finding(f"the same answer and seed as {first[0][0]!r}", shown(item.pair.response))

    def remember(self, item: Item) -> None:
        """See `Filter`."""
        self._index.add("INSERT OR IGNORE INTO seen VALUES (?, ?)", [_key(item), item.pair.id])


def _key(item: Item) -> bytes:
    pair = item.pair
    parts = [pair.provenance.prompt.strip(), plain(pair.seed), plain(pair.response)]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).digest()
