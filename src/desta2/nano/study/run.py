"""The whole study: data, then runs, then results; continued where it was stopped."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from desta2.errors import InputError
from desta2.nano.pool import Task, perform_all
from desta2.nano.study.data import Bases
from desta2.nano.study.plan import BASE, EXPERIMENTS, SCALES, Scale, plan_runs, table, targets_by_part
from desta2.nano.study.report import write_report
from desta2.nano.study.results import gather
from desta2.nano.study.work import ClipsTask, FloorTask, PartTask, RunTask, Setup, write_json
from desta2.settings import keep_settings

RESULTS, PLAN, REPORT = "results.json", "plan.json", "report.md"


@dataclass(frozen=True)
class Options:
    """What is studied.

    Attributes:
        bases: the frozen models.
        seeds: runs of each variant.
        only: experiments, of `EXPERIMENTS`; none for all.
        scale: of `SCALES`.
        processes: runs side by side, one thread each.
    """

    bases: Bases = field(default_factory=Bases)
    seeds: int = 3
    only: Collection[str] = ()
    scale: str = "full"
    processes: int = 2


def run_study(folder: Path, options: Options = Options()) -> dict[str, Any]:
    """Run the study.

    Args:
        folder: gets everything; a study that was stopped goes on there. Further experiments may be asked
            for later, and runs that are there are used.
        options: what is studied.

    Returns:
        what `results.gather` gives, with the "command" and the paths "results" and "report"; "left_out"
        says what could not be studied, and why.

    Raises:
        InputError: an impossible option, or `folder` holds another study.
        RunError: a process died.
    """
    if options.scale not in SCALES:
        raise InputError(f"unknown scale {options.scale!r}; expected one of {', '.join(SCALES)}")
    scale, bases = SCALES[options.scale], _checked(options.bases)
    runs = plan_runs(scale, options.seeds, options.only)
    _keep_settings(folder, bases, options.seeds, scale)
    write_json(folder / PLAN, {"runs": table(scale, runs)})
    setup = Setup(folder.resolve(), scale, bases)
    parts = targets_by_part(runs)
    data: list[Task[Setup]] = [ClipsTask(), *(PartTask(number, targets) for number, targets in parts.items())]
    perform_all(data, setup, options.processes, "making the data")
    floors = [FloorTask(targets) for targets in dict.fromkeys(run.variant.targets for run in runs)]
    runs_and_floors: list[Task[Setup]] = [*map(RunTask, runs), *floors]
    perform_all(runs_and_floors, setup, options.processes, "training and evaluating")
    found = {"command": command(folder, options), "left_out": _left_out(options), **gather(setup, runs)}
    write_json(folder / RESULTS, found)
    report = write_report(found, folder / REPORT)
    return {**found, "results": str(folder / RESULTS), "report": str(report)}


def command(folder: Path, options: Options) -> str:
    """The command that does this again."""
    bases, usual = options.bases, Options()
    words = ["desta2", "nano", "study", "-o", str(folder)]
    for name, value, default in (
        ("--llm", bases.llm, usual.bases.llm),
        ("--encoder", bases.encoder, usual.bases.encoder),
        ("--second-llm", bases.second_llm, usual.bases.second_llm),
        ("--seeds", options.seeds, usual.seeds),
        ("--scale", options.scale, usual.scale),
        ("--processes", options.processes, usual.processes),
    ):
        words += [] if value == default else [name, str(value)]
    words += [word for name in options.only for word in ("--only", name)]
    return shlex.join(words)


def _keep_settings(folder: Path, bases: Bases, seeds: int, scale: Scale) -> None:
    """Refuse to go on with other weights: what lies under a name may be another model tomorrow."""
    from desta2.model.checkpoint import fingerprint, resolve_base
    from desta2.nano import base_id

    weights = {
        part: fingerprint(resolve_base(base_id(part, name), None))
        for part, name in zip(("llm", "whisper", "second-llm"), astuple(bases), strict=True)
    }
    keep_settings(folder, {**weights, "seeds": seeds, "scale": json.loads(json.dumps(asdict(scale)))})


def _checked(bases: Bases) -> Bases:
    """The same with whole paths.

    Raises:
        InputError: a folder is not there.
    """
    whole = {}
    for name, given in asdict(bases).items():
        if given != "nano" and not Path(given).is_dir():
            raise InputError(
                f"--{name.replace('_', '-')}: there is no folder {given}; give a model's folder, or nano"
            )
        whole[name] = given if given == "nano" else str(Path(given).resolve())
    return Bases(**whole)


def _left_out(options: Options) -> dict[str, str]:
    if not options.only:
        return {}
    return {name: "not asked for (--only)" for name in EXPERIMENTS if name not in (BASE, *options.only)}
