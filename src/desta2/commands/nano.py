"""The verbs of the nano world: desta2 nano corpus, train-asr, train-llm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import AsJson, Processes, Verbose, emit, quiet_transformers

app = typer.Typer(
    help="The method in miniature: nano corpora, and nano backbones from nothing.", no_args_is_help=True
)
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder; made if it is not there.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps, instead of the recipe's.")]


@app.command()
def corpus(
    output: Output,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of clips.")],
    seed: Annotated[int, typer.Option(help="Another seed draws other clips of the same speakers.")] = 0,
    split: Annotated[
        str, typer.Option(help="train, val or test: other speakers and sentences in each.")
    ] = "train",
    processes: Processes = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Synthesise speech with known attributes: wav files and clips.jsonl. Needs the extra 'synth'.

    Example: desta2 nano corpus -n 500 -o corpus --split test
    """
    from desta2.nano.world import make_corpus

    manifest = make_corpus(n, output, split, seed, processes)
    emit({"clips": str(manifest), "n": n}, as_json, f"{manifest}: {n} clips")


@app.command("train-asr")
def train_asr(
    output: Output,
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of the synthesised clips; used again if it is there.")
    ] = None,
    steps: Steps = None,
    clips: Annotated[
        int | None, typer.Option(min=32, help="Training clips, instead of the recipe's.")
    ] = None,
    verbose: Verbose = 0,
) -> None:
    """Train the nano Whisper from random weights. Continues where it was stopped.

    Example: desta2 nano train-asr -o nano-asr
    """
    from dataclasses import replace

    from desta2.nano.asr import AsrRecipe, train_asr

    quiet_transformers()
    recipe = AsrRecipe()
    recipe = replace(
        recipe, clips=clips or recipe.clips, loop=replace(recipe.loop, steps=steps or recipe.loop.steps)
    )
    train_asr(output, recipe, corpus)
    typer.echo(f"{output / 'model'}: nano Whisper")


@app.command("train-llm")
def train_llm(
    output: Output,
    steps: Steps = None,
    verbose: Verbose = 0,
) -> None:
    """Train the nano LLM from random weights, on text only. Continues where it was stopped.

    Example: desta2 nano train-llm -o nano-llm
    """
    from dataclasses import replace

    from desta2.nano.llm import LlmRecipe, train_llm

    quiet_transformers()
    recipe = LlmRecipe()
    recipe = replace(recipe, loop=replace(recipe.loop, steps=steps or recipe.loop.steps))
    train_llm(output, recipe)
    typer.echo(f"{output / 'model'}: nano LLM")
