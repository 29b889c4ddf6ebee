"""Two systems on one benchmark: a table of both scores, their difference, and whether that is noise.

Only items that both answered, and that have a verdict for both, can be compared. Which these are must not
depend on the systems in silence: what only one of them has is an error, or, where the user wants the common
items alone, counted and named. The trade-off: a row is within noise by its own 5 %, so of twenty rows that
are equal one will look different; the benchmark's first row is the one to decide by, and the text says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from desta2.errors import InputError
from desta2.evaluate.benchmarks import Options
from desta2.evaluate.compare import Comparison, compare_paired
from desta2.evaluate.rows import Kind, Row, in_units, scored_ids
from desta2.evaluate.stats import Score
from desta2.evaluate.stored import JUDGED, Stored, rows_of

_NAMED = 5  # how many items are named for people


class Lone(TypedDict):
    """Items that only one system has: how many, and their ids."""

    n: int
    ids: list[str]


@dataclass(frozen=True)
class RowPair:
    """One line of the table.

    Attributes:
        rows: of the first and the second system, with the items compared alone.
        first: its score on these items.
        second: the same.
        comparison: of the two.
    """

    rows: tuple[Row, Row]
    first: Score
    second: Score
    comparison: Comparison

    @property
    def name(self) -> str:
        """See `Row`."""
        return self.rows[0].name

    @property
    def level(self) -> int:
        """See `Row`."""
        return self.rows[0].level

    @property
    def kind(self) -> Kind:
        """See `Row`."""
        return self.rows[0].kind

    @property
    def better(self) -> str | None:
        """The better system, "first" or "second"; None where the difference is within noise."""
        if self.comparison.within_noise:
            return None
        return "first" if (self.comparison.difference > 0) != (self.kind == "error") else "second"

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name,
            "level": self.level,
            "kind": self.kind,
            "first": self.first,
            "second": self.second,
            **self.comparison.to_dict(),
            "within_noise": self.comparison.within_noise,
            "better": self.better,
        }


@dataclass(frozen=True)
class Versus:
    """Two systems compared.

    Attributes:
        first: one.
        second: the other.
        rows: the table, from the benchmark's score to its parts.
        n: items compared.
        only_first: items without answer or verdict of the second.
        only_second: items without answer or verdict of the first.
        neither: items that both answered, and neither has a verdict for.
        warnings: what makes the comparison doubtful.
    """

    first: Stored
    second: Stored
    rows: list[RowPair]
    n: int
    only_first: list[str]
    only_second: list[str]
    neither: list[str]
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "benchmark": self.first.benchmark,
            "first": _about(self.first),
            "second": _about(self.second),
            "n": self.n,
            "rows": [row.to_dict() for row in self.rows],
            "only_first": _lone(self.only_first),
            "only_second": _lone(self.only_second),
            "unjudged": _lone(self.neither),
            "warnings": self.warnings,
        }


def compare_runs(
    first: Stored, second: Stored, options: Options | None = None, *, common: bool = False
) -> Versus:
    """Compare two systems, item by item.

    Args:
        first: of which the differences are counted: positive where its score is higher.
        second: the other.
        options: of the benchmark.
        common: compare the items that both have, instead of refusing where one has more.

    Raises:
        InputError: they are of two benchmarks, were asked different things, one has items that the other has
            not, or nothing can be compared.
    """
    if first.benchmark != second.benchmark:
        given = f"{first.path} of {first.benchmark} and {second.path} of {second.benchmark}"
        raise InputError(f"given {given}; expected two runs of the same benchmark")
    _same_questions(first, second)
    rows = rows_of(first.benchmark, options)
    tables = [rows(stored.predictions) for stored in (first, second)]
    scored = [scored_ids(table) for table in tables]
    only_first, only_second = sorted(scored[0] - scored[1]), sorted(scored[1] - scored[0])
    both = scored[0] & scored[1]
    answered = {item.id for stored in (first, second) for item in stored.predictions}
    if not both:
        raise InputError(_nothing(first, second, scored))
    if (only_first or only_second) and not common:
        lone = [(first, only_first), (second, only_second)]
        said = "; ".join(f"{len(ids)} only by {stored.path}: {_some(ids)}" for stored, ids in lone if ids)
        raise InputError(
            f"not all items are answered, and scored, for both: {said}. Finish the other run, or compare the "
            f"{len(both)} common items with --common"
        )
    kept = [rows([item for item in stored.predictions if item.id in both]) for stored in (first, second)]
    others = {(row.name, row.level): row for row in kept[1]}
    pairs = [_pair(row, other) for row in kept[0] if (other := others.get((row.name, row.level)))]
    neither = sorted(answered - scored[0] - scored[1])
    return Versus(first, second, pairs, len(both), only_first, only_second, neither, _warnings(first, second))


def _same_questions(first: Stored, second: Stored) -> None:
    """Refuse equal ids of different questions: they would be compared as if they were the same."""
    asked = {item.id: item for item in first.predictions}
    for item in second.predictions:
        other = asked.get(item.id)
        for name in ("task", "label", "instruction"):
            if other is not None and getattr(other, name) != getattr(item, name):
                raise InputError(
                    f"the item {item.id!r} has the {name} {_short(getattr(other, name))} in {first.path} and "
                    f"{_short(getattr(item, name))} in {second.path}; expected the same data for both"
                )


def _pair(one: Row, other: Row) -> RowPair:
    entries = dict(_keyed(other))
    matched = [(entry, entries[key]) for key, entry in _keyed(one)]
    found = compare_paired(
        [entry.value for entry, _ in matched],
        [entry.value for _, entry in matched],
        [entry.group for entry, _ in matched],
        [entry.cluster for entry, _ in matched],
        sizes=[entry.size for entry, _ in matched],
    )
    comparison = Comparison(found.difference, found.low, found.high, found.p_value, one.n, found.level)
    return RowPair((one, other), one.score().to_dict(), other.score().to_dict(), comparison)


def _keyed(row: Row) -> Iterable[tuple[Hashable, Any]]:
    """The entries, each with what it is found by in the other system's row: one item may have several."""
    seen: Counter[Hashable] = Counter()
    for entry in row.entries:
        place = (entry.id, entry.group)
        seen[place] += 1
        yield (place, seen[place]), entry


