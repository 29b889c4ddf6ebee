"""What a check found: counts and examples, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from desta2.data.check.base import Filter, Finding
from desta2.data.check.text import shown
from desta2.records import BadLine


@dataclass(frozen=True)
class Example:
    """One pair that a filter found: its id, its place (file:line) and the finding."""

    id: str
    place: str
    finding: Finding

    def to_dict(self) -> dict[str, str]:
        """Give it as JSON values."""
        found = self.finding
        return {"id": self.id, "place": self.place, "reason": found.reason, "excerpt": found.excerpt}


@dataclass
class FilterReport:
    """What one filter found; `unchecked` counts the pairs that it could not look at, by reason."""

    name: str
    about: str
    found: int = 0
    unchecked: Counter[str] = field(default_factory=Counter)
    examples: list[Example] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Give it as JSON values."""
        examples = [example.to_dict() for example in self.examples]
        return {"found": self.found, "unchecked": dict(self.unchecked), "examples": examples}


class Report:
    """The counts of a check. A pair counts under each filter that finds it; `dropped` counts it once.

    Attributes:
        pairs: pairs that were read.
        dropped: of these, pairs that some filter found.
        filters: by name, in order.
        bad_lines: lines that are no pairs (only with `skip_bad`).
    """

    def __init__(self, filters: list[Filter], examples: int) -> None:
        self._most_examples = examples
        self.pairs = 0
        self.dropped = 0
        self.filters = {f.name: FilterReport(f.name, f.about) for f in filters}
        self.bad_lines: list[BadLine] = []

    @property
    def kept(self) -> int:
        """Pairs that no filter found."""
        return self.pairs - self.dropped

    def count(self, pair_id: str, place: str, findings: dict[str, Finding]) -> None:
        """Count a pair and what was found."""
        self.pairs += 1
        self.dropped += bool(findings)
        for name, finding in findings.items():
            part = self.filters[name]
            part.found += 1
            if len(part.examples) < self._most_examples:
                part.examples.append(Example(pair_id, place, finding))

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return {
            "pairs": self.pairs,
            "kept": self.kept,
            "dropped": self.dropped,
            "filters": {name: part.to_dict() for name, part in self.filters.items()},
            "bad_lines": [str(line) for line in self.bad_lines],
        }

    def to_text(self) -> str:
        """Give everything in words, a table first."""
        lines = [
            f"{self.pairs} pairs: {self.kept} pass, {self.dropped} are found ({self._share(self.dropped)})"
        ]
        for part in self.filters.values():
            lines.append(f"  {part.name:<20}{part.found:>8} {self._share(part.found):>8}  {part.about}")
            lines += [f"{'':<22}not looked at: {n} ({why})" for why, n in part.unchecked.items()]
        for part in self.filters.values():
            for example in part.examples:
                lines.append(
                    f"{part.name}: {example.place} {shown(example.id, 60)!r}: {example.finding.reason}"
                )
                if example.finding.excerpt:
                    lines.append(f"    {example.finding.excerpt}")
        return "\n".join(lines + [f"skipped: {line}" for line in self.bad_lines])

    def _share(self, count: int) -> str:
        return f"{100 * count / self.pairs:.2f} %" if self.pairs else "0 %"
