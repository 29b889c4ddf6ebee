"""The nano benchmark item by item, for one of its systems: every family of tasks, and the transcripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from desta2.evaluate.answers import word_errors
from desta2.evaluate.rows import Entry, Row, cluster_of, row_if_any
from desta2.evaluate.rules import extra_of, family_of, is_item_right, is_obeyed, name_of
from desta2.records import Prediction

TRANSCRIPT = "transcript"
_CLEAN = "clean"


def nano_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """Accuracy or share of each family, with its parts, and the word error rates.

    Raises:
        InputError: a prediction is none of the nano benchmark's.
    """
    families: dict[str, list[Prediction]] = {}
    heard: list[Entry] = []
    clean: list[Entry] = []
    for item in predictions:
        if item.task == TRANSCRIPT:
            errors, words = word_errors(item.label or "", item.response)
            heard.append(Entry(item.id, errors, cluster_of(item), size=words))
            if is_clean(item):
                clean.append(heard[-1])
        else:
            families.setdefault(family_of(item), []).append(item)

    def rows(name: str, family: str, suffix: str, judge: Callable[[Prediction], bool]) -> list[Row]:
        return _with_parts(name, suffix, families.get(family, ()), judge)

    def obeyed_and_right(item: Prediction) -> bool:
        return is_obeyed(item) and is_item_right(item)

    return [
        *rows("attribute accuracy", "attribute", "", is_item_right),
        *rows("attributes by forced choice", "forced", ", forced choice", is_item_right),
        *rows("attributes in descriptions", "describe", ", described", is_item_right),
        *rows("attributes in unseen wordings", "unseen", ", unseen wording", is_item_right),
        *rows("kinds of questions", "kind", "", is_item_right),
        *rows("formats obeyed", "format", ", obeyed", is_obeyed),
        *rows("formats obeyed with the right value", "format", ", right value", obeyed_and_right),
        *rows("unseen combinations obeyed", "combination", ", unseen combination", is_obeyed),
        *rows("unseen combinations, obeyed and right", "combination", ", unseen, right", obeyed_and_right),
        *rows("what cannot be answered is not clear", "unknown", ", not clear", is_item_right),
        *row_if_any("word error rate of the transcripts", 0, "error", heard),
        *row_if_any("word error rate of clean clips", 0, "error", clean),
    ]


def is_clean(item: Prediction) -> bool:
    """Whether a transcript is of a clip whose noise level is clean."""
    return extra_of(item, "noise_level").casefold() == _CLEAN


def _with_parts(
    name: str, suffix: str, items: Sequence[Prediction], judge: Callable[[Prediction], bool]
) -> list[Row]:
    entries = [Entry(item.id, judge(item), cluster_of(item), name_of(item)) for item in items]
    rows = row_if_any(name, 0, "rate", entries)
    for part in dict.fromkeys(entry.group for entry in entries):
        own = [entry for entry in entries if entry.group == part]
        rows.append(Row(f"{part.replace('_', ' ')}{suffix}", 1, "rate", own))
    return rows
