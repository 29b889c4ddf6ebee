"""What a benchmark asks a system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """One item of a benchmark, to be answered by a system.

    Attributes:
        id: unique in the benchmark.
        messages: in any accepted form; audio as a path.
        fields: what goes into the `Prediction` besides: task, instruction, label, audio, …
    """

    id: str
    messages: list[dict[str, Any]]
    fields: dict[str, Any]
