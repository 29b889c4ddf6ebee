"""Finished runs and stored predictions, as what they are made of: benchmark, predictions, and facts.

A judge's verdicts are no part of a run: they come later, and `desta2 score … --items RUN/judged.jsonl` keeps
them beside the predictions, line for line. The trade-off: that file is known by its name, so what is in it is
compared with the predictions, and a judged file of other answers is refused rather than believed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from desta2.errors import InputError
from desta2.evaluate.benchmarks import Options, open_benchmark
from desta2.evaluate.nano_rows import nano_rows
from desta2.evaluate.rows import Row
from desta2.evaluate.runner import PREDICTIONS
from desta2.lines import part_files
from desta2.records import Prediction, read_records
from desta2.settings import FILE as SETTINGS

JUDGED = "judged.jsonl"
"""Predictions of a run with a judge's verdicts, in its folder."""
NANO = "nano"
_NANO_SYSTEM, _NANO_HEARD = "speech.jsonl", "transcripts.jsonl"
Rows: TypeAlias = Callable[[Sequence[Prediction]], list[Row]]


@dataclass(frozen=True)
class Stored:
    """The predictions of one system on one benchmark.

    Attributes:
        path: the run's folder, or the file.
        benchmark: its name.
        predictions: in order, with the judge's verdicts where there are some.
        facts: what is known of the run: see `run.json`; empty for a file.
    """

    path: Path
    benchmark: str
    predictions: list[Prediction]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judges(self) -> list[dict[str, str]]:
        """Who gave the verdicts, where the predictions tell: id and prompt_hash of each judge."""
        found = [(item.model_extra or {}).get("judge") for item in self.predictions]
        known = {json.dumps(judge, sort_keys=True): judge for judge in found if isinstance(judge, dict)}
        return list(known.values())


def rows_of(benchmark: str, options: Options | None = None) -> Rows:
    """The function that gives a benchmark's rows; InputError for an unknown benchmark."""
    return nano_rows if benchmark == NANO else open_benchmark(benchmark, options or Options()).rows


def read_stored(path: Path, benchmark: str | None = None) -> Stored:
    """Read a run's folder, or predictions from a file or a folder of parts.

    Args:
        path: of the run or the predictions.
        benchmark: needed where `path` is no run, and else to be left out.

    Raises:
        InputError: there is nothing, the run is not finished, the benchmark is not known or another one.
        RecordError: a line is no prediction.
    """
    if (path / "predictions" / _NANO_SYSTEM).exists():
        found = _nano_run(path)
    elif (path / "run.json").exists():
        found = _run(path)
    elif benchmark is None:
        raise InputError(
            f"{path} is no folder of a finished 'desta2 evaluate'; for a file of predictions, say with "
            "--benchmark of which benchmark they are"
        )
    else:
        return Stored(path, benchmark, _read(path))
    if benchmark not in (None, found.benchmark):
        raise InputError(f"{path} is a run of {found.benchmark}, not of {benchmark}: leave --benchmark out")
    return found


def _nano_run(folder: Path) -> Stored:
    parts = [folder / "predictions" / name for name in (_NANO_SYSTEM, _NANO_HEARD)]
    if missing := [part for part in parts if not part.exists()]:
        raise InputError(f"{folder} is not finished: there is no {missing[0].name}; run it again")
    return Stored(folder, NANO, [item for part in parts for item in _read(part)], _json(folder / SETTINGS))


def _run(folder: Path) -> Stored:
    facts = _json(folder / "run.json")
    shares = int(_json(folder / SETTINGS).get("shards", 1))
    whole, parts = folder / f"{PREDICTIONS}.jsonl", folder / PREDICTIONS
    finished = whole.exists() if shares == 1 else parts.is_dir() and len(part_files(parts)) == shares
    if not finished:
        raise InputError(f"{folder} is not finished: give its command again, of every share, to go on")
    predictions = _read(whole if shares == 1 else parts)
    if (folder / JUDGED).exists():
        judged = _read(folder / JUDGED)
        told = {item.id: item.response for item in predictions}
        if {item.id: item.response for item in judged} != told:
            raise InputError(
                f"{folder / JUDGED} holds other answers than the run: judge its predictions again, with "
                f"--items {folder / JUDGED}"
            )
        predictions = judged
    return Stored(folder, str(facts["benchmark"]), predictions, facts)


def _read(path: Path) -> list[Prediction]:
    predictions = list(read_records(path, Prediction))
    if not predictions:
        raise InputError(f"{path} holds no predictions")
    return predictions


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
