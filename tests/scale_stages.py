"""Stages for the tests of scale: a module, so that other processes find them."""

import json
import os
import signal
from pathlib import Path

from desta2.data.seed import seed


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
