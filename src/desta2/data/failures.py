"""The items that got no answer, in a file beside the answers: nothing is dropped in silence.

The file tells of the latest run alone. It is no input of anything: an item that is not among the answers is
asked again by the next run, whatever stands here.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)
_LOGGED = 3


class Failures:
    """Notes failed items as they come; begun anew by each run.

    Args:
        out: the answers, a folder of parts or a `.jsonl` file.

    Attributes:
        path: `failed.jsonl` in the folder, or `NAME.failed.jsonl` beside the file.
        count: how many there are.
    """

    def __init__(self, out: Path) -> None:
        self.path = out.with_suffix(".failed.jsonl") if out.suffix == ".jsonl" else out / "failed.jsonl"
        self.count = 0
        self.path.unlink(missing_ok=True)

    def note(self, key: str, reason: str) -> None:
        """Append an item; the first few are logged too, since the same may happen to all."""
        self.count += 1
        if self.count <= _LOGGED:
            # A log cannot hold half a character, which the JSON below can.
            shown = f"{key}: {reason}".encode(errors="backslashreplace").decode()
            log.warning("no usable answer for %s", shown)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as lines:
            lines.write(json.dumps({"id": key, "reason": reason, "time": time}, ensure_ascii=False) + "\n")
