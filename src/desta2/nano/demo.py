"""The whole method at nano scale, offline, from the shipped backbones.

Every stage is the one that an 8B run uses, called with the same arguments that its verb takes; what each
leaves behind is a file in the demo's folder, and a demo that was stopped continues where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from desta2.data.annotate import annotate
from desta2.data.attributes import load_scheme
from desta2.data.backends import Backend, PromptStyle, Sampling, TransformersBackend
from desta2.data.respond import Asking, respond
from desta2.data.seed import seed
from desta2.evaluate.nano import evaluate_nano
from desta2.nano.recipe import adapter_config
from desta2.nano.world import SCHEME, make_corpus
from desta2.progress import Progress
from desta2.settings import keep_settings
from desta2.train.trainer import train

BATCH_SIZE = 100
"""Answers that the LLM writes at a time."""


@dataclass(frozen=True)
class DemoSize:
    """How much of everything.

    Attributes:
        train_clips: clips to learn from.
        test_clips: clips of held-out speakers and sentences.
        steps: adapter training steps.
        seed: of all draws.
    """

    train_clips: int = 1000
    test_clips: int = 80
    steps: int = 240
    seed: int = 1


def run_demo(folder: Path, size: DemoSize = DemoSize()) -> dict[str, Any]:
    """Run the method.

    Args:
        folder: gets every intermediate file and `report.html`.
        size: how much of everything.

    Returns:
        the scores of `evaluate_nano`; "seconds" counts the whole demo.

    Raises:
        InputError: `folder` holds a demo of another size.
    """
    started = time.monotonic()
    keep_settings(folder, asdict(size))
    pairs, adapter = folder / "pairs", folder / "adapter"
    if not adapter.exists():  # answers that failed would be asked for again, beside an adapter without them
        build_pairs(folder, size.train_clips, size.seed)
    config = adapter_config([pairs], adapter, size.steps, size.seed)
    trained = train(config)
    built = round(time.monotonic() - started, 1)
    log = [json.loads(line) for line in (adapter / "log.jsonl").read_text().splitlines()]
    facts = {
        "training clips": str(size.train_clips),
        "training steps": f"{size.steps} of {config.run.batch_size} pairs",
        "seed": str(size.seed),
        "data and training": f"{built} s",
    }
    result = evaluate_nano(
        str(trained),
        folder / "evaluation",
        n=size.test_clips,
        seed=size.seed,
        facts=facts,
        loss_curve=[(entry["step"], entry["loss"]) for entry in log if "loss" in entry],
    )
    return {**result, "seconds": round(time.monotonic() - started, 1)}


def build_pairs(folder: Path, n: int, seed_number: int) -> Path:
    """Corpus → attributes → seeds → self-generated pairs, with the shipped LLM; each stage resumable.

    Returns:
        the folder of pairs.
    """
    seeds = build_seeds(folder, n, seed_number)
    with Progress(n, "self-generation: the LLM answers the one prompt") as bar:
        backend = TransformersBackend("nano", prompt_style(), batch_size=BATCH_SIZE)
        answer_seeds(seeds, folder / "pairs", backend, seed_number, bar.move_to)
    return folder / "pairs"


def build_seeds(folder: Path, n: int, seed_number: int, processes: int | None = None) -> Path:
    """Corpus → attributes → seeds, each stage resumable.

    Returns:
        the file of seeds.
    """
    manifest = folder / "corpus" / "clips.jsonl"
    if not manifest.exists():
        make_corpus(n, folder / "corpus", "train", seed_number, processes)
    annotated, scheme = folder / "clips.annotated.jsonl", load_scheme(SCHEME)
    with Progress(n, "measuring the training clips") as bar:
        annotate(manifest, annotated, scheme=scheme, processes=processes, progress=bar.move_to)
    seed(annotated, folder / "seeds.jsonl", scheme=scheme)
    return folder / "seeds.jsonl"


def answer_seeds(
    seeds: Path,
    pairs: Path,
    backend: Backend,
    seed_number: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Seeds → pairs: what a backend answers to the one prompt; resumable."""
    sampling = Sampling(max_new_tokens=160, seed=seed_number)
    respond(seeds, pairs, backend, Asking(sampling=sampling), progress)


def prompt_style() -> PromptStyle:
    """How prompts are built where a nano adapter is trained."""
    model = adapter_config([Path()], Path(), 1, 0).model
    return PromptStyle(model.layout, model.system_prompt)
