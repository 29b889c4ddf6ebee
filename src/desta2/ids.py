"""Which ids there have been, in memory that does not grow with their number.

Trade-off: the latest ids lie in a dict, all older ones in a temporary SQLite table on disk whose page cache
is bounded. A filter of one bit per hash says of most new ids that they are not there, without a look (Bloom,
1970). A small file never touches the disk; a large one pays some microseconds an id instead of 200 bytes. Ids
that come in their sorted order, as manifests mostly have them, cost least; ids in random order touch a page
each. The table lies where SQLite puts temporary files (SQLITE_TMPDIR or TMPDIR), without a name, and is gone
with the process, however that ends.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterator, Mapping

from desta2.errors import RunError

IN_MEMORY = 10_000  # ids in the dict, some 2 MB
PAGE_CACHE_KIB = 1024
_HASHES = 1 << 24  # bits of the filter, 2 MB: of a million ids, one new one in 17 is looked for in vain


class IdTable(Mapping[str, int]):
    """Ids, each with a number; nothing is ever taken out. One thread at a time.

    Args:
        in_memory: ids kept in memory before they go to the disk together.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._recent: dict[str, int] = {}
        self._older: sqlite3.Connection | None = None
        self._filter = bytearray()  # a bit for each hash that an older id may have
        self._count = 0

    def setdefault(self, key: str, number: int) -> int:
        """The number of `key`, which becomes `number` if `key` is new.

        Raises RunError where the disk of temporary files refuses.
        """
        found = self._find(key)
        if found is not None:
            return found
        self._recent[key] = number
        self._count += 1
        if len(self._recent) >= self._limit:
            self._spill()
        return number

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __getitem__(self, key: str) -> int:
        if (found := self._find(key)) is None:
            raise KeyError(key)
        return found

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Ids in no particular order; none may be added meanwhile."""
        if self._older is not None:
            for (key,) in self._older.execute("SELECT key FROM ids"):
                yield _decoded(key)
        yield from self._recent

    def _find(self, key: str) -> int | None:
        if (number := self._recent.get(key)) is not None:
            return number
        place = hash(key) % _HASHES
        if self._older is None or not self._filter[place >> 3] >> (place & 7) & 1:
            return None
        row = self._older.execute("SELECT number FROM ids WHERE key = ?", (_encoded(key),)).fetchone()
        return None if row is None else int(row[0])

    def _spill(self) -> None:
        """Move what is in memory to the disk, in sorted order, which touches the fewest pages."""
        rows = sorted((_encoded(key), number) for key, number in self._recent.items())
        try:
            older = self._older = self._older or self._create()
            older.execute("BEGIN")
            older.executemany("INSERT INTO ids VALUES (?, ?)", rows)
            older.execute("COMMIT")
            for key in self._recent:
                place = hash(key) % _HASHES
                self._filter[place >> 3] |= 1 << (place & 7)
        except sqlite3.Error as error:
            raise RunError(
                f"cannot keep {self._count} ids in a temporary file: {error}; is its disk full? The variable "
                "SQLITE_TMPDIR names another folder"
            ) from error
        self._recent.clear()

    def _create(self) -> sqlite3.Connection:
        # Iterators of records may be made in one thread and used up in another, never in two at a time.
        table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, table.close)
        self._filter = bytearray(_HASHES >> 3)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            f"PRAGMA cache_size = -{PAGE_CACHE_KIB}",
            "CREATE TABLE ids (key BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID",
        ):
            table.execute(statement)
        return table


def _encoded(key: str) -> bytes:
    # An id that cannot be written is somebody else's error, with a better message than ours would be.
    return key.encode("utf-8", "surrogatepass")


def _decoded(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
