"""The transcript in an answer, taken out by a judge: for wrappings that no rule of `evaluate.asr` knows.

A judge understands any wrapping, but may also mend what the model misheard, which would be a better score
than the model earned. So only words of the answer, in its order, are taken from the judge; an answer from
which it took others has no transcript, and is listed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.errors import InputError
from desta2.evaluate.asr import normalise_transcript
from desta2.evaluate.judging.judge import Judge, JudgePrompt, list_unjudged
from desta2.evaluate.judging.templates import read_template, shipped_template
from desta2.records import Prediction

_NEEDS = ("instruction", "response")
_TAGGED = re.compile(r"<transcript>(.*?)</transcript>", re.DOTALL | re.IGNORECASE)
_ESCAPED = re.compile(r'\\(?:["/\\bfnrt]|u[0-9a-fA-F]{4})')


@dataclass(frozen=True)
class Transcripts:
    """What the judge took out of some predictions.

    Attributes:
        by_id: the transcripts that there are, by the prediction's id.
        unjudged: those without, each with its id, the reason, and what the judge said last.
        facts: of the judge, with the prompt's hash, for results.
    """

    by_id: dict[str, str]
    unjudged: list[dict[str, str]]
    facts: dict[str, Any]


def judge_transcripts(
    judge: Judge, predictions: Sequence[Prediction], template: Path | None = None
) -> Transcripts:
    """Let a judge take the transcripts out of answers; a blank answer holds none, without being asked about.

    Args:
        judge: entered.
        predictions: with ids that are unique.
        template: with `{instruction}` and `{response}`, and an answer that holds
            `<transcript>…</transcript>`, empty where the response has none; None for ours.

    Raises:
        InputError, RunError: as `Judge.ask`; or an id occurs twice.
    """
    name = "asr_transcript"
    prompt = shipped_template(name, _NEEDS) if template is None else read_template(template, _NEEDS)
    by_prediction = {item.id: item for item in predictions}
    if len(by_prediction) < len(predictions):
        raise InputError("two predictions have the same id; expected one answer to each item")
    asked = [
        JudgePrompt(item.id, prompt.fill({"instruction": item.instruction, "response": item.response}))
        for item in predictions
        if item.response.strip()
    ]
    by_id = {item.id: "" for item in predictions if not item.response.strip()}
    unjudged = []
    for said in judge.ask(asked, read_transcript):
        if said.verdict is None:
            unjudged += list_unjudged([said])
        elif is_taken_from(said.verdict, by_prediction[said.id].response):
            by_id[said.id] = said.verdict
        else:
            reason = "the transcript has words that the answer has not, or in another order"
            unjudged.append({"id": said.id, "reason": reason, "answer": said.text})
    return Transcripts(by_id, unjudged, {**judge.facts, "prompt_hash": prompt.digest})


def read_transcript(answer: str) -> str | None:
    """What stands in the last `<transcript>…</transcript>` of a judge's answer; else None."""
    tagged = _TAGGED.findall(answer)
    return tagged[-1].strip() if tagged else None


def is_taken_from(transcript: str, response: str) -> bool:
    """Whether the transcript's words are words of the response in their order, as they are compared."""
    said = iter(normalise_transcript(_ESCAPED.sub(" ", response)).split())
    plain = iter(normalise_transcript(response).split())
    words = normalise_transcript(transcript).split()
    return all(word in plain for word in words) or all(word in said for word in words)
