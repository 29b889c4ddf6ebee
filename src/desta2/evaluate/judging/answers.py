"""A judge's answers on the disk, by the hash of all that they depend on: nothing is asked twice.

The key of an answer is the hash of the judge's id and weights, the whole prompt, and how it was sampled. An
answer is written the moment it comes, in a journal, so a killed run goes on where it stopped, and scoring
again asks nothing. Unreadable answers are kept too: a rerun would otherwise ask until it likes the verdict.

The trade-off: all answers of the journal are held in memory, a few hundred bytes each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic_core import from_json

from desta2.data.backends import Reply
from desta2.errors import InputError
from desta2.journal import Journal
from desta2.lines import PARTIAL, numbered_lines, part_files


def answer_key(facts: Mapping[str, Any]) -> str:
    """The hash of what an answer depends on: JSON values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Answers:
    """Answers by key; a context manager.

    Args:
        folder: of the journal; None keeps them in memory alone.

    Raises:
        InputError: on entering: the folder cannot be used, is written to by another process, or holds
            something else.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and folder.suffix == ".jsonl":
            raise InputError(f"{folder} names a file; the judge's answers are kept in a folder")
        self._folder = folder
        self._journal: Journal | None = None
        self._known: dict[str, Reply] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._journal = self._open.enter_context(Journal(self._folder))
            try:
                self._known.update(_read(self._folder))
            except InputError:
                self._open.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal = None
        self._open.__exit__(kind, error, trace)

    def find(self, key: str) -> Reply | None:
        """The answer of that key, if it is there."""
        return self._known.get(key)

    def keep(self, key: str, answer: Reply, judge: str) -> None:
        """Add an answer that is not there yet."""
        self._known[key] = answer
        if self._journal is not None:
            time = datetime.now(UTC).isoformat(timespec="seconds")
            self._journal.append(
                {"id": key, "judge": judge, "text": answer.text, "finished": answer.finished, "time": time}
            )


def _read(folder: Path) -> Iterator[tuple[str, Reply]]:
    for file in [*part_files(folder), *folder.glob(f"part-*.jsonl{PARTIAL}")]:
        for number, line in numbered_lines(file):
            kept = from_json(line)
            if not kept.keys() >= {"judge", "text", "finished"}:
                raise InputError(
                    f"{file}:{number} is no judge's answer; give a folder for the judge's answers alone"
                )
            yield kept["id"], Reply(kept["text"], kept["finished"])
