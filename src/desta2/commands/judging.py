"""What the verbs with a judge share: its options, and the judge that they describe."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from desta2.errors import InputError

if TYPE_CHECKING:
    from desta2.evaluate.judging.judge import Judge


@dataclass(frozen=True)
class JudgeOptions:
    """What a user says of the judge: each field is an option of the verbs that are `with_judge`."""

    judge: Annotated[
        str | None,
        typer.Option(
            metavar="ID_OR_URL",
            help="The judge: URL of an OpenAI-compatible server, or folder or hub id of a model.",
        ),
    ] = None
    judge_model: Annotated[
        str | None, typer.Option(help="By URL: the name of the judge, where the server has several.")
    ] = None
    judge_template: Annotated[
        Path | None, typer.Option(help="The judge's prompt, a text file. Default: ours.")
    ] = None
    judge_answers: Annotated[
        Path | None,
        typer.Option(
            help="Folder where the judge's answers are kept, to be asked for once. Default: NAME.judge "
            "beside the first file."
        ),
    ] = None
    judge_concurrency: Annotated[
        int, typer.Option(min=1, help="By URL: requests to the judge in flight.")
    ] = 32
    judge_timeout: Annotated[float, typer.Option(min=0.1, help="By URL: seconds for one attempt.")] = 300.0
    judge_max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer of the judge.")] = 1024
    judge_attempts: Annotated[int, typer.Option(min=1, help="Attempts until an answer holds a verdict.")] = 3
    judge_key_env: Annotated[
        str, typer.Option(help="By URL: the environment variable that holds the API key.")
    ] = "DESTA2_API_KEY"

    @contextlib.contextmanager
    def open(self, files: Sequence[Path]) -> Iterator[Judge]:
        """Open the judge of the answers in `files`, and show how many verdicts there are."""
        from dataclasses import replace

        from desta2.commands import quiet_transformers
        from desta2.data.endpoint import is_url
        from desta2.evaluate.judging.judge import JUDGING, Judge
        from desta2.evaluate.judging.opening import open_judge
        from desta2.progress import Progress

        if self.judge is None:
            raise InputError("no judge is named: give its URL, folder or hub id with --judge")
        if not is_url(self.judge):
            quiet_transformers()
        backend = open_judge(
            self.judge,
            self.judge_model,
            concurrency=self.judge_concurrency,
            timeout=self.judge_timeout,
            api_key_env=self.judge_key_env,
        )
        kept = self.judge_answers or answers_beside(files[0])
        sampling = replace(JUDGING, max_new_tokens=self.judge_max_tokens)
        with (
            Progress(None, f"asking {backend.name} for verdicts") as bar,
            Judge(
                backend, kept, sampling=sampling, attempts=self.judge_attempts, on_answer=bar.advance
            ) as opened,
        ):
            yield opened


def with_judge(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `JudgeOptions`, which it gets as its parameter `judging`.

    Typer has no way to share options between commands but their signature, so that is what is written here.
    """
    hints = get_type_hints(JudgeOptions, include_extras=True)
    own = inspect.signature(command, eval_str=True)
    options = {field.name: (hints[field.name], field.default) for field in fields(JudgeOptions)}
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        told = {parameter.name: (parameter.annotation, parameter.default)}
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in (options if parameter.name == "judging" else told).items()
        ]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        judging = JudgeOptions(**{name: given.pop(name) for name in options})
        command(**given, judging=judging)

    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


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
