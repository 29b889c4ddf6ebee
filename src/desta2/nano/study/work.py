"""The tasks of the study, each by itself: what a worker process does, and how it knows what is done.

A task is made of steps that are resumable themselves; what a step found is written once, atomically, beside
its output, and a step whose file is there is not done again. So a study may be killed at any moment. Every
step is a call
that another command makes, too: training is `train`, evaluation `evaluate_nano`, and so on. The trade-off:
a step that was killed at its very end is done again, which takes seconds where the work itself is
journaled.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.data.annotate import annotate
from desta2.data.attributes import load_scheme
from desta2.nano.recipe import adapter_config
from desta2.nano.study import data
from desta2.nano.study.plan import BASE, BATCH_SIZE, Run, Scale, Targets
from desta2.nano.world import SCHEME
from desta2.train.config import TrainConfig

MAX_NEW_TOKENS = 48
ASKED_AT_ONCE = 64
SHARED = ("cascade", "topline", "transcripts")
"""Predictions of the nano benchmark that no adapter has a part in."""
TRAINED, SCORES, DOMINANCE, FORGETTING = "trained.json", "scores.json", "dominance.json", "forgetting.json"


@dataclass(frozen=True)
class Setup:
    """What all tasks share.

    Attributes:
        folder: of the study.
        scale: how much of everything.
        bases: the frozen models.
    """

    folder: Path
    scale: Scale
    bases: data.Bases


@dataclass(frozen=True)
class PartTask:
    """A part of the data, with its targets."""

    number: int
    targets: tuple[Targets, ...]

    @property
    def name(self) -> str:
        """For the log."""
        return f"data-{self.number:03d}"

    def is_done(self, setup: Setup) -> bool:
        """Whether all its targets are there."""
        folder = data.part_folder(setup.folder, self.number)
        return all((folder / f"{targets}.json").exists() for targets in self.targets)

    def perform(self, setup: Setup) -> None:
        """Clips, seeds, and each set of targets."""
        data.make_part(setup.folder, self.number, setup.scale.part)
        folder = data.part_folder(setup.folder, self.number)
        for targets in self.targets:
            once(folder / f"{targets}.json", lambda own=targets: self._answer(setup, own))  # type: ignore[misc]

    def _answer(self, setup: Setup, targets: Targets) -> dict[str, Any]:
        pairs = data.answer_part(setup.folder, self.number, targets, setup.bases)
        return {"pairs": str(pairs.relative_to(setup.folder))}


@dataclass(frozen=True)
class ClipsTask:
    """The held-out clips of all evaluations, and the frozen models that only the study has."""

    name: str = "test-clips"

    def is_done(self, setup: Setup) -> bool:
        """Whether all of it is there."""
        return (setup.folder / "test.json").exists()

    def perform(self, setup: Setup) -> None:
        """Synthesise, and measure where the benchmark does not do so itself."""
        data.silent_whisper(setup.folder, setup.bases.encoder)
        data.make_test(setup.folder, setup.scale.test_clips)
        conflicts = data.make_test(setup.folder, setup.scale.dominance_clips)
        annotate(
            conflicts / "clips.jsonl", conflicts / "annotated.jsonl", scheme=load_scheme(SCHEME), processes=1
        )
        once(setup.folder / "test.json", lambda: {"clips": setup.scale.test_clips})


@dataclass(frozen=True)
class FloorTask:
    """The loss floors of one set of targets."""

    targets: Targets

    @property
    def name(self) -> str:
        """For the log."""
        return f"floor-{self.targets}"

    def is_done(self, setup: Setup) -> bool:
        """Whether it is measured."""
        return (setup.folder / "floors" / f"{self.targets}.json").exists()

    def perform(self, setup: Setup) -> None:
        """Measure it on the first part."""
        from desta2.nano.study.floors import floors

        pairs = data.pairs_of(setup.folder, [0], self.targets)[0]
        n = setup.scale.floor_pairs
        path = setup.folder / "floors" / f"{self.targets}.json"
        once(path, lambda: floors(setup.bases.llm, pairs, n, asked=self.targets == "captions"))


@dataclass(frozen=True)
class RunTask:
    """Training and evaluation of one run."""

    run: Run

    @property
    def name(self) -> str:
        """For the log."""
        return self.run.name

    def is_done(self, setup: Setup) -> bool:
        """Whether nothing is left to do."""
        folder = run_folder(setup.folder, self.run)
        return all((folder / name).exists() for name in self.files())

    def files(self) -> list[str]:
        """What its steps leave, in their order."""
        variant = self.run.variant
        asked = {DOMINANCE: variant.dominance, FORGETTING: variant.forgetting}
        return [TRAINED, SCORES, *(name for name, wanted in asked.items() if wanted)]

    def perform(self, setup: Setup) -> None:
        """Train, then ask everything that the plan wants to know."""
        folder = run_folder(setup.folder, self.run)
        for name in self.files():
            once(folder / name, lambda own=name: _STEPS[own](setup, self.run))  # type: ignore[misc]


def run_folder(study: Path, run: Run) -> Path:
    """Where a run is."""
    return study / "runs" / run.name


def once(path: Path, work: Callable[[], Mapping[str, Any]]) -> None:
    """Do some work and write what it found, with its seconds; nothing where that is written already."""
    if path.exists():
        return
    started = time.monotonic()
    found = {**work(), "seconds": round(time.monotonic() - started, 1)}
    write_json(path, found)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; see `write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, which appears once it is whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def train_config(setup: Setup, run: Run) -> TrainConfig:
    """The training configuration of a run: the nano recipe with what the variant changes."""
    variant, bases = run.variant, setup.bases
    pairs = data.pairs_of(setup.folder, run.parts, variant.targets)
    config = adapter_config(pairs, run_folder(setup.folder, run), run.steps, run.seed)
    encoder = data.silent_whisper(setup.folder, bases.encoder) if variant.silent else bases.encoder
    model = {"llm": bases.llm, "encoder": str(encoder), **variant.model}
    shared = {"cache_dir": setup.folder / "taps", **variant.data}
    return TrainConfig(
        model=config.model.model_copy(update=model),
        data=config.data.model_copy(update=shared),
        run=config.run.model_copy(update={"batch_size": BATCH_SIZE}),
    )


def _train(setup: Setup, run: Run) -> dict[str, Any]:
    """Train; `desta2 train` with the `train.yaml` that this leaves would do the same."""
    import yaml

    from desta2.train.trainer import train

    config, folder = train_config(setup, run), run_folder(setup.folder, run)
    told = yaml.safe_dump(config.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    write_text(folder / "train.yaml", told)
    train(config)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = {
        entry["step"]: entry["loss"] for entry in log if "loss" in entry
    }  # steps may have been repeated
    facts = {"steps": run.steps, "clips": len(run.parts) * setup.scale.part}
    return {**facts, "losses": sorted(losses.items())}


def _evaluate(setup: Setup, run: Run) -> dict[str, Any]:
    from desta2.evaluate.nano import evaluate_nano

    folder = run_folder(setup.folder, run)
    _share_answers(setup, run)
    clips = data.make_test(setup.folder, setup.scale.test_clips)
    return evaluate_nano(str(folder / "model"), folder / "evaluation", data=clips)


def _share_answers(setup: Setup, run: Run) -> None:
    """Take over from a finished run of the base what no adapter has a part in: most of an evaluation.

    The LLM and the texts are the same, and with them its greedy answers. A silent Whisper has transcripts
    of its own, and so has the cascade that reads them.
    """
    base = setup.folder / "runs" / f"{BASE}-1"
    if run.variant.name == BASE or not (base / SCORES).exists():
        return
    target = run_folder(setup.folder, run) / "evaluation" / "predictions"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("topline",) if run.variant.silent else SHARED:
        file = f"{name}.jsonl"
        if not any((target / f"{file}{suffix}").exists() for suffix in ("", ".partial")):
            temporary = target / f".{file}.tmp"
            shutil.copyfile(base / "evaluation" / "predictions" / file, temporary)
            os.replace(temporary, target / file)


def _ask_conflicts(setup: Setup, run: Run) -> dict[str, Any]:
    from desta2.evaluate.benchmarks import evaluate, open_benchmark
    from desta2.evaluate.runner import Run as Asked
    from desta2.evaluate.systems import open_system

    folder = run_folder(setup.folder, run)
    clips = data.make_test(setup.folder, setup.scale.dominance_clips) / "annotated.jsonl"
    system = open_system(str(folder / "model"), batch_size=ASKED_AT_ONCE, max_new_tokens=MAX_NEW_TOKENS)
    asked = Asked("text-dominance", clips, folder / "dominance")
    found = evaluate(asked, open_benchmark("text-dominance"), system)
    return {"scores": found["scores"]}


def _look_for_forgetting(setup: Setup, run: Run) -> dict[str, Any]:
    from desta2.evaluate.forgetting.run import evaluate_forgetting

    folder = run_folder(setup.folder, run)
    return {"equality": evaluate_forgetting(str(folder / "model"), folder / "forgetting")["equality"]}


_STEPS = {TRAINED: _train, SCORES: _evaluate, DOMINANCE: _ask_conflicts, FORGETTING: _look_for_forgetting}
