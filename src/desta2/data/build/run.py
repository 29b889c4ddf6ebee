"""Deciding which stages have to run, and running them.

A stage is kept where its settings and its input are those of its stamp; continued where it was stopped, or
its input only got longer; and redone, its old output moved aside, where anything else changed. Whether a
stage behind one that runs has to follow is decided by what that one wrote: equal content keeps it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from desta2 import __version__
from desta2.data.build.config import Common, parameters
from desta2.data.build.stages import STAGES, Job, Stage
from desta2.data.build.stamps import Stamp, compare, content_of, is_there, read_stamp, write_stamp
from desta2.errors import InputError
from desta2.lines import PARTIAL, manifest_files
from desta2.progress import Progress
from desta2.records import count_records

logger = logging.getLogger(__name__)

ASIDE = "aside"

Action = Literal["keep", "start", "continue", "redo", "wait"]


@dataclass
class Step:
    """What is to be done, or was done, with one stage.

    Attributes:
        stage: its name.
        action: keep, start, continue or redo; wait, in a plan, where it depends on the stage before.
        reason: why.
        output: where its records are.
        result: what the stage told; that of an earlier run where it was kept.
    """

    stage: str
    action: Action
    reason: str
    output: Path
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Planned:
    """A stage of this build, with what it reads: a manifest, for the corpus stage a table or None."""

    stage: Stage
    section: Any
    source: Path | None
    out: Path


def build(
    config: Common,
    *,
    redo: bool = False,
    again: Collection[str] = (),
    until: str | None = None,
    dry_run: bool = False,
) -> list[Step]:
    """Run the stages of a build that have to run.

    Args:
        config: see `load_build`.
        redo: allow outputs that are no longer true to be moved aside (into `aside/`) and made anew.
        again: stages that are to look for new work although nothing seems changed.
        until: the last stage to run; all by default.
        dry_run: only say what would be done.

    Returns:
        A step for each stage.

    Raises:
        InputError: an unknown stage; or outputs are no longer true and `redo` is not given: the message says
            which, and why.
        Desta2Error: whatever a stage raises; what is finished is kept, and the next run goes on.
    """
    stages = _stages(config, again, until)
    steps = _plan(config, stages, again)
    if dry_run:
        return steps
    if not redo and any(step.action == "redo" for step in steps):
        raise _needs_leave(steps)
    aside = config.output / ASIDE / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    done = []
    for planned in stages:
        step = _decide(config, planned, again)
        if step.action == "redo":
            if not redo:
                raise _needs_leave([step])
            _set_aside(config.output, planned.stage, aside)
        if step.action != "keep":
            logger.info("%s: %s (%s)", step.stage, step.action, step.reason)
            step.result = _run(config, planned)
        done.append(step)
    return done


def _stages(config: Common, again: Collection[str], until: str | None) -> list[_Planned]:
    """The stages that the config asks for, each reading what the last one wrote."""
    planned: list[_Planned] = []
    if config.clips is not None:
        manifest_files(config.clips)  # complain about a missing one now
    source = config.clips
    for stage in STAGES:
        section = config.section(stage.name)
        if section is not None:
            source = _table(section) if stage.name == "corpus" else source
            planned.append(_Planned(stage, section, source, config.output / stage.output))
            source = planned[-1].out
    names = [each.stage.name for each in planned]
    for name in [*again, *([until] if until else [])]:
        if name not in names:
            raise InputError(f"this build has no stage {name!r}; it has {', '.join(names)}")
    return planned[: names.index(until) + 1] if until else planned


def _table(corpus: Any) -> Path | None:
    """The corpus as a file whose content can be compared; None for folders and datasets."""
    file = Path(corpus.source)
    return file if file.is_file() else None


def _plan(config: Common, stages: list[_Planned], again: Collection[str]) -> list[Step]:
    """What can be said of each stage before any of them runs."""
    steps: list[Step] = []
    for planned in stages:
        before = next((step for step in steps if step.action != "keep"), None)
        step = _decide(config, planned, again, input_known=before is None)
        if before is not None and step.action != "redo" and is_there(planned.out) != "no":
            step.action = "wait"
            step.reason = f"kept or continued if {before.stage} writes what it wrote before, otherwise redone"
        steps.append(step)
    return steps


def _decide(config: Common, planned: _Planned, again: Collection[str], input_known: bool = True) -> Step:
    stage, out = planned.stage, planned.out
    stamp = read_stamp(config.output, stage.name)

    def step(action: Action, reason: str) -> Step:
        return Step(stage.name, action, reason, out, stamp.result if stamp is not None else {})

    there = is_there(out)
    if there == "no":
        return step("start", "its output is gone" if stamp is not None and stamp.finished else "not made yet")
    if stamp is None:
        return step("redo", f"{out.name} is there, but not from this build")
    changed = _differing(stamp.settings, _settings(config, planned))
    if unwelcome := [change for key, change in changed.items() if key not in stage.welcome]:
        return step("redo", ", ".join(unwelcome))
    if input_known and stamp.input is not None and planned.source is not None:
        verdict = compare(planned.source, stamp.input)
        if verdict == "changed":
            return step("redo", f"its input {planned.source.name} changed")
        if verdict == "grown":
            return step("continue", f"its input {planned.source.name} has grown")
    if there == "begun" or not stamp.finished:
        failed = stamp.result.get("failed")
        return step("continue", f"{failed} failed" if failed else "it was stopped")
    if changed:
        return step("continue", ", ".join(changed.values()))
    if stage.name in again:
        return step("continue", "asked for")
    return step("keep", "unchanged")


def _settings(config: Common, planned: _Planned) -> dict[str, Any]:
    """What a stage's output depends on, beside its input."""
    settings = planned.section.model_dump(mode="json", exclude=set(planned.stage.harmless))
    if "scheme" in parameters(planned.stage.function):
        scheme = config.read_scheme().model_dump_json()
        settings["scheme"] = hashlib.blake2b(scheme.encode(), digest_size=6).hexdigest()
    return dict(json.loads(json.dumps(settings)))  # as it is read back


