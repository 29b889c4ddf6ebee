"""Stages and an engine for the tests of scale: a module, so that other processes find them."""

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from desta2.data.scale.work import attempt
from desta2.data.seed import seed
from desta2.journal import Journal
from desta2.records import Clip, Record, read_records

CLIPS = 7  # of the corpus in tests/data/scale


def seeds(source: Path, out: Path) -> dict:
    return {"seeds": seed(source, out), "process": [os.getpid()]}


def killed_once(flag: Path, source: Path, out: Path) -> None:
    """Dies without a word at the first shard that it meets."""
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    seed(source, out)


def killed_by_the_second(source: Path, out: Path) -> None:
    """Dies whenever it meets the second shard."""
    if source.name == "part-00001.jsonl":
        os.kill(os.getpid(), signal.SIGKILL)
    seed(source, out)


def sleeping(source: Path, out: Path) -> None:
    """Says that it has begun, and takes for ever."""
    Path(f"{out}.begun").write_text(json.dumps(os.getpid()))
    signal.pause()


class Here:
    """An engine without processes: shards in order, in this one."""

    def run(self, work, shards):
        return (attempt(work, name) for name in shards)


HERE = Here()


@dataclass
class Counting:
    """Copies records one by one, resumably, as a stage does; fails those it is told to."""

    stop_at: str | None = None
    failing: set = field(default_factory=set)
    made: list = field(default_factory=list)

    def __call__(self, source, out):
        failed = []
        with Journal(out) as journal:
            for record in read_records(source, Clip):
                if record.id in journal.done:
                    continue
                if record.id == self.stop_at:
                    raise KeyboardInterrupt
                if record.id in self.failing:
                    failed.append(record.id)
                    continue
                self.made.append(record.id)
                journal.append(record)
        notes = out.with_suffix(".failed.jsonl")
        notes.unlink(missing_ok=True)
        if failed:
            notes.write_text("".join(json.dumps({"id": key}) + "\n" for key in failed))
        return {"failed": failed}


def ids(folder):
    return [record.id for record in read_records(folder, Record)]


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir() if path.is_file())
