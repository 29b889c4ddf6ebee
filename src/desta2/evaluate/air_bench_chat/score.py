"""The scores of AIR-Bench-Chat: marks by category, win rates, and how sure they are.

A category's mark is the mean over its parts (`categories.yaml`); the average is the mean over the categories,
so each counts alike. The win rate counts, as the benchmark's script does, the verdicts in which the response
got strictly more than the reference. Intervals resample recordings, since several questions are about one.

The trade-off: an answer without both verdicts is left out, since a mark from one order would bring back the
favour for a place; how many those are, and which, is part of every result.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml

from desta2 import __version__
from desta2.errors import Desta2Error, InputError, RunError
from desta2.evaluate.air_bench_chat.items import Answer, Item
from desta2.evaluate.air_bench_chat.judging import Comparison, Marks, compare_answers, open_template
from desta2.evaluate.judging.judge import Judge, list_unjudged
from desta2.evaluate.stats import Interval, Score, cluster_bootstrap, ratio_bootstrap

Categories: TypeAlias = Mapping[str, Sequence[Sequence[str]]]
_Row: TypeAlias = tuple[Item, Marks, str]  # the last being the group in whose mean it counts

BENCHMARK = "air-bench-chat"


def shipped_categories() -> Categories:
    """The benchmark's categories, each a list of parts, each a list of tasks."""
    text = resources.files(__package__).joinpath("categories.yaml").read_text(encoding="utf-8")
    categories: Categories = yaml.safe_load(text)
    return categories


def score_answers(
    answers: Sequence[Answer],
    judge: Judge,
    items: Sequence[Item] | None = None,
    template: Path | None = None,
    categories: Categories | None = None,
) -> tuple[dict[str, Any], list[Comparison]]:
    """Judge answers and score them.

    Args:
        answers: of one system.
        judge: entered.
        items: of the whole benchmark, to tell which have no answer.
        template: of the judge's prompt; None for ours.
        categories: None for the benchmark's.

    Returns:
        The result, JSON values, and the comparisons behind it in the order of the answers. Scores are {value,
        low, high, n}; a category has "score", "reference" (the marks of the benchmark's own answers) and
        "win_rate".

    Raises:
        InputError: a task belongs to no category, or there is no response.
        RunError: as `Judge.ask`; or no verdict can be used.
    """
    known = shipped_categories() if categories is None else categories
    _check_tasks(answers, known)
    prompt = open_template(template)
    compared = compare_answers(judge, answers, prompt)
    judged = [(found.answer.item, found.marks, "") for found in compared if found.marks is not None]
    unjudged = list_unjudged(verdict for found in compared for verdict in found.verdicts)
    if not judged:
        raise _nothing(len(answers), unjudged)
    missing = _missing(answers)
    result = {
        "benchmark": BENCHMARK,
        **_by_category(judged, known),
        "by_task": {task: _scores(rows) for task in _tasks(known) if (rows := _of_tasks(judged, [task]))},
        "position_favour": _mean(judged, [marks.favour for _, marks, _ in judged]).to_dict(),
        "n": len(judged),
        "unjudged": {"n": len(compared) - len(judged) - missing, "verdicts": unjudged},
        "missing": missing + (0 if items is None else len(items) - len(answers)),
        "judge": {**judge.facts, "prompt_hash": prompt.digest},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"desta2": __version__},
    }
    return result, compared


def _nothing(answers: int, unjudged: Sequence[Mapping[str, str]]) -> Desta2Error:
    if not unjudged:
        return InputError(f"none of the {answers} lines holds a response")
    first = unjudged[0]
    return RunError(
        f"the judge gave no usable verdict on any of {answers} answers; the first, item {first['id']}: "
        f"{first['reason']}: {first['answer'][:80]!r}"
    )


def _missing(answers: Sequence[Answer]) -> int:
    """How many lines have no response."""
    return sum(answer.response is None for answer in answers)


def _check_tasks(answers: Sequence[Answer], categories: Categories) -> None:
    occurring = Counter(answer.item.task for answer in answers)
    if unknown := sorted(occurring.keys() - set(_tasks(categories))):
        raise InputError(
            f"the task {unknown[0]!r} belongs to no category; known are {', '.join(_tasks(categories))}"
        )


def _tasks(categories: Categories) -> list[str]:
    return [task for parts in categories.values() for part in parts for task in part]


def _by_category(judged: Sequence[_Row], categories: Categories) -> dict[str, Any]:
    """The categories of which all parts occur; their average where all do.

    Each part of each category is a group of equal weight; a category with fewer parts than another is
    repeated, so that its groups together weigh as much.
    """
    copies = math.lcm(*(len(parts) for parts in categories.values()))
    found: dict[str, dict[str, Score]] = {}
    every: list[_Row] = []
    for name, parts in categories.items():
        rows_of = [_of_tasks(judged, part, f"{name}/{number}") for number, part in enumerate(parts)]
        if not all(rows_of):
            continue
        once = [row for rows in rows_of for row in rows]
        found[name] = _scores(once)
        every += [
            (item, marks, f"{group}/{copy}")
            for item, marks, group in once
            for copy in range(copies // len(parts))
        ]
    complete = len(found) == len(categories)
    return {"categories": found, "average": _scores(every, len(judged)) if complete else None}


def _of_tasks(judged: Sequence[_Row], tasks: Sequence[str], group: str = "") -> list[_Row]:
    """The rows of some tasks as one group."""
    return [(item, marks, group) for item, marks, _ in judged if item.task in tasks]


def _scores(rows: Sequence[_Row], n: int | None = None) -> dict[str, Score]:
    """The three scores of some rows; `n` where some occur several times."""
    groups, clips = [group for _, _, group in rows], [item.clip for item, _, _ in rows]
    scores = {
        "score": _mean(rows, [marks.score for _, marks, _ in rows]),
        "reference": _mean(rows, [marks.reference for _, marks, _ in rows]),
        "win_rate": cluster_bootstrap([marks.win for _, marks, _ in rows], groups, clips),
    }
    count = len(rows) if n is None else n
    return {name: replace(interval, n=count).to_dict() for name, interval in scores.items()}


def _mean(rows: Sequence[_Row], values: Sequence[float]) -> Interval:
    """The mean over groups. Marks are no rates: where all are 1, that is not the rule of three's case."""
    groups, clips = [group for _, _, group in rows], [item.clip for item, _, _ in rows]
    return ratio_bootstrap(values, np.ones(len(rows)), groups, clips)
