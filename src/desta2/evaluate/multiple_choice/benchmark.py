"""Multiple choice as a benchmark that the runner knows: questions with shuffled options, and accuracies.

An item that was asked in several orders counts once, with the share of orders in which the answer was right.
How often a system sticks to one option whatever the order is reported beside: where that is low, so is what
its accuracy says. An answer that chooses no option, or several, is wrong, and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from desta2.errors import InputError
from desta2.evaluate.multiple_choice.choose import Choice, choose
from desta2.evaluate.multiple_choice.items import orders, question_of, read_items
from desta2.evaluate.stats import Score, cluster_bootstrap
from desta2.evaluate.systems import Question
from desta2.evaluate.words import score_line
from desta2.records import Prediction

GROUPS = ("task", "category", "subcategory", "difficulty", "dataset")
"""Fields of predictions by which accuracies are given."""


class ChoiceScores(TypedDict):
    """Accuracies, ready for JSON.

    `chance` is the accuracy of guessing; `consistent` the share of items with several orders in which all
    answers choose the same option; `by` holds for each field, such as "category", the accuracies by its
    values. `n` is the number of items, `answers` that of answers, of which `ambiguous` choose several options
    and `unclear` none.
    """

    accuracy: Score
    chance: float
    consistent: NotRequired[Score]
    by: dict[str, dict[str, Score]]
    n: int
    answers: int
    ambiguous: int
    unclear: int


@dataclass(frozen=True)
class _Asked:
    """An item and its answers: the share of right ones, and whether all choose the same."""

    first: Prediction
    right: float
    same: bool
    orders: int

    @property
    def clip(self) -> str:
        extra = self.first.model_extra or {}
        return str(extra.get("speaker") or extra.get("clip") or self.first.audio or self.first.id)


def choice_of(item: Prediction) -> Choice:
    """What a prediction chooses; InputError where it does not carry its options, or its label is none."""
    options = (item.model_extra or {}).get("options")
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise InputError(f"{item.id!r} has options={options!r}, expected the list of texts as it was shown")
    if item.label not in options:
        raise InputError(f"{item.id!r} has the label {item.label!r}, expected one of {', '.join(options)}")
    return choose(item.response, options)


def is_right(item: Prediction, choice: Choice) -> bool:
    """Whether a prediction's choice is its label."""
    return choice.place is not None and (item.model_extra or {})["options"][choice.place] == item.label


def score_choices(predictions: Sequence[Prediction]) -> ChoiceScores:
    """Score predictions of multiple choice; intervals resample clips.

    Args:
        predictions: each with `options` as they were shown and the right one as its label. Those with the
            same `item` are orders of one question.

    Raises:
        InputError: there is nothing to score, or a prediction does not carry its options.
    """
    if not predictions:
        raise InputError("there are no predictions to score")
    choices = [choice_of(item) for item in predictions]
    by_item: defaultdict[str, list[tuple[Prediction, Choice]]] = defaultdict(list)
    for item, choice in zip(predictions, choices, strict=True):
        by_item[str((item.model_extra or {}).get("item") or item.id)].append((item, choice))
    asked = [_asked(rows) for rows in by_item.values()]
    result = ChoiceScores(
        accuracy=_accuracy(asked),
        chance=sum(1 / len((one.first.model_extra or {})["options"]) for one in asked) / len(asked),
        by={group: _by_value(asked, group) for group in GROUPS if any(_value(one, group) for one in asked)},
        n=len(asked),
        answers=len(predictions),
        ambiguous=sum(choice.ambiguous for choice in choices),
        unclear=sum(choice.place is None and not choice.ambiguous for choice in choices),
    )
    if several := [one for one in asked if one.orders > 1]:
        clips = [one.clip for one in several]
        result["consistent"] = cluster_bootstrap([one.same for one in several], None, clips).to_dict()
    return result


def _asked(rows: Sequence[tuple[Prediction, Choice]]) -> _Asked:
    right = [is_right(item, choice) for item, choice in rows]
    chosen = {
        None if choice.place is None else (item.model_extra or {})["options"][choice.place]
        for item, choice in rows
    }
    return _Asked(rows[0][0], sum(right) / len(right), len(chosen) == 1 and None not in chosen, len(rows))


def _accuracy(asked: Sequence[_Asked]) -> Score:
    return cluster_bootstrap([one.right for one in asked], None, [one.clip for one in asked]).to_dict()


def _by_value(asked: Sequence[_Asked], group: str) -> dict[str, Score]:
    values = dict.fromkeys(value for one in asked if (value := _value(one, group)))
    return {value: _accuracy([one for one in asked if _value(one, group) == value]) for value in values}


def _value(asked: _Asked, group: str) -> str:
    item = asked.first
    return item.task if group == "task" else str((item.model_extra or {}).get(group) or "")


class MultipleChoice:
    """The benchmark; see `Benchmark`.

    Args:
        shuffles: in how many orders of its options each item is asked.

    Raises:
        InputError: fewer than one.
    """

    def __init__(self, shuffles: int = 1) -> None:
        if shuffles < 1:
            raise InputError(f"given {shuffles} shuffles, expected 1 or more")
        self.shuffles = shuffles

    def questions(self, data: Path) -> Iterator[Question]:
        """See `read_items`."""
        items = read_items(data)
        return (
            question_of(item, turn, order)
            for item in items
            for turn, order in enumerate(orders(item, self.shuffles))
        )

    def score(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """See `score_choices`."""
        return dict(score_choices(predictions))

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """A line for the accuracy, and for each group."""
        lines = [score_line(f"accuracy (guessing: {100 * scores['chance']:.2f} %)", scores["accuracy"])]
        if "consistent" in scores:
            lines.append(score_line("the same option in every order", scores["consistent"]))
        for group, accuracies in scores["by"].items():
            lines.append(f"by {group}")
            lines += [score_line(f"  {value}", score) for value, score in accuracies.items()]
        if scores["ambiguous"] or scores["unclear"]:
            lines.append(
                f"of {scores['answers']} answers {scores['ambiguous']} choose several options and "
                f"{scores['unclear']} none that can be told; they are wrong"
            )
        return "\n".join(lines)
