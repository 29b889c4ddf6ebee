"""Multiple choice as a benchmark that the runner knows: questions with shuffled options, and accuracies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.errors import InputError
from desta2.evaluate.multiple_choice.items import orders, question_of, read_items
from desta2.evaluate.multiple_choice.rows import choice_rows
from desta2.evaluate.multiple_choice.score import score_choices
from desta2.evaluate.rows import Row
from desta2.evaluate.systems import Question
from desta2.evaluate.words import score_line
from desta2.records import Prediction


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

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """See `choice_rows`."""
        return choice_rows(predictions)

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
