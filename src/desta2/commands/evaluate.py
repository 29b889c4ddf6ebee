"""The verb evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.commands.model import Fast


def evaluate(
    context: typer.Context,
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK",
            help="nano, dynamic-superb, speech-ifeval, asr, air-bench-chat, multiple-choice, text-dominance, "
            "forgetting.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            help="Folder, hub id, 'nano' for the shipped one, or the URL of an OpenAI-compatible server.",
        ),
    ] = "nano",
    data: Annotated[
        Path | None,
        typer.Option(help="The benchmark's folder; nano: folder with clips.jsonl, else clips are made."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of predictions, scores and report.")
    ] = Path("evaluation"),
    n: Annotated[int, typer.Option("-n", min=1, help="nano: clips to synthesise.")] = 400,
    seed: Annotated[int, typer.Option(help="nano: another seed draws other clips.")] = 0,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Answer every N-th question only, the I-th process of N.")
    ] = "1/1",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 512,
    batch_size: Annotated[int, typer.Option(min=1, help="In this process: answers at a time.")] = 16,
    system: Annotated[
        str | None, typer.Option(help="System prompt. Default: the model's own; by URL: none.")
    ] = None,
    llm_name: Annotated[
        str | None, typer.Option(help="By URL: the name of the model, where the server has several.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="By URL: requests in flight.")] = 16,
    api_key_env: Annotated[
        str, typer.Option(help="By URL: the environment variable that holds the API key.")
    ] = "DESTA2_API_KEY",
    accept_failures: Annotated[
        bool, typer.Option("--accept-failures", help="Count questions that get no answer as wrong.")
    ] = False,
    tasks: Annotated[
        Path | None, typer.Option(help="dynamic-superb: a table of tasks in place of the shipped one.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="dynamic-superb: further spellings of tasks, OTHER: NAME.")
    ] = None,
    shuffles: Annotated[
        int, typer.Option(min=1, help="multiple-choice: orders of its options in which each item is asked.")
    ] = 1,
    fast: Fast = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Run a benchmark and score it, with 95 % intervals. Resumable. What is in it: docs/evaluate.md

    Example: desta2 evaluate dynamic-superb --model nano --data Dynamic-SUPERB -o evaluation

    Two runs side by side: desta2 evaluate compare A B. A run's page again: desta2 evaluate report RUN
    """
    if benchmark == "nano":
        _refuse(context, _NOT_NANO, "nano")
        _evaluate_nano(model, output, data, n, seed, fast, as_json)
        return
    _refuse(context, _NANO_ONLY, benchmark)
    if benchmark == "forgetting":
        _refuse(context, _NOT_FORGETTING, benchmark)
        _evaluate_forgetting(model, output, data, system, max_new_tokens, batch_size, as_json)
        return
    from desta2.errors import InputError
    from desta2.evaluate.benchmarks import Options, open_benchmark
    from desta2.evaluate.benchmarks import evaluate as run_and_score
    from desta2.evaluate.run_report import REPORT, write_run_report
    from desta2.evaluate.runner import Run, Shard
    from desta2.evaluate.stored import read_stored
    from desta2.evaluate.systems import open_system

    options = Options(tasks, names, shuffles)
    chosen = open_benchmark(benchmark, options)
    share = Shard.of(shard)
    if data is None:
        raise InputError(f"{benchmark} needs its data: give its folder with --data; see docs/evaluate.md")
    questions = chosen.questions(data)  # what is wrong with the data shows before a model loads
    quiet_transformers()
    answering = open_system(
        model,
        fast=fast,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        served_name=llm_name,
        concurrency=concurrency,
        api_key_env=api_key_env,
    )
    run = Run(benchmark, data, output, share, system, accept_failures)
    result = run_and_score(run, chosen, answering, questions)
    if result["missing"]:
        text = f"{output}: share {shard} is done; still to be done: {', '.join(result['missing'])}"
    else:
        result["report"] = str(write_run_report(read_stored(output), output / REPORT, options))
        text = "\n".join(
            [
                chosen.in_words(result["scores"]),
                f"report: {result['report']}",
                f"results: {result['results']}",
            ]
        )
    emit({"benchmark": benchmark, **result}, as_json, text)


