"""The verb build: all stages of data construction from one config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers

if TYPE_CHECKING:
    from desta2.data.build import Step


def build(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="See recipes/build-*.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as respond.llm=nano.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done, and why.")] = False,
    redo: Annotated[
        bool, typer.Option("--redo", help="Make anew what a change made untrue; the old is moved aside.")
    ] = False,
    again: Annotated[
        list[str] | None,
        typer.Option(metavar="STAGE", help="Let a stage look for new work, such as new files; repeatable."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Build training pairs: corpus, augment, annotate, seed and respond in one go. Resumable.

    What is unchanged is kept. A changed config says what it makes untrue, and then needs --redo.

    Example: desta2 build recipes/build-nano.yaml
    """
    from desta2.data.build import build, load_build

    checked = load_build(config, overrides or [])
    steps = build(checked, again=again or (), until=until, dry_run=True)
    if not dry_run:
        if any(step.action != "keep" for step in steps):
            quiet_transformers()
        steps = build(checked, redo=redo, again=again or (), until=until)
    result = {
        "output": str(steps[-1].output),
        "dry_run": dry_run,
        "stages": {
            step.stage: {
                "action": step.action, "reason": step.reason, "output": str(step.output), **step.result
            }
            for step in steps
        },
    }  # fmt: skip
    emit(result, as_json, _in_words(steps, dry_run))


def _in_words(steps: Sequence[Step], dry_run: bool) -> str:
    lines = []
    for step in steps:
        counts = ", ".join(f"{name} {count}" for name, count in step.result.items())
        told = f": {counts}" if counts and not dry_run else ""
        lines.append(f"{step.stage:9} {step.action:9} {step.output} ({step.reason}){told}")
    return "\n".join(lines)
