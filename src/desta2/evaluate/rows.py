"""A benchmark's scores item by item: what two systems are compared by, and what a report shows.

A row is one line of a benchmark's table, with everything that its score is made of, so that whoever reads
rows (`compare_runs`, the report) needs to know nothing about the benchmark. The trade-off: an item stands in
every row that counts it (its task's, its dimension's, the average's), a tuple of references each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from desta2.evaluate.stats import Interval, ratio_bootstrap, with_width
from desta2.records import Prediction

Kind: TypeAlias = Literal["rate", "error", "mark", "gain"]
"""Shares of right answers; error rates, of which less is better; marks up to `HIGHEST_MARK`; differences of
two conditions of one system, such as what the voice adds, in points."""
HIGHEST_MARK = 10


class Entry(NamedTuple):
    """A prediction in a row.

    Attributes:
        id: of the prediction, which may count several times in a row.
        value: its score, such as right or wrong, or its number of errors.
        cluster: what is resampled with it, such as the clip or the speaker.
        group: in whose mean it counts; the row's score is the mean over the groups' means.
        size: what the sum of the group's values is divided by, such as the number of words.
        item: what was asked, where predictions share it, such as an item in another order of its options; ""
            where each prediction is an item.
    """

    id: str
    value: float
    cluster: str
    group: str = ""
    size: float = 1.0
    item: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table.

    Attributes:
        name: for people; unique in the table.
        level: 0 for what the benchmark is quoted by, 1 for its parts, 2 for parts of the part above.
        kind: what the values are.
        entries: at least one.
    """

    name: str
    level: int
    kind: Kind
    entries: Sequence[Entry]

    def score(self) -> Interval:
        """The row's score with its interval, `n` being items."""
        values, groups, clusters, sizes = self.columns()
        found = ratio_bootstrap(values, sizes, groups, clusters)
        if self.kind == "rate" or (self.kind == "error" and (sizes == 1).all()):
            found = with_width(found, values / sizes, clusters)
        return replace(found, n=self.n)

    @property
    def n(self) -> int:
        """The number of items."""
        return len({entry.item or entry.id for entry in self.entries})

    @property
    def best(self) -> float:
        """The best value that an item can have; of gains 0, since an item only shows badly by a loss."""
        return {"rate": 1.0, "error": 0.0, "mark": float(HIGHEST_MARK), "gain": 0.0}[self.kind]

    def columns(self) -> tuple[np.ndarray, list[str], list[str], np.ndarray]:
        """Values, groups, clusters and sizes of the entries: (entries,) each."""
        return (
            np.array([entry.value for entry in self.entries], dtype=np.float64),
            [entry.group for entry in self.entries],
            [entry.cluster for entry in self.entries],
            np.array([entry.size for entry in self.entries], dtype=np.float64),
        )


def row_if_any(name: str, level: int, kind: Kind, entries: Sequence[Entry]) -> list[Row]:
    """The row in a list; an empty list where it has no entries."""
    return [Row(name, level, kind, entries)] if entries else []


def leaves(rows: Sequence[Row]) -> list[Row]:
    """The rows that have no parts in the table."""
    following = [*(row.level for row in rows[1:]), 0]
    return [row for row, level in zip(rows, following, strict=False) if level <= row.level]


def scored_ids(rows: Iterable[Row]) -> set[str]:
    """The items that are in some row; the others have no verdict."""
    return {entry.id for row in rows for entry in row.entries}


def cluster_of(item: Prediction) -> str:
    """What a prediction is resampled with: its speaker, or else its clip."""
    extra = item.model_extra or {}
    return str(extra.get("speaker") or extra.get("clip") or item.audio or item.id)


def item_of(item: Prediction) -> str:
    """What a prediction answers: its `item`, where several predictions do, or else its id."""
    return str((item.model_extra or {}).get("item") or item.id)


def in_units(value: float, kind: Kind, *, signed: bool = False) -> str:
    """A score for people: in per cent, or as a mark; gains and, with `signed`, differences in points."""
    signed = signed or kind == "gain"
    sign = "+" if signed else ""
    number = f"{value if kind == 'mark' else 100 * value:{sign}.2f}"
    number = re.sub(r"^[+-](0\.00)$", r"\1", number)
    return number if kind == "mark" or signed else f"{number} %"
