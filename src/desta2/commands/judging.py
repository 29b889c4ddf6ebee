"""What the verbs with a judge share: its options, and the judge that they describe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from desta2.evaluate.judging.judge import Judge

JudgeUrl = Annotated[
    str | None,
    typer.Option(
        "--judge",
        metavar="ID_OR_URL",
        help="The judge: URL of an OpenAI-compatible server, or folder or hub id of a model.",
    ),
]
JudgeModel = Annotated[
    str | None, typer.Option(help="By URL: the name of the judge, where the server has several.")
]
JudgeTemplate = Annotated[Path | None, typer.Option(help="The judge's prompt, a text file. Default: ours.")]
JudgeAnswers = Annotated[
    Path | None,
    typer.Option(
        help="Folder where the judge's answers are kept, to be asked for once. Default: NAME.judge beside "
        "the first file."
    ),
]
JudgeConcurrency = Annotated[int, typer.Option(min=1, help="By URL: requests to the judge in flight.")]
JudgeTimeout = Annotated[float, typer.Option(min=0.1, help="By URL: seconds for one attempt.")]
JudgeTokens = Annotated[int, typer.Option(min=1, help="Longest answer of the judge.")]
JudgeAttempts = Annotated[int, typer.Option(min=1, help="Attempts until an answer holds a verdict.")]
JudgeKey = Annotated[str, typer.Option(help="By URL: the environment variable that holds the API key.")]


@contextlib.contextmanager
def judge_of(
    judge: str,
    model: str | None,
    answers: Path | None,
    files: Sequence[Path],
    *,
    concurrency: int,
    timeout: float,
    max_tokens: int,
    attempts: int,
    key_env: str,
) -> Iterator[Judge]:
    """Open the judge that the options describe, and show how many verdicts there are."""
    from dataclasses import replace

    from desta2.commands import quiet_transformers
    from desta2.data.endpoint import is_url
    from desta2.evaluate.judging.judge import JUDGING, Judge
    from desta2.evaluate.judging.opening import open_judge
    from desta2.progress import Progress

    if not is_url(judge):
        quiet_transformers()
    backend = open_judge(judge, model, concurrency=concurrency, timeout=timeout, api_key_env=key_env)
    kept = answers_beside(files[0]) if answers is None else answers
    sampling = replace(JUDGING, max_new_tokens=max_tokens)
    with (
        Progress(None, f"asking {backend.name} for verdicts") as bar,
        Judge(backend, kept, sampling=sampling, attempts=attempts, on_answer=bar.advance) as opened,
    ):
        yield opened


def answers_beside(predictions: Path) -> Path:
    """Where the judge's answers are kept: `NAME.judge` beside `NAME.jsonl` or the folder `NAME`."""
    return predictions.with_name(f"{predictions.name.split('.jsonl')[0]}.judge")


def how_judged(facts: Mapping[str, Any], unjudged: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What results say of a judge: who, with which prompt, and which verdicts are missing."""
    from datetime import UTC, datetime

    from desta2 import __version__

    return {
        "judge": dict(facts),
        "unjudged": {"n": len(unjudged), "verdicts": list(unjudged)},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"desta2": __version__},
    }
