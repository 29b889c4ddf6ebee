"""Running a benchmark: questions + system + folder → predictions, resumable and in shards; then the scores.

Predictions are plain JSON lines that can be scored again without the model, and the folder says by whom and
how they were made (`run.json`). The trade-off: every process reads all questions and takes every n-th, so
that nobody has to know how many there are, and no process talks to another; reading is cheap beside
answering. A folder holds `predictions.jsonl`, or the parts of several processes in `predictions/`, and once
nothing is missing `scores.json`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import desta2
from desta2.data.backends import Failure
from desta2.data.failures import Failures
from desta2.errors import InputError, RunError
from desta2.evaluate.systems import Question, System
from desta2.ids import IdTable
from desta2.journal import Journal
from desta2.progress import Progress
from desta2.records import Prediction, read_records
from desta2.settings import keep_settings

PREDICTIONS = "predictions"
_LIBRARIES = ("torch", "transformers", "numpy")


@dataclass(frozen=True)
class Shard:
    """A share of the questions: the `number`-th of `count` processes takes every `count`-th question.

    Attributes:
        number: from 1 on.
        count: of processes.
    """

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str) -> Shard:
        """Read "2/8"; InputError where it is none."""
        found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.number <= shard.count:
            raise InputError(f"given the shard {text!r}, expected one from 1/N to N/N, such as 2/8")
        return shard

    def takes(self, position: int) -> bool:
        """Whether the question at this position, from 0 on, is of this share."""
        return position % self.count == self.number - 1


WHOLE = Shard()


@dataclass(frozen=True)
class Run:
    """One run of one benchmark into one folder.

    Attributes:
        benchmark: its name.
        data: where its questions are.
        folder: where the output goes.
        shard: this process's share.
        system_prompt: put before every question; None leaves that to the system.
        accept_failures: record questions that got no answer as empty answers, which are wrong, instead of
            failing at the end of the run.
    """

    benchmark: str
    data: Path
    folder: Path
    shard: Shard = WHOLE
    system_prompt: str | None = None
    accept_failures: bool = False

    def part(self, number: int) -> Path:
        """The file of a share, from 1 on."""
        if self.shard.count == 1:
            return self.folder / f"{PREDICTIONS}.jsonl"
        return self.folder / PREDICTIONS / f"part-{number - 1:05d}.jsonl"

    def missing(self) -> list[str]:
        """The shares that are not finished, such as "2/8"."""
        numbers = range(1, self.shard.count + 1)
        return [f"{number}/{self.shard.count}" for number in numbers if not self.part(number).exists()]

    def predictions(self) -> Iterator[Prediction]:
        """All predictions of a finished run."""
        whole = self.shard.count == 1
        return read_records(self.part(1) if whole else self.folder / PREDICTIONS, Prediction)


def answer(run: Run, questions: Iterable[Question], system: System) -> int:
    """Let a system answer what is still open of a share, and return how many questions that were.

    Raises:
        InputError: the folder was begun with another system, benchmark or sampling, or two questions have the
            same id.
        RunError: some questions got no answer; what is answered is kept.
    """
    facts = {key: system.facts.get(key) for key in ("kind", "identity", "dtype", "sampling")}
    data = str(run.data) if is_hub(run.data) else str(run.data.resolve())
    own = {"benchmark": run.benchmark, "data": data, "system_prompt": run.system_prompt}
    keep_settings(run.folder, {**own, **facts, "shards": run.shard.count})
    _keep_facts(run, data, system)
    path, answered = run.part(run.shard.number), 0
    with Journal(path) as journal, Progress(None, f"{run.benchmark}: questions answered") as progress:
        failures = Failures(path)
        for question, outcome in system.answer(_open(run, questions, journal)):
            if isinstance(outcome, Failure):
                failures.note(question.id, outcome.reason)
                if not run.accept_failures:
                    continue
            journal.append(_prediction(question, outcome))
            answered += 1
            progress.advance()
        if failures.count and not run.accept_failures:
            raise RunError(
                f"{failures.count} questions got no answer, {failures.path} tells why; what is answered is "
                "kept: run again to ask the others again, or with --accept-failures to count them as wrong"
            )
    return answered


def is_hub(data: Path) -> bool:
    """Whether the data are named as those of an owner on the hub, "hf:OWNER"."""
    return str(data).startswith("hf:")


def _open(run: Run, questions: Iterable[Question], journal: Journal) -> Iterator[Question]:
    """The questions of this share that are not answered yet, with the system prompt."""
    positions = IdTable()
    for position, question in enumerate(questions):
        if (first := positions.setdefault(question.id, position)) != position:
            raise InputError(
                f"questions {first + 1} and {position + 1} of {run.data} both have the id {question.id!r}; "
                "ids must be unique"
            )
        if run.shard.takes(position) and question.id not in journal.done:
            system = [{"role": "system", "content": run.system_prompt}] if run.system_prompt else []
            yield replace(question, messages=[*system, *question.messages])


def _prediction(question: Question, outcome: str | Failure) -> Prediction:
    failed = {"failed": outcome.reason} if isinstance(outcome, Failure) else {}
    response = "" if isinstance(outcome, Failure) else outcome
    return Prediction.model_validate({"id": question.id, **question.fields, "response": response, **failed})


def write_scores(
    folder: Path, scores: Mapping[str, Any], n: int, judge: Mapping[str, Any] | None = None
) -> Path:
    """Write `scores.json`: what the folder says about the run, the judge's facts, and the scores.

    Args:
        folder: of a finished run.
        scores: of the benchmark, JSON values; each score with value, low, high and n.
        n: number of predictions.
        judge: what judged (id, prompt hash, sampling); None where rules did.
    """
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    path = folder / "scores.json"
    _write_json(path, {**facts, "scored": _now(), "n": n, "judge": judge, "scores": dict(scores)})
    return path


def _keep_facts(run: Run, data: str, system: System) -> None:
    """Write `run.json` when the folder is begun: settings that may not change are in `settings.json`."""
    path = run.folder / "run.json"
    if not path.exists():
        facts = {"benchmark": run.benchmark, "data": data, "system": dict(system.facts)}
        prompt = {"system_prompt": run.system_prompt}
        _write_json(path, {**facts, **prompt, "date": _now(), "versions": versions()})


def versions() -> dict[str, str]:
    """Versions of this package, Python, and the libraries that answers depend on."""
    found = {"desta2": desta2.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
