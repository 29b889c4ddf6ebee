"""Multiple choice item by item: whether each answer is right, overall and by group.

Every order in which an item was asked stands in the rows, and all of them together weigh as one item.
"""

from __future__ import annotations

from collections.abc import Sequence

from desta2.evaluate.multiple_choice.score import Asked, groups_of, items_of
from desta2.evaluate.rows import Entry, Row, row_if_any
from desta2.records import Prediction


def choice_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """The accuracy, and that of each value of each group.

    Raises:
        InputError: a prediction does not carry its options, or its label is none of them.
    """
    asked = items_of(predictions)
    rows = row_if_any("accuracy", 0, "rate", _entries(asked))
    for group, values in groups_of(asked).items():
        for value in values:
            own = [one for one in asked if one.value(group) == value]
            rows.append(Row(f"{group}: {value}", 1, "rate", _entries(own)))
    return rows


def _entries(asked: Sequence[Asked]) -> list[Entry]:
    return [
        Entry(answer.id, right / len(one.answers), one.clip, size=1 / len(one.answers), item=one.key)
        for one in asked
        for answer, right in zip(one.answers, one.right, strict=True)
    ]
