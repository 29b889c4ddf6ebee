"""The verbs of data construction: annotate, seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from desta2.commands import AsJson, DataRoot, Processes, SkipBad, Verbose, emit, quiet_transformers
from desta2.progress import Progress

Clips = Annotated[
    Path, typer.Argument(metavar="CLIPS", help="Clip records (.jsonl, .gz, .zst, or a folder of parts).")
]


def annotate(
    clips: Clips,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the annotated clips go.")] = Path(
        "clips.annotated.jsonl"
    ),
    data_root: DataRoot = None,
    scheme: Annotated[
        Path | None,
        typer.Option(
            help="Your own attributes.yaml: names, order, bins, classifiers. Default: that beside CLIPS."
        ),
    ] = None,
    transcribe: Annotated[
        str | None, typer.Option(help="Whisper that writes missing texts: folder, hub id, or 'nano'.")
    ] = None,
    processes: Processes = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Measure pitch, volume, speed, noise and duration, and put all attributes into words.

    Classifiers that the scheme names add gender, age, accent, emotion, intent. Labels of the corpus win over
    what is measured or estimated. Resumable.

    Example: desta2 annotate clips.jsonl -o clips.annotated.jsonl
    """
    from desta2.data import annotate as stage
    from desta2.data.attributes import load_scheme, scheme_for
    from desta2.records import count_records

    chosen = scheme_for(clips) if scheme is None else load_scheme(scheme)
    if transcribe is not None or chosen.classifiers:
        quiet_transformers()
    with Progress(count_records(clips), "measuring") as bar:
        summary = stage.annotate(
            clips,
            output,
            data_root=data_root,
            scheme=chosen,
            transcribe=transcribe,
            processes=processes,
            skip_bad=skip_bad,
            progress=bar.move_to,
        )
    bad = [*map(str, summary.bad_lines), *(clip.reason for clip in summary.bad_clips)]
    result = {
        "output": str(output),
        "annotated": summary.annotated,
        "already_done": summary.already_done,
        "bad": bad,
    }
    text = f"{output}: {summary.annotated} clips annotated, {summary.already_done} were done before"
    emit(result, as_json, "\n".join([text, *(f"skipped: {reason}" for reason in bad)]))


def seed(
    clips: Clips,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the seeds go.")] = Path("seeds.jsonl"),
    fmt: Annotated[Literal["v2", "v2.5"], typer.Option("--format", help="Form of the transcripts.")] = "v2",
    scheme: Annotated[
        Path | None, typer.Option(help="Your own attributes.yaml: names, order and bins.")
    ] = None,
    labels: Annotated[
        Literal["corpus", "all"], typer.Option(help="corpus: leave out what was only estimated.")
    ] = "all",
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Write the seed transcript of every clip. Resumable.

    Example: desta2 seed clips.annotated.jsonl -o seeds.jsonl
    """
    from desta2.data import seed as stage
    from desta2.data.attributes import load_scheme
    from desta2.records import count_records

    with Progress(count_records(clips), "writing seeds") as bar:
        count = stage.seed(
            clips,
            output,
            fmt,
            scheme=None if scheme is None else load_scheme(scheme),
            labels=labels,
            progress=bar.move_to,
        )
    emit({"output": str(output), "seeds": count}, as_json, f"{output}: {count} seeds")
