"""Comparing answers with the benchmark's reference by an LLM, in both orders.

Judges favour a place: many give the first answer more whatever it says (Wang et al., "Large Language Models
are not Fair Evaluators", 2023). Each answer is therefore judged twice, once after the reference and once
before it, and its mark is the mean of the two; a favour that is the same in both orders cancels out. An
answer that got only one of its two verdicts has no mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from desta2.evaluate.air_bench_chat.items import Answer
from desta2.evaluate.judging.judge import Judge, JudgeAnswer, JudgePrompt
from desta2.evaluate.judging.templates import Template, read_template, shipped_template
from desta2.evaluate.judging.verdicts import read_marks

Shown: TypeAlias = tuple[float, float]
ORDERS = ("reference first", "response first")
_NEEDS = ("description", "question", "answer_1", "answer_2")
_OFFICIAL = {
    "XAudioX": "description",
    "XQuestionX": "question",
    "XAssistant1X": "answer_1",
    "XAssistant2X": "answer_2",
}


@dataclass(frozen=True)
class Marks:
    """What both orders together give.

    Attributes:
        score: the response's mark, mean of both orders.
        reference: the reference's.
        win: the share of the orders in which the response got more than the reference: 0, 0.5 or 1.
        favour: by how much the first place got more than the second, mean of both orders.
    """

    score: float
    reference: float
    win: float
    favour: float


@dataclass(frozen=True)
class Comparison:
    """An answer and what the judge said of it in both orders.

    Attributes:
        answer: with the item.
        verdicts: one for each of `ORDERS`, the marks of the first and of the second answer shown; empty where
            there was no response to judge.
    """

    answer: Answer
    verdicts: tuple[JudgeAnswer[Shown], ...]

    @property
    def marks(self) -> Marks | None:
        """None unless both verdicts are there."""
        shown = [verdict.verdict for verdict in self.verdicts if verdict.verdict is not None]
        if len(shown) < len(ORDERS):
            return None
        (reference_first, response_last), (response_first, reference_last) = shown
        return Marks(
            score=(response_first + response_last) / 2,
            reference=(reference_first + reference_last) / 2,
            win=((response_first > reference_last) + (response_last > reference_first)) / 2,
            favour=(response_first - reference_last + reference_first - response_last) / 2,
        )

    def to_dict(self) -> dict[str, Any]:
        """The line as it was read, with its marks (null for none) and the judge's words."""
        said = [
            {
                "order": order,
                "marks": verdict.verdict,
                "answer": verdict.text,
                "attempts": verdict.attempts,
                **({"reason": verdict.reason} if verdict.reason else {}),
            }
            for order, verdict in zip(ORDERS, self.verdicts, strict=False)  # none for a missing response
        ]
        marks = self.marks
        found = None if marks is None else (marks.score, marks.reference, marks.win)
        names = ("score", "reference_score", "win")
        own = dict(zip(names, found or (None, None, None), strict=True))
        return {**self.answer.fields, **own, "judged": said}


def open_template(path: Path | None) -> Template:
    """The judge's prompt: ours, or the one in a file.

    A file has `{description}`, `{question}`, `{answer_1}` and `{answer_2}`, or XAudioX, XQuestionX,
    XAssistant1X and XAssistant2X, as the benchmark's own script writes them, and asks for two marks on one
    line.

    Raises:
        InputError: as `read_template`.
    """
    if path is None:
        return shipped_template("air_bench_chat", _NEEDS)
    return read_template(path, _NEEDS, _OFFICIAL)


def compare_answers(judge: Judge, answers: Sequence[Answer], template: Template) -> list[Comparison]:
    """Have the judge compare each response with the reference, in both orders; in the order given.

    Raises:
        InputError, RunError: as `Judge.ask`.
    """
    asked = (prompt for answer in answers for prompt in _prompts(answer, template))
    said = {verdict.id: verdict for verdict in judge.ask(asked, read_marks)}
    return [
        Comparison(answer, tuple(said[key] for order in ORDERS if (key := _key(answer, order)) in said))
        for answer in answers
    ]


def _prompts(answer: Answer, template: Template) -> Iterator[JudgePrompt]:
    item, response = answer.item, answer.response
    if response is None:
        return
    for order, shown in zip(ORDERS, ((item.reference, response), (response, item.reference)), strict=True):
        parts = {"description": item.description, "question": item.question}
        text = template.fill({**parts, "answer_1": shown[0], "answer_2": shown[1]})
        yield JudgePrompt(_key(answer, order), text)


def _key(answer: Answer, order: str) -> str:
    return f"{answer.item.id}, {order}"
