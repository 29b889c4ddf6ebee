"""Clips that could not be read while training ran: named, counted, and never in silence.

DataLoader processes find them, so the note is a file of the run: each line is one write, which does not mix
with those of other processes.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class Skips:
    """Notes what was skipped in a file of JSON lines, once for each process.

    Args:
        path: of the file; made at the first note.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._noted: set[str] = set()

    def note(self, name: str, error: object) -> None:
        """Something is skipped, and why."""
        if name in self._noted:
            return
        self._noted.add(name)
        logger.warning("skipped: %s: %s", name, error)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"skipped": name, "reason": str(error)}, ensure_ascii=False) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def count(self) -> int:
        """How many different things were skipped, by all processes and in all runs of this output."""
        if not self.path.exists():
            return 0
        return len({json.loads(line)["skipped"] for line in self.path.read_text("utf-8").splitlines()})
