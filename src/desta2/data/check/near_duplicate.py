"""Near duplicates: almost the same answer to the same prompt about almost the same seed.

Texts are sets of shingles (runs of words), and alike by the Jaccard similarity of these sets. Candidates come
from MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998): 12 bands of 12 hashes
find 98 % of what is 0.9 alike, 57 % of 0.8 (few candidates are worth more here than finding every one). What
they find is compared exactly, so that no pair is dropped for a chance agreement of hashes.

datasketch (MIT, kept up) has the same hashing, but its index is Python dictionaries in memory, or a server:
about 10 GB for five million pairs. Ours is `Index`, on the disk; what remains to write is the 30 lines below.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from desta2.data.check import config
from desta2.data.check.base import Filter, Finding
from desta2.data.check.index import Index
from desta2.data.check.item import Item
from desta2.data.check.text import shown, words

_BANDS, _ROWS = 12, 12
_MOST_CANDIDATES = 50  # of one band: bounds the work where thousands of answers follow one template
_MOST_SHINGLES = 5000  # the smallest hashes of a longer text stand for it
_random = np.random.default_rng(20240920)  # fixed: the same pairs are found in every run
_FACTORS, _OFFSETS = _random.integers(0, 1 << 64, (2, _BANDS * _ROWS, 1), dtype=np.uint64)
_FACTORS |= np.uint64(1)  # odd, as multiply-shift hashing wants them

Shingles = NDArray[np.uint32]


class NearDuplicate(Filter):
    """Answer and seed are both nearly those of a pair that was kept before."""

    name: ClassVar[str] = "near-duplicate"
    about: ClassVar[str] = "nearly repeats answer and seed of another pair"
    last: ClassVar[bool] = True

    def __init__(self, settings: config.NearDuplicate) -> None:
        self._settings = settings
        self._index = Index(
            "CREATE TABLE pairs (number INTEGER PRIMARY KEY, id TEXT, answer BLOB, seed BLOB)",
            "CREATE TABLE bands (key INTEGER, number INTEGER, PRIMARY KEY (key, number)) WITHOUT ROWID",
        )
        self._latest: tuple[Item, Shingles, Shingles, list[int]] | None = None

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        _, answer, seed, keys = self._hashed(item)
        candidates: set[int] = set()
        for key in keys:
            rows = self._index.all(f"SELECT number FROM bands WHERE key = ? LIMIT {_MOST_CANDIDATES}", [key])
            candidates.update(number for (number,) in rows)
        for number in sorted(candidates):
            first, *blobs = self._index.all("SELECT id, answer, seed FROM pairs WHERE number = ?", [number])[
                0
            ]
            answers, seeds = (np.frombuffer(blob, np.uint32) for blob in blobs)
            if (alike := jaccard(answer, answers)) < self._settings.answer:
                continue
            if (seed_alike := jaccard(seed, seeds)) >= self._settings.seed:
                said = f"answer {alike:.0%} and seed {seed_alike:.0%} like those of {first!r}"
                return Finding(said, shown(item.pair.response))
        return None

    def remember(self, item: Item) -> None:
        """See `Filter`."""
        _, answer, seed, keys = self._hashed(item)
        values = [item.pair.id, answer.tobytes(), seed.tobytes()]
        number = self._index.add("INSERT INTO pairs (id, answer, seed) VALUES (?, ?, ?)", values)
        self._index.add_many("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(key, number) for key in keys])

    def _hashed(self, item: Item) -> tuple[Item, Shingles, Shingles, list[int]]:
        if self._latest is None or self._latest[0] is not item:
            n = self._settings.shingle
            answer, seed = shingles(item.pair.response, n), shingles(item.pair.seed, n)
            # Seeds are compared anyway: where they count, they help to find fewer candidates.
            both = (
                answer if self._settings.seed == 0 else np.concatenate([answer, seed ^ np.uint32(0x5EED5EED)])
            )
            self._latest = item, answer, seed, band_keys(both, item.pair.provenance.prompt.strip())
        return self._latest


def shingles(text: str, n: int) -> Shingles:
    """Hashes of the runs of `n` words of a text, sorted, each once; a shorter text is one run."""
    found = words(text)
    runs = {" ".join(found[i : i + n]) for i in range(max(1, len(found) - n + 1))}
    hashes = np.fromiter((crc32(run.encode()) for run in runs), np.uint32, len(runs))
    return np.unique(hashes)[:_MOST_SHINGLES]


def jaccard(one: Shingles, other: Shingles) -> float:
    """Shared over all of two sets."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def band_keys(found: Shingles, salt: str) -> list[int]:
    """The keys (signed 64 bits) under which a set is found, if another one shares a band with it."""
    hashes = (_FACTORS * found.astype(np.uint64) + _OFFSETS) >> np.uint64(32)  # (hashes, shingles)
    signature = hashes.min(axis=1).reshape(_BANDS, _ROWS)
    salted = salt.encode()
    return [
        int.from_bytes(
            hashlib.blake2b(bytes([band]) + row.tobytes() + salted, digest_size=8).digest(),
            "big",
            signed=True,
        )
        for band, row in enumerate(signature)
    ]
