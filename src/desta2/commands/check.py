"""The verb check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import AsJson, DataRoot, Verbose, emit
from desta2.progress import Progress


def check(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Pairs: a folder of parts, or a .jsonl file.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for the pairs that pass, dropped.jsonl and a dataset card."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML with settings of the filters: docs/check.md")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Names of filters to use, with commas.")] = None,
    without: Annotated[str | None, typer.Option(help="Names of filters to leave out, with commas.")] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="Records that are kept for evaluation: find pairs with their words or sound. Repeatable."
        ),
    ] = None,
    seeds: Annotated[
        Path | None, typer.Option(help="The seeds of the pairs: speakers, languages, lengths for the card.")
    ] = None,
    data_root: DataRoot = None,
    examples: Annotated[
        int | None, typer.Option(min=0, help="Examples of each filter; 3 by default.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option(help="Count and list bad lines instead of stopping.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Look for pairs that should not be trained on; with -o, part them from the others. Resumable.

    What each filter finds, and how to set it: docs/check.md

    Example: desta2 check pairs/ --seeds seeds.jsonl --against test.jsonl -o checked/
    """
    from desta2.config import load_config
    from desta2.data.check import stage
    from desta2.data.check.config import CheckConfig
    from desta2.records import count_records

    settings = load_config(config, CheckConfig)
    given = {"only": _names(only), "without": _names(without), "examples": examples}
    settings = settings.model_copy(update={key: value for key, value in given.items() if value is not None})
    with Progress(count_records(pairs), f"checking {pairs}") as bar:
        report = stage.check(
            pairs,
            output,
            config=settings,
            against=against or (),
            data_root=data_root,
            seeds=seeds,
            skip_bad=skip_bad,
            progress=bar.move_to,
        )
    text = report.to_text()
    if output is not None:
        text += (
            f"\n{output}: {report.kept} pairs; {report.dropped} are in {output / stage.DROPPED}, with reasons"
        )
    emit({"output": None if output is None else str(output)} | report.to_dict(), as_json, text)


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())
