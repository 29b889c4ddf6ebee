"""The verbs of the nano world: desta2 nano corpus, train, train-asr, train-llm, study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from desta2.commands import AsJson, Processes, Verbose, emit, quiet_transformers

app = typer.Typer(
    help="The method in miniature: nano corpora, and nano backbones from nothing.", no_args_is_help=True
)
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder; made if it is not there.")]
Phrasing = Literal["sentences", "notes"]
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


@app.command()
def train(
    output: Output,
    processes: Annotated[int, typer.Option(min=1, help="Trainings side by side, one thread each.")] = 2,
    verbose: Verbose = 0,
) -> None:
    """Train all nano weights from nothing. Continues where it was stopped. Needs the extra 'synth'.

    Example: desta2 nano train -o nano
    """
    from desta2.nano.scratch import Scratch, train_all

    quiet_transformers()
    typer.echo(f"{train_all(Scratch(output), processes)}: whisper, llm, second-llm, and the adapter in model")


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
    seed: Annotated[int, typer.Option(help="Of the first weights and of every batch.")] = 0,
    phrasing: Annotated[
        Phrasing, typer.Option(help="How it answers; 'notes' for the second LLM of the study.")
    ] = "sentences",
    verbose: Verbose = 0,
) -> None:
    """Train the nano LLM from random weights, on text only. Continues where it was stopped.

    Example: desta2 nano train-llm -o nano-llm
    """
    from dataclasses import replace

    from desta2.nano.llm import LlmRecipe, train_llm

    quiet_transformers()
    recipe = LlmRecipe()
    loop = replace(recipe.loop, steps=steps or recipe.loop.steps)
    train_llm(output, replace(recipe, seed=seed, phrasing=phrasing, loop=loop))
    typer.echo(f"{output / 'model'}: nano LLM")


@app.command()
def study(
    output: Output,
    llm: Annotated[str, typer.Option(help="Folder of the LLM that is trained with, or nano.")] = "nano",
    encoder: Annotated[str, typer.Option(help="Folder of the Whisper, or nano.")] = "nano",
    second_llm: Annotated[
        str, typer.Option(help="Folder of an LLM of other phrasing, whose answers are targets, or nano.")
    ] = "nano",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant.")] = 3,
    only: Annotated[
        list[str] | None, typer.Option(help="An experiment, beside the base; may be given several times.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Runs side by side, one thread each.")] = 2,
    scale: Annotated[str, typer.Option(help="full, or small: minutes, whose figures mean nothing.")] = "full",
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Put the paper's claims to the test, every one on its own evidence. Continues where it was stopped.

    Under three hours on two cores, about 15 GB of disk. Needs the extra 'synth'. See docs/nano-study.md

    Example: desta2 nano study -o study --only targets
    """
    from desta2.nano.study.data import Bases
    from desta2.nano.study.run import Options, run_study

    quiet_transformers()
    options = Options(Bases(llm, encoder, second_llm), seeds, tuple(only or ()), scale, processes)
    found = run_study(output, options)
    emit(found, as_json, f"results: {found['results']}\nreport: {found['report']}")