def _warnings(first: Stored, second: Stored) -> list[str]:
    found = []
    if first.judges != second.judges:
        judges = [
            ", ".join(map(_judge_name, stored.judges)) or "an unknown judge" for stored in (first, second)
        ]
        found.append(f"judged by {' and by '.join(judges)}: two judges, or two prompts, are two measures")
    for name in ("data", "system_prompt"):
        one, other = first.facts.get(name), second.facts.get(name)
        if first.facts and second.facts and one != other:
            found.append(f"the runs differ in {name.replace('_', ' ')}: {_short(one)} and {_short(other)}")
    return found


def _judge_name(judge: dict[str, str]) -> str:
    return f"{judge.get('id')} (prompt {str(judge.get('prompt_hash'))[:12]})"


def _nothing(first: Stored, second: Stored, scored: Sequence[set[str]]) -> str:
    for stored, ids in zip((first, second), scored, strict=True):
        if not ids:
            return (
                f"{stored.path}: none of {len(stored.predictions)} answers has a verdict; have them judged: "
                f"desta2 score {stored.benchmark} PREDICTIONS --judge URL --items {stored.path / JUDGED}"
            )
    return f"{first.path} and {second.path} have no item in common"


def _about(stored: Stored) -> dict[str, Any]:
    return {"path": str(stored.path), "n": len(stored.predictions), "facts": dict(stored.facts)}


def _lone(ids: list[str]) -> Lone:
    return {"n": len(ids), "ids": ids}


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(repr, ids[:_NAMED])) + more


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def in_words(found: Versus) -> str:
    """The comparison as a table for people."""
    width = max(len("  " * row.level + row.name) for row in found.rows)
    lines = [f"first:  {found.first.path}", f"second: {found.second.path}", ""]
    head = f"{'':<{width}}  {'first':<28}{'second':<28}{'difference':<28}{'p':<8}{'n':>6}"
    lines += [head, *(_line(row, width) for row in found.rows), ""]
    noise = sum(row.better is None for row in found.rows)
    lines.append(f"within noise: {noise} of {len(found.rows)} rows" + _chance(len(found.rows)))
    lone = {
        f"only {found.first.path} answered": found.only_first,
        f"only {found.second.path} answered": found.only_second,
        "without a verdict for both": found.neither,
    }
    lines += [f"{len(ids)} items left out, {name}: {_some(ids)}" for name, ids in lone.items() if ids]
    return "\n".join(lines + [f"warning: {warning}" for warning in found.warnings])


def _chance(rows: int) -> str:
    return f"; about {0.05 * rows:.0f} of {rows} would look different by chance" if rows >= 20 else ""


def _line(row: RowPair, width: int) -> str:
    said = {"first": "first is better", "second": "second is better", None: "within noise"}[row.better]
    scores = [f"{_bracketed(score, row.kind):<28}" for score in (row.first, row.second)]
    found = row.comparison
    between = (
        f"[{in_units(found.low, row.kind, signed=True)} … {in_units(found.high, row.kind, signed=True)}]"
    )
    difference = f"{in_units(found.difference, row.kind, signed=True):>6} {between}"
    name = "  " * row.level + row.name
    return f"{name:<{width}}  {''.join(scores)}{difference:<28}{found.p_value:<8.4f}{found.n:>6}  {said}"


def _bracketed(score: Score, kind: Kind) -> str:
    low, high = (in_units(end, kind).removesuffix(" %") for end in (score["low"], score["high"]))
    return f"{in_units(score['value'], kind)} [{low} … {high}]"
