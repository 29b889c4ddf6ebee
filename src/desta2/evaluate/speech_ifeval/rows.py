"""Speech-IFEval item by item: IFrate, parts, and rules, which count instructions."""

from __future__ import annotations

from collections.abc import Sequence

from desta2.errors import InputError
from desta2.evaluate.rows import Entry, Row, row_if_any
from desta2.evaluate.speech_ifeval.checkers import CHECKERS, PARTS
from desta2.evaluate.speech_ifeval.responses import Verdict, open_reasoning, verdict_of
from desta2.records import Prediction


def ifeval_rows(predictions: Sequence[Prediction]) -> list[Row]:
    """The IFrate where all parts are scored, each part, and each rule of it.

    A chain-of-thought response counts where it carries its verdict (`eval_response` or `correct`).

    Raises:
        InputError: a prediction does not carry its instructions.
    """
    checked: list[tuple[str, Verdict]] = []
    for item in predictions:
        fields = item.to_dict()
        try:
            if open_reasoning(fields) is None:
                checked.append((item.id, verdict_of(fields, item.id)))
        except InputError as error:
            raise InputError(f"{item.id!r}: {error}") from None
    by_part = {
        part: [
            Entry(key, all(verdict.followed), verdict.clip, part)
            for key, verdict in checked
            if verdict.part == part
        ]
        for part in PARTS
    }
    rows = []
    if all(by_part.values()):
        entries = [entry for part in PARTS for entry in by_part[part]]
        rows.append(Row("IFrate, the mean of the three parts", 0, "rate", entries))
    for part, entries in by_part.items():
        rows += row_if_any(part, 1, "rate", entries)
        for name in (name for name, checker in CHECKERS.items() if checker.part == part):
            rows += row_if_any(name, 2, "rate", _of_rule(name, checked))
    return rows


def _of_rule(name: str, checked: Sequence[tuple[str, Verdict]]) -> list[Entry]:
    return [
        Entry(key, followed, verdict.clip)
        for key, verdict in checked
        for asked, followed in zip(verdict.names, verdict.followed, strict=False)  # a judge's has no name
        if asked == name
    ]
