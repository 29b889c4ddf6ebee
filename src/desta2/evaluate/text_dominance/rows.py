"""Text dominance item by item: right answers with the voice and without it, and whom conflicts follow.

To follow the words against the voice is an error; answers that name neither are what the two rows of a
conflict lack to 100 %. What the voice adds is a row of differences between two conditions, so that two
systems can be compared by it; what the words pull is in the scores alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from desta2.evaluate.rows import Entry, Kind, Row, cluster_of, row_if_any
from desta2.evaluate.text_dominance.items import AUDIO, CONFLICT, STATED, TRANSCRIPT
from desta2.evaluate.text_dominance.score import VOICE, WORDS, attribute_of, fields_of, named_value
from desta2.records import Prediction


class _Asks(NamedTuple):
    """A row: its name, that of its parts, the condition, and whose value is looked for."""

    name: str
    part: str
    condition: str
    side: str
    kind: Kind


_ROWS = (
    _Asks("accuracy with voice and transcript", "{}", AUDIO, VOICE, "rate"),
    _Asks("accuracy with the transcript alone", "{}, transcript alone", TRANSCRIPT, VOICE, "rate"),
    _Asks("another clip's words: follows the voice", "{}, voice against words", CONFLICT, VOICE, "rate"),
    _Asks("another clip's words: follows the words", "{}, words against voice", CONFLICT, WORDS, "error"),
    _Asks("another clip's labels: follows the voice", "{}, voice against labels", STATED, VOICE, "rate"),
    _Asks("another clip's labels: follows the words", "{}, labels against voice", STATED, WORDS, "error"),
)


def dominance_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """For each condition how often an answer names the voice's value, or the words'; and by attribute.

    Raises:
        InputError: a prediction is not this benchmark's.
    """
    rows = []
    for asks in _ROWS:
        entries = [
            Entry(item.id, _names(item, asks.side), cluster_of(item), attribute_of(item))
            for item in predictions
            if fields_of(item)["condition"] == asks.condition
        ]
        if entries:
            rows.append(Row(asks.name, 0, asks.kind, entries))
        for key in dict.fromkeys(entry.group for entry in entries):
            own = [entry for entry in entries if entry.group == key]
            rows.append(Row(asks.part.format(key), 1, asks.kind, own))
    return [*rows, *_gains(predictions)]


def _gains(predictions: Sequence[Prediction]) -> list[Row]:
    """What the voice adds to each answer: 1 where it mends it, -1 where it spoils it, else 0."""
    without = {
        _place(item): _names(item, VOICE)
        for item in predictions
        if fields_of(item)["condition"] == TRANSCRIPT
    }
    entries = [
        Entry(item.id, _names(item, VOICE) - without[_place(item)], cluster_of(item), attribute_of(item))
        for item in predictions
        if fields_of(item)["condition"] == AUDIO and _place(item) in without
    ]
    rows = row_if_any("the voice adds, in points", 0, "gain", entries)
    for key in dict.fromkeys(entry.group for entry in entries):
        own = [entry for entry in entries if entry.group == key]
        rows.append(Row(f"{key}, the voice adds", 1, "gain", own))
    return rows


def _place(item: Prediction) -> tuple[str, str]:
    """The clip and the attribute: what the conditions of an item share."""
    return str(fields_of(item)["clip"]), item.task


def _names(item: Prediction, side: str) -> bool:
    wanted = item.label if side == VOICE else fields_of(item)["words_label"]
    return named_value(item) == wanted
