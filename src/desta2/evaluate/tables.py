"""Scores of the nano benchmark's families: the same items of several systems, their mean and their parts.

A family's score is the mean over its parts (attributes, formats, kinds), so that a part with fewer items
counts alike; intervals resample speakers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from desta2.errors import InputError
from desta2.evaluate.compare import Difference, compare_paired
from desta2.evaluate.rules import extra_of, family_of, label_of, name_of
from desta2.evaluate.stats import Score, cluster_bootstrap
from desta2.records import Prediction

_NAMED = 5  # how many items an error names
Systems = Mapping[str, Sequence[Prediction]]
Hits = Mapping[str, Sequence[bool]]
Table = dict[str, Score]
"""A score for each system."""


def check_items(system: str, predictions: Sequence[Prediction]) -> None:
    """Refuse items that are there twice, and those of no family.

    Raises:
        InputError: there is one.
    """
    counts = Counter(item.id for item in predictions)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise InputError(f"{system} answered {_some(twice)} more than once; keep one answer to each item")
    for item in predictions:
        family_of(item)


def same_items(family: str, systems: Systems, *, needed: bool = True) -> dict[str, list[Prediction]]:
    """The items of one family in one order for all systems.

    Args:
        family: see `rules.ASKED`.
        systems: predictions by system.
        needed: False gives empty lists where there are none.

    Raises:
        InputError: there are none, or systems do not have the same.
    """
    chosen = {
        name: {item.id: item for item in items if family_of(item) == family}
        for name, items in systems.items()
    }
    union = sorted(set().union(*chosen.values()))
    if not union and needed:
        raise InputError(f"there are no {family} items to score; expected tasks named {family}/…")
    for name, items in chosen.items():
        if missing := [key for key in union if key not in items]:
            raise InputError(f"{name} has no answer to {_some(missing)}, which another system answered")
    for key in union:
        if len({(items[key].task, items[key].label) for items in chosen.values()}) > 1:
            raise InputError(f"the systems give {key!r} different tasks or labels; run all on the same items")
    return {name: [items[key] for key in union] for name, items in chosen.items()}


def judged(systems: Systems, judge: Callable[[Prediction], bool]) -> dict[str, list[bool]]:
    """What a rule says of each system's items; it sees labels as the attributes' options are written."""
    return {
        name: [judge(item.model_copy(update={"label": label_of(item)})) for item in items]
        for name, items in systems.items()
    }


def overall(hits: Hits, items: Sequence[Prediction]) -> Table:
    """Each system's mean over the parts; nothing without items."""
    return {name: score(own, items) for name, own in hits.items()} if items else {}


def by_name(hits: Hits, items: Sequence[Prediction], order: Sequence[str] | None = None) -> dict[str, Table]:
    """Each part's scores, in the order given, or else by name."""
    tables: dict[str, Table] = {}
    for name in order or sorted(set(map(name_of, items))):
        here = [i for i, item in enumerate(items) if name_of(item) == name]
        if here:
            there = [items[i] for i in here]
            tables[name] = {system: score([own[i] for i in here], there) for system, own in hits.items()}
    return tables


def score(hits: Sequence[bool], items: Sequence[Prediction]) -> Score:
    """Mean over parts with its interval."""
    return cluster_bootstrap(hits, list(map(name_of, items)), [speaker_of(item) for item in items]).to_dict()


def difference(first: Sequence[bool], second: Sequence[bool], items: Sequence[Prediction]) -> Difference:
    """How much better the first is on the same items, in means over parts; see `compare_paired`."""
    groups, speakers = [name_of(item) for item in items], [speaker_of(item) for item in items]
    return compare_paired(first, second, groups, speakers).to_dict()


def speaker_of(item: Prediction) -> str:
    """Whose voice an item is about.

    Raises:
        InputError: it does not say.
    """
    if not (speaker := extra_of(item, "speaker")):
        raise InputError(f"{item.id!r} has no speaker; intervals need to know whose voice it is")
    return speaker


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(repr, ids[:_NAMED])) + more