def _differing(before: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """The settings that differ, each with how."""
    return {
        key: f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    }


def _needs_leave(steps: list[Step]) -> InputError:
    untrue = [step for step in steps if step.action == "redo"]
    said = "; ".join(f"{step.stage}: {step.reason}" for step in untrue)
    outputs = ", ".join(str(step.output) for step in untrue)
    behind = ", ".join(step.stage for step in steps if step.action == "wait")
    follow = f" (then {behind}, unless the input stays the same)" if behind else ""
    return InputError(
        f"this would make anew what is there already ({said}). --redo moves {outputs} aside, into {ASIDE}/, "
        f"and goes on{follow}; or give another output"
    )


def _set_aside(work: Path, stage: Stage, aside: Path) -> None:
    aside.mkdir(parents=True, exist_ok=True)
    for name in (stage.output, stage.output + PARTIAL, *stage.also):
        if (work / name).exists():
            os.rename(work / name, aside / name)
            logger.warning("moved %s to %s", work / name, aside)


def _run(config: Common, planned: _Planned) -> dict[str, Any]:
    """Run a stage between its two stamps: one that says what it is made from, one that it is whole."""
    stage, source = planned.stage, planned.source
    stamp = Stamp(
        settings=_settings(config, planned),
        input=None if source is None else content_of(source),
        finished=False,
        result={},
        version=__version__,
    )
    total = None if source is None or stage.name == "corpus" else count_records(source)
    write_stamp(config.output, stage.name, stamp)
    with Progress(total, stage.doing) as bar:
        result = stage.run(Job(stage, config, planned.section, source, planned.out, bar.move_to))
    finished = not result.get("failed")
    write_stamp(config.output, stage.name, stamp.model_copy(update={"finished": finished, "result": result}))
    return result
