"""The accuracies of multiple choice, overall and by group, and how little they depend on the options' order.

An item that was asked in several orders counts once, with the share of orders in which the answer was right.
How often a system sticks to one option whatever the order is reported beside: where that is low, so is what
its accuracy says. An answer that chooses no option, or several, is wrong, and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from desta2.errors import InputError
from desta2.evaluate.multiple_choice.choose import Choice, choose
from desta2.evaluate.rows import cluster_of, item_of
from desta2.evaluate.stats import Score, cluster_bootstrap
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
class Asked:
    """An item and its answers.

    Attributes:
        answers: one for each order in which it was asked.
        choices: what each of them chooses.
    """

    answers: Sequence[Prediction]
    choices: Sequence[Choice]

    @property
    def key(self) -> str:
        """What the answers have in common."""
        return item_of(self.answers[0])

    @property
    def clip(self) -> str:
        """What the item is resampled with."""
        return cluster_of(self.answers[0])

    @property
    def right(self) -> list[bool]:
        """For each answer whether it is right."""
        return [is_right(item, choice) for item, choice in zip(self.answers, self.choices, strict=True)]

    @property
    def same(self) -> bool:
        """Whether all answers choose the same option."""
        chosen = {
            None if choice.place is None else (item.model_extra or {})["options"][choice.place]
            for item, choice in zip(self.answers, self.choices, strict=True)
        }
        return len(chosen) == 1 and None not in chosen

    @property
    def share(self) -> float:
        """Of right answers."""
        return sum(self.right) / len(self.right)

    def value(self, group: str) -> str:
        """Of a field of `GROUPS`; empty where the item does not have it."""
        first = self.answers[0]
        return first.task if group == "task" else str((first.model_extra or {}).get(group) or "")


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
    asked = items_of(predictions)
    choices = [choice for one in asked for choice in one.choices]
    result = ChoiceScores(
        accuracy=_accuracy(asked),
        chance=sum(1 / len((one.answers[0].model_extra or {})["options"]) for one in asked) / len(asked),
        by={group: _by_value(asked, group) for group in groups_of(asked)},
        n=len(asked),
        answers=len(predictions),
        ambiguous=sum(choice.ambiguous for choice in choices),
        unclear=sum(choice.place is None and not choice.ambiguous for choice in choices),
    )
    if several := [one for one in asked if len(one.answers) > 1]:
        clips = [one.clip for one in several]
        result["consistent"] = cluster_bootstrap([one.same for one in several], None, clips).to_dict()
    return result


def items_of(predictions: Sequence[Prediction]) -> list[Asked]:
    """The items with their answers; InputError where a prediction does not carry its options."""
    by_item: defaultdict[str, list[Prediction]] = defaultdict(list)
    for item in predictions:
        by_item[item_of(item)].append(item)
    return [Asked(answers, [choice_of(item) for item in answers]) for answers in by_item.values()]


def groups_of(asked: Sequence[Asked]) -> dict[str, list[str]]:
    """The fields of `GROUPS` that items have, and the values of each that occur."""
    found = {group: [value for one in asked if (value := one.value(group))] for group in GROUPS}
    return {group: list(dict.fromkeys(values)) for group, values in found.items() if values}


def _accuracy(asked: Sequence[Asked]) -> Score:
    return cluster_bootstrap([one.share for one in asked], None, [one.clip for one in asked]).to_dict()


def _by_value(asked: Sequence[Asked], group: str) -> dict[str, Score]:
    values = groups_of(asked)[group]
    return {value: _accuracy([one for one in asked if one.value(group) == value]) for value in values}
