"""The nano benchmark item by item, for one of its systems: attributes, formats, and the transcripts."""

from __future__ import annotations

from collections.abc import Sequence

from desta2.errors import InputError
from desta2.evaluate.formats import obeys
from desta2.evaluate.rows import Entry, Row, cluster_of, row_if_any
from desta2.evaluate.score import is_right, word_errors
from desta2.records import Prediction

TRANSCRIPT = "transcript"


def nano_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """Attribute accuracy, formats obeyed, formats with the right value, and the word error rate.

    Raises:
        InputError: a prediction is none of the nano benchmark's.
    """
    asked: list[Entry] = []
    obeyed: list[Entry] = []
    both: list[Entry] = []
    heard: list[Entry] = []
    for item in predictions:
        kind, _, name = item.task.partition("/")
        extra = item.model_extra or {}
        if kind == TRANSCRIPT:
            errors, words = word_errors(item.label or "", item.response)
            heard.append(Entry(item.id, errors, cluster_of(item), size=words))
        elif kind == "attribute":
            right = is_right(name, item.label or "", item.response)
            asked.append(Entry(item.id, right, cluster_of(item), name))
        elif kind == "format":
            right = is_right(str(extra.get("key", "")), item.label or "", item.response)
            hit = obeys(name, item.response, str(extra.get("phrase", "")))
            obeyed.append(Entry(item.id, hit, cluster_of(item), name))
            both.append(Entry(item.id, hit and right, cluster_of(item), name))
        else:
            wanted = "attribute/<key>, format/<name> or transcript"
            raise InputError(f"{item.id!r} has the task {item.task!r}; expected {wanted}")
    return [
        *_with_parts("attribute accuracy", "", asked),
        *_with_parts("formats obeyed", "", obeyed),
        *_with_parts("formats obeyed with the right value", ", right value", both),
        *row_if_any("word error rate of the transcripts", 0, "error", heard),
    ]


def _with_parts(name: str, suffix: str, entries: Sequence[Entry]) -> list[Row]:
    rows = row_if_any(name, 0, "rate", entries)
    for part in dict.fromkeys(entry.group for entry in entries):
        own = [entry for entry in entries if entry.group == part]
        rows.append(Row(f"{part.replace('_', ' ')}{suffix}", 1, "rate", own))
    return rows
