"""The verb demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers
from desta2.commands.evaluate import public, summary


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for every intermediate file.")
    ] = Path("demo-run"),
    train_clips: Annotated[int, typer.Option(min=32, help="Clips to learn from.")] = 1000,
    test_clips: Annotated[int, typer.Option(min=10, help="Clips of held-out speakers and sentences.")] = 80,
    steps: Annotated[int, typer.Option(min=1, help="Adapter training steps.")] = 240,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 1,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """The whole method at nano scale, offline: speech → seeds → self-generated pairs → adapter → report.

    Needs the extra 'synth'. Under six minutes on two cores.

    Example: desta2 demo -o demo-run
    """
    quiet_transformers()
    from desta2.nano.demo import DemoSize, run_demo

    result = run_demo(output, DemoSize(train_clips, test_clips, steps, seed))
    emit(public(result), as_json, summary(result))
