"""The verb evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.commands.model import Fast, Model


def evaluate(
    benchmark: Annotated[str, typer.Argument(metavar="BENCHMARK", help="nano")],
    model: Model = "nano",
    data: Annotated[
        Path | None, typer.Option(help="Folder with clips.jsonl; otherwise clips are synthesised.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of predictions and report.")] = Path(
        "evaluation"
    ),
    n: Annotated[int, typer.Option("-n", min=1, help="Clips to synthesise.")] = 400,
    seed: Annotated[int, typer.Option(help="Another seed draws other clips.")] = 0,
    fast: Fast = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Run a benchmark and score it, with 95 % intervals. Resumable.

    Example: desta2 evaluate nano --model nano -o evaluation
    """
    from desta2.errors import InputError

    if benchmark != "nano":
        raise InputError(f"unknown benchmark {benchmark!r}; known: nano")
    quiet_transformers()
    from desta2.evaluate.nano import evaluate_nano

    result = evaluate_nano(model, output, data, n, seed, fast=fast)
    emit(public(result), as_json, summary(result))


def public(result: dict[str, Any]) -> dict[str, Any]:
    """What --json prints."""
    keys = ("attribute_accuracy", "format_rate", "by_attribute", "asr_wer", "seconds", "report")
    return {key: result[key] for key in keys}


def summary(result: dict[str, Any]) -> str:
    """The same in words."""

    def line(name: str, score: dict[str, Any]) -> str:
        percents = " … ".join(f"{100 * score[key]:.1f}" for key in ("low", "high"))
        return f"{name:<42}{100 * score['value']:6.1f} %   [{percents}]   n = {score['n']}"

    names = {
        "speech": "the trained model, from speech",
        "cascade": "transcript only, no adapter",
        "topline": "true seed transcript as text",
        "chance": "most frequent value",
    }
    lines = ["attribute accuracy, mean over attributes"]
    lines += [line(f"  {names[key]}", score) for key, score in result["attribute_accuracy"].items()]
    lines += ["from speech, by attribute"]
    lines += [line(f"  {key}", scores["speech"]) for key, scores in result["by_attribute"].items()]
    lines += [
        "formats obeyed",
        *(line(f"  with {key}", score) for key, score in result["format_rate"].items()),
        "formats obeyed with the right value",
        *(line(f"  with {key}", score) for key, score in result["format_right"].items()),
    ]
    lines += [line("word error rate of the transcripts", result["asr_wer"])]
    lines += [f"report: {result['report']} ({result['seconds']:.0f} s)"]
    return "\n".join(lines)
