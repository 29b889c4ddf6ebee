"""A stage over a folder of shards, from looking what is left to saying what came of it.

Trade-off: the output folder is the only memory. A note in it (`_scale/run.json`) says what the first run was
asked for, so that one folder never quietly holds the work of two different runs.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desta2 import __version__
from desta2.data.scale.engines import Engine
from desta2.data.scale.folders import Folder
from desta2.data.scale.slurm import Slurm, Submitted
from desta2.data.scale.work import Outcome, Stage, Work, pending
from desta2.errors import InputError, RunError

NOTES = "_scale"
"""Folder of our notes in the output folder; no reader takes it for records, which begin with `part-`."""
_EXAMPLES = 10


@dataclass
class Summary:
    """What a run did.

    Attributes:
        shards: all that there are.
        already_done: done by earlier runs.
        done: done now.
        counts: what the stage counted, summed over the shards done now.
        examples: the first things that the stage listed (bad clips, say).
        submitted: the job that does the rest, where it is Slurm's.
    """

    shards: int = 0
    already_done: int = 0
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    submitted: Submitted | None = None


def scale(
    stage: Stage,
    source: str | Path,
    out: str | Path,
    engine: Engine | Slurm,
    *,
    suffix: str = ".jsonl",
    scratch: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    retry: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Run a stage over every shard of a folder; a second run does what is left.

    Args:
        stage: reads a file of records and writes a `.jsonl` file: `annotate`, `seed`, or any function of the
            kind, with its options bound by `functools.partial`. It works in other processes and, on a
            cluster, on other machines, so it has to be a function of an installed module; give `annotate`
            `processes=1`.
        source: folder of shards (.jsonl, .jsonl.gz, .jsonl.zst, .parquet), a path or a URL.
        out: folder for the finished shards, a path or a URL.
        engine: who does the work.
        suffix: form of the finished shards.
        scratch: folder for copies and partial output, where a folder is not local.
        settings: what the stage was given, as JSON values. A later run with others is refused.
        retry: do shards again of which items failed; the stage adds only what is missing.
        progress: called with the number of shards that are done.

    Raises:
        InputError: a folder cannot be used, or `out` was begun with other settings.
        RunError: shards failed (all others are done), or workers died. Where each failure was a mistake in
            the input, InputError.
    """
    told = json.dumps(settings or {}, sort_keys=True, ensure_ascii=False)
    work = Work(
        stage,
        Folder.of(source),
        Folder.of(out),
        suffix,
        Path(scratch).absolute() if scratch else None,
        told,
        retry,
    )
    left, already_done = pending(work)
    _check_begun(work, settings or {})
    summary = Summary(len(left) + already_done, already_done)
    if not left:
        return summary
    if isinstance(engine, Slurm):
        logs = work.scratch if work.out.local is None else work.out.local / NOTES
        if logs is None:
            raise InputError("give --scratch, a folder that all nodes share, for the job's script and logs")
        summary.submitted = engine.submit(work, left, logs)
        return summary
    failed: list[Outcome] = []
    if progress is not None:
        progress(already_done)
    for outcome in engine.run(work, left):
        if outcome.error is not None:
            failed.append(outcome)
            continue
        summary.done += 1
        summary.counts.update(outcome.counts)
        summary.examples += outcome.examples[: _EXAMPLES - len(summary.examples)]
        if progress is not None:
            progress(already_done + summary.done)
    if failed:
        _complain(failed, summary)
    return summary


def _check_begun(work: Work, settings: Mapping[str, Any]) -> None:
    """Note what `out` is begun with; refuse another work than that which it was begun with."""
    notes = work.out.within(NOTES)
    source = work.source.url
    if work.in_place:  # the two may have been moved together
        source = Path(os.path.relpath(source, work.out.url)).as_posix()
    now = {"source": source, "suffix": work.suffix, **settings}
    try:
        before = json.loads(notes.read_text("run.json") or "null")
    except ValueError:
        before = None  # cut short: written again
    if not isinstance(before, dict):
        told = now | {"desta2_version": __version__}
        notes.write_text("run.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return
    before.pop("desta2_version", None)
    other = [key for key in now.keys() | before.keys() if now.get(key) != before.get(key)]
    if other:
        said = ", ".join(f"{key} was {before.get(key)!r} and is {now.get(key)!r}" for key in sorted(other))
        raise InputError(
            f"{work.out} was begun otherwise: {said}. Give another output; or, if the shards that are left "
            f"are meant to be done so, delete {notes}/run.json"
        )


def _complain(failed: list[Outcome], summary: Summary) -> None:
    kind = InputError if all(outcome.mistake for outcome in failed) else RunError
    shown = "; ".join(f"{outcome.shard}: {outcome.error}" for outcome in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    raise kind(
        f"{len(failed)} of {summary.shards} shards failed, and the others are done; run again to try them "
        f"again. {shown}{more}"
    )
