"""The scores of Dynamic-SUPERB: per task, per dimension, and the average over all tasks.

An answer is right if the label stands in it as consecutive whole words, without regard to case and
punctuation, as in the scores of the DeSTA papers (Lu et al., ICASSP 2025, arXiv 2409.20007). The trade-off:
the rule is free and the same for everyone, but an answer that names all options is right, and one that says
"two speakers" where the label is "more than one" is wrong. A judge's verdicts can be scored beside it.

A dimension's score is the mean over its tasks, and the average is the mean over all tasks but those apart:
each task counts alike, whatever its number of items. Intervals resample clips, since several tasks share
some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

from desta2.errors import InputError
from desta2.evaluate.answers import normalise
from desta2.evaluate.dynamic_superb.table import Table
from desta2.evaluate.rows import cluster_of
from desta2.evaluate.stats import Score, cluster_bootstrap
from desta2.records import Prediction


class Accuracies(TypedDict):
    """Shares of right answers; `average` is None where all tasks are of dimensions apart."""

    average: Score | None
    by_dimension: dict[str, Score]
    by_task: dict[str, Score]


class Counted(Accuracies):
    """Accuracies, the number of items, and the tasks that the average should have and does not."""

    n: int
    missing: list[str]


class SuperbScores(Counted):
    """The scores by rule, ready for JSON; `judged` are those by a judge's verdicts, where there are some."""

    judged: NotRequired[Counted]


def is_right(label: str, response: str) -> bool:
    """Whether the label stands in the response as consecutive whole words.

    Raises:
        InputError: the label has no words.
    """
    if not (words := normalise(label)):
        raise InputError(f"given the label {label!r}, expected one with letters or digits")
    return f" {words} " in f" {normalise(response)} "


def score_superb(
    predictions: Sequence[Prediction], table: Table, verdicts: Mapping[str, bool] | None = None
) -> SuperbScores:
    """Score predictions by rule and, where a judge's verdicts are given, by these too.

    Args:
        predictions: with a task of the table, spelt in any of its ways, and a label. Those with the same
            `speaker`, or else `clip`, or else `audio` are resampled together.
        table: tasks and dimensions.
        verdicts: id → whether the answer is right. Predictions without one count in no score by the judge,
            whose `n` is smaller then; who judges has to name them.

    Raises:
        InputError: there is nothing to score, a task that the table does not know, or no label; or there are
            verdicts, but on none of the predictions.
    """
    if not predictions:
        raise InputError("there are no predictions to score")
    tasks = [task_of(item, table) for item in predictions]
    clips = [cluster_of(item) for item in predictions]
    by_rule = _counted(check(predictions), tasks, clips, table)
    result: SuperbScores = {
        "average": by_rule["average"],
        "by_dimension": by_rule["by_dimension"],
        "by_task": by_rule["by_task"],
        "n": by_rule["n"],
        "missing": by_rule["missing"],
    }
    if verdicts is not None:
        places = [place for place, item in enumerate(predictions) if item.id in verdicts]
        if not places:
            raise InputError(f"none of the {len(predictions)} predictions has a verdict")
        judged = [verdicts[predictions[place].id] for place in places]
        own_tasks, own_clips = [tasks[place] for place in places], [clips[place] for place in places]
        result["judged"] = _counted(judged, own_tasks, own_clips, table)
    return result


def check(predictions: Sequence[Prediction]) -> list[bool]:
    """For each prediction whether it is right by rule; InputError where one has no label."""
    return [is_right(_label(item), item.response) for item in predictions]


def _counted(hits: Sequence[bool], tasks: Sequence[str], clips: Sequence[str], table: Table) -> Counted:
    def mean(wanted: set[str]) -> Score | None:
        places = [place for place, task in enumerate(tasks) if task in wanted]
        if not places:
            return None
        own = [[column[place] for place in places] for column in (hits, tasks, clips)]
        return cluster_bootstrap(*own).to_dict()

    by_dimension = {name: mean(set(own)) for name, own in table.dimensions.items()}
    by_task = {task: mean({task}) for task in table.dimension_of}
    return {
        "average": mean(set(table.averaged)),
        "by_dimension": {name: score for name, score in by_dimension.items() if score is not None},
        "by_task": {task: score for task, score in by_task.items() if score is not None},
        "n": len(hits),
        "missing": [task for task in table.averaged if task not in set(tasks)],
    }


def task_of(item: Prediction, table: Table) -> str:
    """The task of a prediction as the table spells it; InputError where the table does not know it."""
    if (task := table.resolve(item.task)) is None:
        raise InputError(
            f"{item.id!r} has the task {item.task!r}, which the table does not know; another table is given "
            "with --tasks, another spelling with --names"
        )
    return task


def _label(item: Prediction) -> str:
    if item.label is None:
        raise InputError(f"{item.id!r} has no label; items of Dynamic-SUPERB need one")
    return item.label
