"""The whole method at nano scale, offline, from the shipped backbones.

Every stage is the one that an 8B run uses, called with the same arguments that its verb takes; what each
leaves behind is a file in the demo's folder, and a demo that was stopped continues where it was.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from desta2.data.annotate import annotate
from desta2.data.attributes import load_scheme
from desta2.data.backends import PromptStyle, Sampling, TransformersBackend
from desta2.data.respond import Asking, respond
from desta2.data.seed import seed
from desta2.evaluate.nano import evaluate_nano
from desta2.nano.recipe import adapter_config
from desta2.nano.world import SCHEME, make_corpus
from desta2.progress import Progress
from desta2.settings import keep_settings
from desta2.train.trainer import train


@dataclass(frozen=True)
class DemoSize:
    """How much of everything.

    Attributes:
        train_clips: clips to learn from.
        test_clips: clips of held-out speakers and sentences.
        steps: adapter training steps.
        seed: of all draws.
    """

    train_clips: int = 1200
    test_clips: int = 120
    steps: int = 320
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
    pairs = build_pairs(folder, size.train_clips, size.seed)
    config = adapter_config([pairs], folder / "adapter", size.steps, size.seed)
    trained = train(config)
    built = round(time.monotonic() - started, 1)
    log = [json.loads(line) for line in (folder / "adapter" / "log.jsonl").read_text().splitlines()]
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
    manifest = folder / "corpus" / "clips.jsonl"
    if not manifest.exists():
        make_corpus(n, folder / "corpus", "train", seed_number)
    scheme = load_scheme(SCHEME)
    with Progress(n, "measuring the training clips") as bar:
        annotate(manifest, folder / "clips.annotated.jsonl", scheme=scheme, progress=bar.move_to)
    seed(folder / "clips.annotated.jsonl", folder / "seeds.jsonl", scheme=scheme)
    config = adapter_config([folder / "pairs"], folder / "adapter", 1, seed_number)
    style = PromptStyle(config.model.layout, config.model.system_prompt)
    with Progress(n, "self-generation: the LLM answers the one prompt") as bar:
        backend = TransformersBackend("nano", style, batch_size=100)
        sampling = Sampling(max_new_tokens=160, seed=seed_number)
        respond(
            folder / "seeds.jsonl",
            folder / "pairs",
            backend,
            Asking(sampling=sampling),
            bar.move_to,
        )
    return folder / "pairs"
