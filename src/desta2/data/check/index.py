"""What was kept before, on the disk: the memory of the filters that compare pairs with each other.

A private SQLite database that has no name and is gone when it is closed, even after a kill. Memory stays at
its page cache (64 MB); the disk takes about 60 bytes a pair for exact duplicates and 1 to 2 kB for near ones
(five million pairs: some 8 GB in the folder that SQLITE_TMPDIR or TMPDIR names). A Python dictionary would
take several times as much, in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

_CACHE_KB = 64_000


class Index:
    """A throw-away database with the tables that its user declares."""

    def __init__(self, *tables: str) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            f"PRAGMA cache_size=-{_CACHE_KB}",
        ):
            self._connection.execute(statement)
        for table in tables:
            self._connection.execute(table)
        self._connection.execute("BEGIN")

    def all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._connection.execute(query, values).fetchall()

    def add(self, statement: str, values: Sequence[Any]) -> int:
        """Insert one row and give its number."""
        return int(self._connection.execute(statement, values).lastrowid or 0)

    def add_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows."""
        self._connection.executemany(statement, rows)
