"""From the files that tasks left to `results.json`: every score with value, low, high and n, and by seed.

Scores are made from predictions by the rows of their benchmarks, so that whatever a benchmark counts is in
here without a word of its own. The trade-off: the file is long; `report` says what matters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from desta2.evaluate.nano_rows import nano_rows
from desta2.evaluate.rows import Row
from desta2.evaluate.runner import versions
from desta2.evaluate.score import chance
from desta2.evaluate.text_dominance.rows import dominance_rows
from desta2.nano.study.plan import BASE, Run, table
from desta2.nano.study.scores import differences, score_rows
from desta2.nano.study.work import FORGETTING, TRAINED, FloorTask, RunTask, Setup, run_folder
from desta2.records import Prediction, read_records

Tables: TypeAlias = dict[str, dict[int, list[Row]]]
"""Variant → seed → rows."""
_LAST = 0.1  # share of the steps whose mean loss is a run's


def gather(setup: Setup, runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that finished runs say, ready for JSON.

    Returns:
        "plan", with the minutes that each run took; "variants": for each its training, its "scores" and its
        "differences" from the base; "references": scores of cascade, topline and chance, and of the
        transcripts; "against_text": differences of the base's answers to speech from those to seeds as
        text; "dominance" and "dominance_differences"; "forgetting" by run; "floors" by targets; "versions".

    Raises:
        InputError: runs were not asked the same.
    """
    heard: Tables = {}
    conflicts: Tables = {}
    for run in runs:
        folder = run_folder(setup.folder, run)
        heard.setdefault(run.variant.name, {})[run.seed] = nano_rows(_answers(folder, "speech"))
        if run.variant.dominance:
            told = list(read_records(folder / "dominance" / "predictions.jsonl", Prediction))
            conflicts.setdefault(run.variant.name, {})[run.seed] = dominance_rows(told)
    references = _references(setup, runs)
    text = {seed: references["topline"] for seed in heard[BASE]}
    return {
        "plan": _plan_with_minutes(setup, runs),
        "variants": {name: _variant(setup, runs, heard, name) for name in heard},
        "references": {name: score_rows({1: rows}) for name, rows in references.items()},
        "against_text": differences(heard[BASE], text),
        "dominance": {name: score_rows(seeds) for name, seeds in conflicts.items()},
        "dominance_differences": {
            name: differences(seeds, conflicts[BASE]) for name, seeds in conflicts.items() if name != BASE
        },
        "forgetting": {
            run.name: _read(run_folder(setup.folder, run) / FORGETTING)["equality"]
            for run in runs
            if run.variant.forgetting
        },
        "floors": {
            targets: _read(setup.folder / "floors" / f"{targets}.json")
            for targets in dict.fromkeys(run.variant.targets for run in runs)
            if FloorTask(targets).is_done(setup)
        },
        "versions": versions(),
    }


def _answers(folder: Path, system: str) -> list[Prediction]:
    return list(read_records(folder / "evaluation" / "predictions" / f"{system}.jsonl", Prediction))


def _references(setup: Setup, runs: Sequence[Run]) -> dict[str, list[Row]]:
    """Tables of what no adapter has a part in, from the first run of the base."""
    folder = run_folder(setup.folder, next(run for run in runs if run.variant.name == BASE))
    found = {name: nano_rows(_answers(folder, name)) for name in ("cascade", "topline", "transcripts")}
    asked = [item for item in _answers(folder, "speech") if item.task.startswith("attribute/")]
    return {**found, "chance": nano_rows(chance(asked))}


def _variant(setup: Setup, runs: Sequence[Run], heard: Tables, name: str) -> dict[str, Any]:
    own = [run for run in runs if run.variant.name == name]
    trained = {str(run.seed): _read(run_folder(setup.folder, run) / TRAINED) for run in own}
    first, variant = next(iter(trained.values())), own[0].variant
    return {
        "experiment": variant.experiment,
        "told": variant.told,
        "targets": variant.targets,
        "clips": first["clips"],
        "steps": first["steps"],
        "loss": {seed: _last_loss(one["losses"]) for seed, one in trained.items()},
        "scores": score_rows(heard[name]),
        "differences": {} if name == BASE else differences(heard[name], heard[BASE]),
    }


def _last_loss(losses: Sequence[Sequence[float]]) -> float:
    """Mean over the last tenth of the training."""
    last = [loss for step, loss in losses if step > (1 - _LAST) * losses[-1][0]]
    return sum(last) / len(last)


def _plan_with_minutes(setup: Setup, runs: Sequence[Run]) -> list[dict[str, Any]]:
    took = {}
    for run in runs:
        seconds = (_read(run_folder(setup.folder, run) / name)["seconds"] for name in RunTask(run).files())
        took[run.name] = round(sum(seconds) / 60, 1)
    rows = table(setup.scale, runs)
    return [row | ({"took": took[row["name"]]} if row["name"] in took else {}) for row in rows]


def _read(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
