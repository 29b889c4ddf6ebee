"""The verbs of data construction: annotate, seed, respond."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.data.prompts import DESCRIBE
from desta2.progress import Progress

Clips = Annotated[
    Path, typer.Argument(metavar="CLIPS", help="Clip records (.jsonl, .gz, .zst, or a folder of parts).")
]


def annotate(
    clips: Clips,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the annotated clips go.")] = Path(
        "clips.annotated.jsonl"
    ),
    data_root: Annotated[
        Path | None, typer.Option(help="Where relative audio paths are looked for first.")
    ] = None,
    scheme: Annotated[
        Path | None,
        typer.Option(
            help="Your own attributes.yaml: names, order, bins, classifiers. Default: that beside CLIPS."
        ),
    ] = None,
    transcribe: Annotated[
        str | None, typer.Option(help="Whisper that writes missing texts: folder, hub id, or 'nano'.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes to use; all cores by default.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option(help="Count and list bad lines and clips instead of stopping.")
    ] = False,
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


def respond(
    seeds: Annotated[Path, typer.Argument(metavar="SEEDS", help="Seed records.")],
    llm: Annotated[str, typer.Option(help="The LLM that will be the backbone: folder, hub id, or 'nano'.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of parts, or a .jsonl file.")] = Path(
        "pairs"
    ),
    prompt: Annotated[str, typer.Option(help="What is asked about every clip.")] = DESCRIBE,
    layout: Annotated[
        Literal["desta2", "desta2.5"], typer.Option(help="Where the clip stands in the prompt.")
    ] = "desta2",
    system: Annotated[
        str | None, typer.Option(help="System prompt; '' for none. Default: that of training.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Nucleus sampling.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 512,
    sampling_seed: Annotated[int, typer.Option("--seed", help="Another seed draws other answers.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Seeds answered at a time.")] = 16,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Let the LLM answer the one prompt about every seed: its answers become the training targets. Resumable.

    Example: desta2 respond seeds.jsonl --llm nano -o pairs/
    """
    from desta2.data import respond as stage
    from desta2.data.backends import PromptStyle, Sampling, TransformersBackend
    from desta2.model.configuration import DEFAULT_SYSTEM_PROMPT
    from desta2.records import count_records

    quiet_transformers()
    sampling = Sampling(temperature, top_p, max_new_tokens, sampling_seed)
    total = count_records(seeds)
    backend = TransformersBackend(
        llm, PromptStyle(layout, DEFAULT_SYSTEM_PROMPT if system is None else system or None)
    )
    with Progress(total, f"asking {llm} about {total} seeds") as bar:
        summary = stage.respond(
            seeds,
            output,
            backend,
            prompt=prompt,
            sampling=sampling,
            batch_size=batch_size,
            progress=bar.move_to,
        )
    result = {
        "output": str(output),
        "written": summary.written,
        "already_done": summary.already_done,
        "unfinished": summary.unfinished,
    }
    text = f"{output}: {summary.written} pairs written, {summary.already_done} were there before"
    if summary.unfinished:
        text += f"; {len(summary.unfinished)} answers were empty or too long and are left out"
    emit(result, as_json, text)