_NANO_ONLY = ("n", "seed")
_NOT_NANO = (
    "shard", "max_new_tokens", "batch_size", "system", "llm_name", "concurrency", "api_key_env",
    "accept_failures", "tasks", "names", "shuffles",
)  # fmt: skip

_NOT_FORGETTING = (
    "shard", "llm_name", "concurrency", "api_key_env", "accept_failures", "tasks", "names", "shuffles",
    "fast",
)  # fmt: skip


def _refuse(context: typer.Context, options: tuple[str, ...], benchmark: str) -> None:
    """Refuse options that would have no effect."""
    from desta2.errors import InputError

    for option in options:
        source = context.get_parameter_source(option)
        if source is not None and source.name == "COMMANDLINE":
            shown = "-n" if option == "n" else f"--{option.replace('_', '-')}"
            raise InputError(f"{shown} has no effect on the benchmark {benchmark}: leave it out")


def _evaluate_forgetting(
    model: str,
    output: Path,
    data: Path | None,
    system: str | None,
    max_new_tokens: int,
    batch_size: int,
    as_json: bool,
) -> None:
    quiet_transformers()
    from desta2.evaluate.forgetting.run import evaluate_forgetting, in_words

    result = evaluate_forgetting(
        model, output, data, system=system, max_new_tokens=max_new_tokens, batch_size=batch_size
    )
    emit(result, as_json, in_words(result))


def _evaluate_nano(
    model: str, output: Path, data: Path | None, n: int, seed: int, fast: bool, as_json: bool
) -> None:
    quiet_transformers()
    from desta2.evaluate.nano import evaluate_nano

    result = evaluate_nano(model, output, data, n, seed, fast=fast)
    emit(public(result), as_json, summary(result))


_PUBLIC = (
    *("attribute_accuracy", "format_rate", "by_attribute", "asr_wer", "seconds", "report", "asr_wer_clean"),
    *("format_right", "unseen_right", "kind_right", "by_kind", "combination_rate", "combination_right"),
    *("reading_accuracy", "by_reading", "gaps", "unmentioned", "unclear", "unanswerable"),
)


def public(result: dict[str, Any]) -> dict[str, Any]:
    """What --json prints."""
    return {key: result[key] for key in _PUBLIC}


def summary(result: dict[str, Any]) -> str:
    """The same in words."""

    def line(name: str, score: dict[str, Any], value: str = "value") -> str:
        percents = " … ".join(f"{100 * score[key]:.1f}" for key in ("low", "high"))
        return f"{name:<42}{100 * score[value]:6.1f} %   [{percents}]   n = {score['n']}"

    def table(title: str, scores: dict[str, Any], value: str = "value") -> list[str]:
        rows = [line(f"  {key}", score, value) for key, score in scores.items()]
        return [title, *rows] if rows else []

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
    lines += table("from speech, asked, made to choose, and describing", result["reading_accuracy"])
    lines += table("differences of these, in points", result["gaps"], "difference")
    kinds = {key: scores["speech"] for key, scores in result["by_kind"].items()}
    lines += table("from speech, by kind of question", kinds)
    lines += table("kinds of questions, mean over kinds", result["kind_right"])
    lines += table("unseen wordings", result["unseen_right"])
    lines += table("unseen combinations obeyed and right", result["combination_right"])
    lines += table("'not clear' about what can be heard", result["unclear"])
    lines += table("'not clear' about what cannot be heard", result["unanswerable"])
    lines += [line("word error rate of the transcripts", result["asr_wer"])]
    if result["asr_wer_clean"] is not None:
        lines += [line("word error rate of clean clips", result["asr_wer_clean"])]
    lines += [f"report: {result['report']} ({result['seconds']:.0f} s)"]
    return "\n".join(lines)
