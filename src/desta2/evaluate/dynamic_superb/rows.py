"""Dynamic-SUPERB item by item: whether each answer is right by rule, under task, dimension and average."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from desta2.evaluate.dynamic_superb.score import check, task_of
from desta2.evaluate.dynamic_superb.table import Table
from desta2.evaluate.rows import Entry, Row, cluster_of, row_if_any
from desta2.records import Prediction


def superb_rows(predictions: Sequence[Prediction], table: Table) -> list[Row]:
    """The average, each dimension and each task.

    Raises:
        InputError: as `score_superb`.
    """
    by_task: dict[str, list[Entry]] = {}
    for item, right in zip(predictions, check(predictions), strict=True):
        task = task_of(item, table)
        by_task.setdefault(task, []).append(Entry(item.id, right, cluster_of(item), task))

    def entries(tasks: Iterable[str]) -> list[Entry]:
        return [entry for task in tasks for entry in by_task.get(task, [])]

    count = sum(task in by_task for task in table.averaged)
    rows = row_if_any(f"average over {count} tasks", 0, "rate", entries(table.averaged))
    for dimension, tasks in table.dimensions.items():
        apart = ", apart" if dimension in table.apart else ""
        rows += row_if_any(f"{dimension}{apart}", 1, "rate", entries(tasks))
        for task in tasks:
            rows += row_if_any(task, 2, "rate", entries([task]))
    return rows
