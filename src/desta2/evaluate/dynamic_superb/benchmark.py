"""Dynamic-SUPERB as a benchmark that the runner knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.evaluate.dynamic_superb.read import read_questions
from desta2.evaluate.dynamic_superb.rows import superb_rows
from desta2.evaluate.dynamic_superb.score import score_superb
from desta2.evaluate.dynamic_superb.table import Table
from desta2.evaluate.rows import Row
from desta2.evaluate.systems import Question
from desta2.evaluate.words import score_line
from desta2.records import Prediction


class DynamicSuperb:
    """The benchmark with a table of tasks; see `Benchmark`."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def questions(self, data: Path) -> Iterator[Question]:
        """See `read_questions`."""
        return read_questions(data, self.table)

    def score(
        self, predictions: Sequence[Prediction], verdicts: Mapping[str, bool] | None = None
    ) -> dict[str, Any]:
        """See `score_superb`."""
        return dict(score_superb(predictions, self.table, verdicts))

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """See `superb_rows`."""
        return superb_rows(predictions, self.table)

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """A line for the average, each dimension and each task."""
        lines = self._lines(scores)
        if scores["missing"]:
            lines.append(f"not answered, and no part of the average: {', '.join(scores['missing'])}")
        if judged := scores.get("judged"):
            lines += [f"by the judge, who gave {judged['n']} verdicts:", *self._lines(judged)]
        return "\n".join(lines)

    def _lines(self, scores: Mapping[str, Any]) -> list[str]:
        count = sum(task in scores["by_task"] for task in self.table.averaged)
        lines = []
        if scores["average"] is not None:
            lines.append(score_line(f"average over {count} tasks", scores["average"]))
        for dimension, score in scores["by_dimension"].items():
            apart = ", apart" if dimension in self.table.apart else ""
            lines.append(score_line(f"{dimension}{apart}", score))
            tasks = [task for task in self.table.dimensions[dimension] if task in scores["by_task"]]
            lines += [score_line(f"  {task}", scores["by_task"][task]) for task in tasks]
        return lines
