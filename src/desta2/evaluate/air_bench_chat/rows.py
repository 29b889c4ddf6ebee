"""AIR-Bench-Chat item by item: the marks that a judge gave, which the lines of `--items` carry."""

from __future__ import annotations

import math
from collections.abc import Sequence

from desta2.errors import InputError
from desta2.evaluate.air_bench_chat.score import shipped_categories
from desta2.evaluate.rows import HIGHEST_MARK, Entry, Row, cluster_of, row_if_any
from desta2.records import Prediction


def chat_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """The average where all categories are complete, each category that is, and each task.

    A prediction has its mark as `score`; those without one, or with null, are in no row.

    Raises:
        InputError: a mark is none.
    """
    by_task: dict[str, list[Entry]] = {}
    for item in predictions:
        if (mark := _mark(item)) is not None:
            by_task.setdefault(item.task, []).append(Entry(item.id, mark, cluster_of(item)))
    categories = shipped_categories()
    copies = math.lcm(*(len(parts) for parts in categories.values()))
    every: list[Entry] = []
    rows: list[Row] = []
    complete = 0
    for name, parts in categories.items():
        grouped = [
            [entry._replace(group=f"{name}/{number}") for task in part for entry in by_task.get(task, [])]
            for number, part in enumerate(parts)
        ]
        if all(grouped):
            complete += 1
            entries = [entry for part_entries in grouped for entry in part_entries]
            rows.append(Row(name, 1, "mark", entries))
            # Every category weighs the same in the average, whatever the number of its parts.
            every += [
                entry._replace(group=f"{entry.group}/{copy}")
                for entry in entries
                for copy in range(copies // len(parts))
            ]
        for task in (task for part in parts for task in part):
            rows += row_if_any(task, 2, "mark", by_task.get(task, []))
    return [Row("average", 0, "mark", every), *rows] if complete == len(categories) else rows


def _mark(item: Prediction) -> float | None:
    mark = (item.model_extra or {}).get("score")
    if mark is None:
        return None
    if isinstance(mark, bool) or not isinstance(mark, int | float) or not 0 <= mark <= HIGHEST_MARK:
        raise InputError(f"{item.id!r} has the mark {mark!r}, expected one from 0 to {HIGHEST_MARK}")
    return float(mark)
