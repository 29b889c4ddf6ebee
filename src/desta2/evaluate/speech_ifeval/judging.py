"""Asking a judge about chain-of-thought responses that come without a judge's answer.

The published responses carry theirs; new ones do not. The prompt is ours (`speech_ifeval_reasoning`), as the
published one is not part of the data, so rates by our prompt and the published 91.50 % are of two measures,
even with the same judge. A response whose judge gives no verdict is not scored, but listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from desta2.errors import InputError, RecordError
from desta2.evaluate.judging.judge import Judge, JudgePrompt
from desta2.evaluate.judging.templates import Template, read_template, shipped_template
from desta2.evaluate.judging.verdicts import read_yes_no
from desta2.evaluate.speech_ifeval.responses import (
    Instructions,
    Judged,
    find_asked,
    open_reasoning,
    read_lines,
)
from desta2.lines import manifest_files

_NEEDS = ("instruction", "response")


def open_template(path: Path | None) -> Template:
    """The judge's prompt: ours, or that of a file with `{instruction}` and `{response}`.

    A file asks for an answer that states "Result: YES" or "Result: NO", of which the last counts.

    Raises:
        InputError: as `read_template`.
    """
    name = "speech_ifeval_reasoning"
    return shipped_template(name, _NEEDS) if path is None else read_template(path, _NEEDS)


def judge_reasoning(
    files: Sequence[Path], judge: Judge, template: Template, instructions: Instructions | None = None
) -> dict[str, Judged]:
    """Judge the chain-of-thought responses in some files that have neither `eval_response` nor `correct`.

    Args:
        files: as for `read_verdicts`.
        judge: entered.
        template: of the judge's prompt.
        instructions: for lines that do not carry theirs.

    Returns:
        By the place of the line, "path:LINE", in order; for `read_verdicts`.

    Raises:
        InputError, RunError: as `Judge.ask` and `read_verdicts`.
    """
    return judge_responses(_open_responses(files, instructions), judge, template)


def judge_responses(
    responses: Mapping[str, tuple[str, str]], judge: Judge, template: Template
) -> dict[str, Judged]:
    """Judge responses by key, each an (instruction, response); a blank one follows nothing, unasked.

    Raises:
        InputError, RunError: as `Judge.ask`.
    """
    prompts = (
        JudgePrompt(key, template.fill({"instruction": instruction, "response": response}))
        for key, (instruction, response) in responses.items()
        if response.strip()
    )
    judged = dict.fromkeys(responses, Judged(False, "", ""))
    for answer in judge.ask(prompts, read_yes_no):
        judged[answer.id] = Judged(answer.verdict, answer.text, answer.reason)
    return judged


def _open_responses(files: Sequence[Path], instructions: Instructions | None) -> dict[str, tuple[str, str]]:
    found = {}
    lines = (line for path in files for file in manifest_files(path) for line in read_lines(file))
    for place, fields in lines:
        try:
            if (response := open_reasoning(find_asked(fields, instructions))) is not None:
                found[place] = response
        except InputError as error:
            raise RecordError(f"{place}: {error}") from None
    return found
