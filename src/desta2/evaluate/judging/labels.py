"""Whether answers mean the label, by judge: for labels that an answer may put in other words.

The alternative is the rule that looks for the label's words (Dynamic-SUPERB in the DeSTA papers): free, equal
for everyone and never persuaded, but blind to synonyms and to "not". A judge sees those and has errors of its
own, so both are worth reporting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.errors import InputError
from desta2.evaluate.judging.judge import Judge, JudgePrompt, list_unjudged
from desta2.evaluate.judging.templates import Template, read_template, shipped_template
from desta2.evaluate.judging.verdicts import read_yes_no
from desta2.records import Prediction

_NEEDS = ("instruction", "label", "response")


@dataclass(frozen=True)
class LabelVerdicts:
    """What the judge made of some predictions.

    Attributes:
        verdicts: for each prediction, in order; None where the judge gave none. Count and name those.
        by_id: the verdicts that there are, by the prediction's id.
        unjudged: these, each with its id, the reason, and what the judge said last.
        facts: of the judge, with the prompt's hash, for results.
    """

    verdicts: list[bool | None]
    by_id: dict[str, bool]
    unjudged: list[dict[str, str]]
    facts: dict[str, Any]


def judge_labels(
    judge: Judge, predictions: Sequence[Prediction], template: Path | None = None
) -> LabelVerdicts:
    """Judge predictions that have a label; a blank response is wrong without being asked about.

    Args:
        judge: entered.
        predictions: with ids that are unique.
        template: with `{instruction}`, `{label}` and `{response}`, and an answer that states "Result: YES" or
            "Result: NO"; None for ours.

    Raises:
        InputError, RunError: as `Judge.ask`; or a prediction has no label, or an id occurs twice.
    """
    prompt = shipped_template("label", _NEEDS) if template is None else read_template(template, _NEEDS)
    if len({item.id for item in predictions}) < len(predictions):
        raise InputError("two predictions have the same id; expected one answer to each item")
    prompts = [_prompt(item, prompt) for item in predictions]
    asked = [question for question, item in zip(prompts, predictions, strict=True) if item.response.strip()]
    answers = {answer.id: answer for answer in judge.ask(asked, read_yes_no)}
    verdicts = [answers[item.id].verdict if item.id in answers else False for item in predictions]
    facts = {**judge.facts, "prompt_hash": prompt.digest}
    by_id = {item.id: said for item, said in zip(predictions, verdicts, strict=True) if said is not None}
    return LabelVerdicts(verdicts, by_id, list_unjudged(answers[question.id] for question in asked), facts)


def _prompt(item: Prediction, template: Template) -> JudgePrompt:
    if item.label is None:
        raise InputError(f"{item.id!r} has no label; a judge of labels needs to know the right answer")
    text = template.fill({"instruction": item.instruction, "label": item.label, "response": item.response})
    return JudgePrompt(item.id, text)
