"""What the study trains: a table of variants, each the base but for what it names, and how long it takes.

Every variant is trained once for each seed; a seed decides the fresh adapter, the order of pairs and which
clips there are, and variants of the same seed share all three, so that they are compared pair by pair. Runs
that several experiments need are the same run.

The trade-off is three hours on two cores. Runs are short (240 steps), so figures are lower than those of
the shipped model, which trains for longer; and an amount of data that 240 steps would not even see once is
trained on for one whole pass, so that the learning curve shows what more data bring together with the steps
that they take.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from desta2.errors import InputError

BATCH_SIZE = 16
Targets = Literal["self", "captions", "second"]
"""Whose answers a run learns: its own LLM's, a template's, or a second LLM's."""


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        name: of its runs, with the seed behind it.
        experiment: what it is trained for.
        told: what it is, in a few words.
        targets: which answers it learns.
        size: of the data: an index into `Scale.curve`; None for the base's.
        model, data: what differs in these sections of the training configuration.
        silent: without the transcript channel, in training and in evaluation.
        dominance: asked with conflicts of words and voice, too.
        forgetting: compared with its LLM on texts, too.
    """

    name: str
    experiment: str
    told: str
    targets: Targets = "self"
    size: int | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    silent: bool = False
    dominance: bool = False
    forgetting: bool = False


BASE = "base"
VARIANTS = (
    Variant(BASE, "base", "self-generated targets", dominance=True, forgetting=True),
    Variant("captions", "targets", "template captions as targets", targets="captions", forgetting=True),
    Variant("second-llm", "targets", "another LLM's answers as targets", targets="second", forgetting=True),
    Variant(
        "no-transcript", "transcript", "no transcript channel",
        data={"transcript_dropout": 1.0}, silent=True,
    ),
    Variant("tap-input", "taps", "tap −1 alone, the encoder's input", model={"tap_layers": [-1]}),
    Variant("tap-deep", "taps", "tap 2 alone, a deep layer", model={"tap_layers": [2]}),
    Variant("queries-4", "queries", "4 queries", model={"n_queries": 4}),
    Variant("queries-32", "queries", "32 queries", model={"n_queries": 32}),
    Variant("data-least", "data", "least data", size=0),
    Variant("data-more", "data", "more data", size=1),
    Variant("data-most", "data", "most data", size=2),
    Variant(
        "transcript-dropout", "dominance", "transcripts withheld from three clips in ten in training",
        data={"transcript_dropout": 0.3}, dominance=True,
    ),
)  # fmt: skip
EXPERIMENTS = tuple(dict.fromkeys(variant.experiment for variant in VARIANTS))


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        name: full or small.
        part: clips in a part of the data.
        base: parts that a run of the base trains on.
        curve: parts of the other points of the learning curve.
        steps: of training, at least.
        test_clips: held-out clips, for all runs.
        dominance_clips: held-out clips for conflicts, which ask four times as much of each.
        floor_pairs: pairs for each floor.
    """

    name: str
    part: int
    base: int
    curve: tuple[int, int, int]
    steps: int
    test_clips: int
    dominance_clips: int
    floor_pairs: int


SCALES = {
    "full": Scale("full", 1000, 3, (1, 10, 30), 240, 100, 40, 300),
    "small": Scale("small", 24, 2, (1, 3, 4), 10, 6, 4, 12),
}
"""small is to try the path, in minutes: its figures mean nothing."""


@dataclass(frozen=True)
class Run:
    """One training with its evaluation.

    Attributes:
        variant: what it is.
        seed: from 1.
        parts: of the data, in the order in which they are read.
        steps: of training.
    """

    variant: Variant
    seed: int
    parts: tuple[int, ...]
    steps: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.variant.name}-{self.seed}"


