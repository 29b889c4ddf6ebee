"""Three readings of what a speech model knows of an attribute: asked for it, made to choose, describing.

Asked, it may say that it is not clear, or fail to follow; made to choose between the values it cannot; and
describing is what its adapter was trained to do. What asking loses against the others is the price of
following instructions. The trade-off: a choice is made between the sentences that state a value, whole
answers of one pattern, so what is compared is the value and not the style.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from desta2.errors import InputError
from desta2.evaluate.answers import UNMENTIONED, read_description
from desta2.evaluate.compare import Difference
from desta2.evaluate.rules import extra_of, is_item_right, name_of
from desta2.evaluate.stats import Score
from desta2.evaluate.tables import Table, by_name, difference, judged, overall, same_items, score
from desta2.nano.language import ASPECT
from desta2.records import Prediction

_READINGS = {"free": "attribute", "forced": "forced", "described": "describe"}


class Readings(TypedDict):
    """Accuracy of the speech model in each reading, "free", "forced" and "described".

    `reading_accuracy` is the mean over attributes, `by_reading` has each. `gaps` are the paired differences
    "free - forced" and "free - described", `by_gap` those of each attribute. `unmentioned` is the share of
    known attributes of which a description says nothing.
    """

    reading_accuracy: Table
    by_reading: dict[str, Table]
    gaps: dict[str, Difference]
    by_gap: dict[str, dict[str, Difference]]
    unmentioned: Score | None


def score_readings(predictions: Sequence[Prediction]) -> Readings:
    """Score the readings of the speech model's predictions; those that it does not hold are left out.

    Raises:
        InputError: an attribute was asked for but not chosen or described, or the other way round.
    """
    found = {
        name: same_items(family, {name: predictions}, needed=False)[name]
        for name, family in _READINGS.items()
    }
    items = found["free"]
    given = {name: own for name, own in found.items() if own}
    for name, own in given.items():
        if list(map(_asked, own)) != list(map(_asked, items)):
            raise InputError(
                f"the {name} answers are not about the same clips and attributes as the free ones; run the "
                "benchmark to its end"
            )
    hits = judged(given, is_item_right)
    gaps: dict[str, Difference] = {}
    by_gap: dict[str, dict[str, Difference]] = {}
    for other in [name for name in given if name != "free"]:
        gaps[f"free - {other}"] = difference(hits["free"], hits[other], items)
        for key in ASPECT:
            if here := [i for i, item in enumerate(items) if name_of(item) == key]:
                one, two = ([hits[name][i] for i in here] for name in ("free", other))
                by_gap.setdefault(key, {})[f"free - {other}"] = difference(one, two, [items[i] for i in here])
    told = found["described"]
    silent = [read_description(name_of(item), item.response) == UNMENTIONED for item in told]
    return {
        "reading_accuracy": overall(hits, items),
        "by_reading": by_name(hits, items, tuple(ASPECT)),
        "gaps": gaps,
        "by_gap": by_gap,
        "unmentioned": score(silent, told) if told else None,
    }


def _asked(item: Prediction) -> tuple[str, str]:
    return extra_of(item, "clip"), name_of(item)
