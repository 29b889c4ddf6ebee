"""The verb corpus: from recordings that somebody has to clip records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from desta2.commands import AsJson, Verbose, emit
from desta2.data.sources import NAMES

_SHOWN = 10  # bad rows that are printed; --json and the log have more


def corpus(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"One of: {', '.join(NAMES)}.")],
    src: Annotated[
        str, typer.Argument(metavar="SRC", help="Folder or file of the corpus, or hub id of a dataset.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the records go: .jsonl, or a folder of parts.")
    ] = Path("clips.jsonl"),
    split: Annotated[
        str | None, typer.Option(help="Parts of the corpus, with commas; all by default.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="COLUMN=FIELD", help="table, hf, folder: what a column holds; repeatable."
        ),
    ] = None,
    config: Annotated[str | None, typer.Option(help="hf: configuration of the dataset.")] = None,
    revision: Annotated[str | None, typer.Option(help="hf: revision on the hub.")] = None,
    mic: Annotated[str | None, typer.Option(help="vctk: mic1 (default) or mic2.")] = None,
    dialogues: Annotated[
        bool, typer.Option("--dialogues", help="iemocap, dailytalk, meld: clips of several turns.")
    ] = False,
    max_seconds: Annotated[float, typer.Option(min=1, help="Longest clip of --dialogues.")] = 30.0,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="desta2, aqa5m: the seeds, to be answered by another LLM.")
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="desta2, aqa5m: write our pairs (SRC) in that form instead.")
    ] = False,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder that audio paths will be relative to, instead of the output's."),
    ] = None,
    audio_folder: Annotated[
        Path | None, typer.Option(help="Where audio goes that is no file yet; by default beside the output.")
    ] = None,
    durations: Annotated[
        str,
        typer.Option(
            metavar="header|all|none", help="Of wav and flac from the header; of all files; of none."
        ),
    ] = "header",
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many records.")] = None,
    skip_bad: Annotated[
        bool, typer.Option(help="Count and list what cannot be used instead of stopping.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Read a known corpus, a table, a folder or a Hugging Face dataset into clip records. Resumable.

    What each corpus carries, and what it should look like: docs/corpora.md

    Example: desta2 corpus vctk VCTK-Corpus-0.92 -o clips.jsonl
    """
    from desta2.data.sources.base import Options
    from desta2.data.sources.columns import parse_columns
    from desta2.errors import InputError

    if durations not in ("header", "all", "none"):
        raise InputError(f"given --durations {durations}, expected header, all or none")
    options = Options(
        split, parse_columns(columns or ()), config, revision, mic, dialogues, max_seconds, seeds
    )
    if export:
        if options.given() or limit:
            raise InputError("--export takes --data-root and --skip-bad, and no option of reading")
        result, text = _export(name, src, output, data_root, skip_bad)
    else:
        result, text = _read(
            name, src, output, options=options, data_root=data_root, audio_folder=audio_folder,
            durations=durations, limit=limit, skip_bad=skip_bad,
        )  # fmt: skip
    emit(result, as_json, text)


def _read(name: str, src: str, output: Path, **options: Any) -> tuple[dict[str, Any], str]:
    from desta2.data.sources.stage import read_corpus
    from desta2.progress import Progress

    with Progress(options["limit"], f"reading {name}") as bar:
        summary = read_corpus(name, src, output, progress=bar.move_to, **options)
    result = {
        "output": str(output),
        "written": summary.written,
        "already_done": summary.already_done,
        "bad": summary.bad,
        "bad_examples": summary.bad_examples,
        "left_out": summary.left_out,
        "fields": dict(summary.fields),
        "splits": dict(summary.splits),
        "unused_columns": list(summary.unused_columns),
    }
    lines = [f"{output}: {summary.written} records written, {summary.already_done} were there before"]
    for title, counts in (
        ("known", summary.fields),
        ("splits", summary.splits),
        ("left out", summary.left_out),
    ):
        if counts:
            lines.append(f"{title}: " + ", ".join(f"{key} {count}" for key, count in counts.items()))
    if summary.unused_columns:
        lines.append(f"columns not used: {', '.join(summary.unused_columns)} (--map COLUMN=FIELD takes one)")
    return result, "\n".join(lines + _bad_lines(summary.bad, summary.bad_examples))


def _export(
    name: str, src: str, output: Path, data_root: Path | None, skip_bad: bool
) -> tuple[dict[str, Any], str]:
    from desta2.data.sources.export import export_pairs
    from desta2.progress import Progress
    from desta2.records import count_records

    with Progress(count_records(src), f"writing {name}") as bar:
        done = export_pairs(name, src, output, data_root=data_root, skip_bad=skip_bad, progress=bar.move_to)
    result = {"output": str(output), "rows": done.rows, "bad": len(done.bad), "bad_examples": done.bad}
    return result, "\n".join([f"{output}: {done.rows} rows", *_bad_lines(len(done.bad), done.bad)])


def _bad_lines(count: int, examples: list[str]) -> list[str]:
    lines = [f"skipped: {reason}" for reason in examples[:_SHOWN]]
    return lines + ([f"skipped {count - _SHOWN} more"] if count > _SHOWN else [])