def plan_runs(scale: Scale, seeds: int, only: Collection[str] = ()) -> list[Run]:
    """The runs of some experiments and of the base, the base first, seed by seed.

    Args:
        scale: how much.
        seeds: runs of each variant.
        only: names of experiments; none for all.

    Raises:
        InputError: there is no such experiment.
    """
    if unknown := [name for name in only if name not in EXPERIMENTS]:
        raise InputError(f"unknown experiment {unknown[0]!r}; expected one of {', '.join(EXPERIMENTS)}")
    wanted = [variant for variant in VARIANTS if not only or variant.experiment in (BASE, *only)]
    return [_run(variant, scale, seed, seeds) for variant in wanted for seed in range(1, seeds + 1)]


def _run(variant: Variant, scale: Scale, seed: int, seeds: int) -> Run:
    """At one seed smaller amounts of data are within larger ones; other seeds begin elsewhere."""
    count, whole = clips_in_parts(variant, scale), max(scale.base, *scale.curve)
    start = (seed - 1) * max(1, whole // seeds)
    steps = max(scale.steps, math.ceil(count * scale.part / BATCH_SIZE))
    return Run(variant, seed, tuple((start + i) % whole for i in range(count)), steps)


def clips_in_parts(variant: Variant, scale: Scale) -> int:
    """How many parts a variant trains on."""
    return scale.base if variant.size is None else scale.curve[variant.size]


def targets_by_part(runs: Sequence[Run]) -> dict[int, tuple[Targets, ...]]:
    """The parts that runs need, and the sets of targets that each is needed with."""
    found: dict[int, dict[Targets, None]] = {}
    for run in runs:
        for part in run.parts:
            found.setdefault(part, {})[run.variant.targets] = None
    return {part: tuple(found[part]) for part in sorted(found)}


# Seconds of one thread, measured on a shared two-core machine with models of about the new recipes' sizes:
# clips, answers and taps with 200 clips, steps with 75, questions 28 a second.
_SECONDS = {"clip": 0.07, "answer": 0.06, "taps": 0.025, "step": 0.75, "question": 1 / 28, "start": 15.0}
_QUESTIONS = {"speech": 12, "reference": 22, "dominance": 40}  # of a clip


def minutes_of_run(run: Run, scale: Scale) -> float:
    """Expected minutes of a run on one thread; answers that the base has given are not given again."""
    asked = scale.test_clips * _QUESTIONS["speech"]
    asked += scale.test_clips * _QUESTIONS["reference"] * (run.variant.name == BASE)
    asked += scale.dominance_clips * _QUESTIONS["dominance"] * run.variant.dominance
    return (_SECONDS["start"] + run.steps * _SECONDS["step"] + asked * _SECONDS["question"]) / 60


def minutes_of_part(targets: Sequence[Targets], scale: Scale) -> float:
    """Expected minutes of a part of the data on one thread; captions take next to none."""
    llms = sum(one != "captions" for one in targets)
    return scale.part * (_SECONDS["clip"] + llms * _SECONDS["answer"]) / 60


def table(scale: Scale, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The plan with expected minutes on one thread: JSON values.

    Rows are the data, the encoder's taps (made once for all runs that read the same ones), and the runs.
    """
    parts = targets_by_part(runs)
    data = sum(minutes_of_part(targets, scale) for targets in parts.values())
    taps = {(str(run.variant.model.get("tap_layers")), part) for run in runs for part in run.parts}
    taps_minutes = len(taps) * scale.part * _SECONDS["taps"] / 60
    rows: list[dict[str, Any]] = [
        {"name": "data", "clips": len(parts) * scale.part, "minutes": round(data, 1)},
        {"name": "taps", "clips": len(taps) * scale.part, "minutes": round(taps_minutes, 1)},
    ]
    for run in runs:
        clips, minutes = len(run.parts) * scale.part, round(minutes_of_run(run, scale), 1)
        about = {"experiment": run.variant.experiment, "told": run.variant.told}
        rows.append({"name": run.name, **about, "clips": clips, "steps": run.steps, "minutes": minutes})
    return rows
