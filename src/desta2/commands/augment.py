"""The verb augment: noise and rooms with known values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import AsJson, DataRoot, Processes, SkipBad, Verbose, emit


def augment(
    clips: Annotated[
        Path, typer.Argument(metavar="CLIPS", help="Clip records (.jsonl, .gz, .zst, or a folder of parts).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the records go.")] = Path(
        "augmented.jsonl"
    ),
    noise: Annotated[
        Path | None, typer.Option(help="Folder of noise recordings, instead of white, pink and brown noise.")
    ] = None,
    rirs: Annotated[
        Path | None, typer.Option(help="Folder of impulse responses, instead of simulated rooms.")
    ] = None,
    noise_probability: Annotated[float, typer.Option(help="Of noise, for each copy.")] = 0.5,
    reverb_probability: Annotated[float, typer.Option(help="Of a room, for each copy.")] = 0.5,
    snr_db: Annotated[
        tuple[float, float], typer.Option("--snr-db", metavar="LOW HIGH", help="Range of the drawn SNR.")
    ] = (0.0, 30.0),
    copies: Annotated[int, typer.Option(min=1, help="Drawn for each clip.")] = 1,
    originals: Annotated[
        bool, typer.Option("--originals/--no-originals", help="Keep the clips as they are, too.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Another seed draws other noises and rooms.")] = 0,
    audio_folder: Annotated[
        Path | None, typer.Option(help="Where the copies' audio goes; beside the output by default.")
    ] = None,
    data_root: DataRoot = None,
    scheme: Annotated[
        Path | None, typer.Option(help="Your own attributes.yaml: which labels noise and rooms make untrue.")
    ] = None,
    processes: Processes = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Add noise at a drawn SNR and rooms with a known C50, before annotation. Resumable.

    The exact values are written as snr_db and c50_db. Simulated rooms need the extra 'synth'.

    Example: desta2 augment clips.jsonl -o augmented.jsonl --noise musan/noise --snr-db 0 30
    """
    from desta2.data import augment as stage
    from desta2.data.attributes import load_scheme, scheme_for
    from desta2.progress import Progress
    from desta2.records import count_records

    with Progress(count_records(clips), "adding noise and rooms") as bar:
        summary = stage.augment(
            clips, output, noise=noise, rirs=rirs, noise_probability=noise_probability,
            reverb_probability=reverb_probability, snr_db=snr_db, copies=copies, originals=originals,
            seed=seed, audio_folder=audio_folder, data_root=data_root, processes=processes,
            skip_bad=skip_bad, progress=bar.move_to,
            scheme=scheme_for(clips) if scheme is None else load_scheme(scheme),
        )  # fmt: skip
    bad = [*map(str, summary.bad_lines), *(clip.reason for clip in summary.bad_clips)]
    result = {
        "output": str(output),
        "written": summary.written,
        "already_done": summary.already_done,
        "without_speech": summary.without_speech,
        "bad": bad,
    }
    lines = [f"{output}: {summary.written} records written, {summary.already_done} clips were done before"]
    if summary.without_speech:
        lines.append(f"{summary.without_speech} copies not made: nobody speaks, so there is no SNR")
    emit(result, as_json, "\n".join([*lines, *(f"skipped: {reason}" for reason in bad)]))
