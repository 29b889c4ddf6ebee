"""Reports of runs as pages: one system's scores, or two systems compared, with items to listen to.

A page is about rows and knows no benchmark. The trade-off: it shows what all benchmarks have (scores,
intervals, n, instruction, label, response, clip); what only one has stays in `scores.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.errors import AudioError
from desta2.evaluate.benchmarks import Options
from desta2.evaluate.examples import Source, apart, badness, find_clips, worst
from desta2.evaluate.pages import check_writable, render, sound, write_page
from desta2.evaluate.plots import bar_plot
from desta2.evaluate.rows import HIGHEST_MARK, Entry, Kind, Row, in_units, scored_ids
from desta2.evaluate.runner import versions
from desta2.evaluate.stats import Score
from desta2.evaluate.stored import Stored, rows_of
from desta2.evaluate.versus import Versus

REPORT = "report.html"
_EXAMPLES = 12
_SECONDS = 20.0  # of a clip: 0.85 MB in the page
_CLIPS = 2  # of an item
_LONGEST = 3000  # characters of an instruction, label or response
_COLOURS = {"first": "#0072B2", "second": "#E69F00"}  # Okabe & Ito (2008), for every kind of colour vision


@dataclass(frozen=True)
class Shown:
    """An item on a page.

    Attributes:
        id: of the item.
        part: the name of its row.
        marks: by system: what the item got there.
        instruction: what was asked.
        label: the right answer; None where there is none.
        responses: by system.
        sounds: base64 wav of its clips.
        silence: why a clip is missing or cut; empty where all is there.
    """

    id: str
    part: str
    marks: Mapping[str, str]
    instruction: str
    label: str | None
    responses: Mapping[str, str]
    sounds: Sequence[str]
    silence: str


def write_run_report(stored: Stored, path: Path, options: Options | None = None) -> Path:
    """Write the page of one system's run, and return its path.

    Raises:
        InputError: the folder cannot be written, or a prediction cannot be scored.
    """
    check_writable(path)
    rows = rows_of(stored.benchmark, options)(stored.predictions)
    scores = {row.name: row.score().to_dict() for row in rows}
    chosen = worst(rows, _EXAMPLES)
    clips = find_clips(stored, [entry.id for _, entry in chosen], options)
    responses = {item.id: item.response for item in stored.predictions}
    examples = [
        _shown(stored, clips, entry, row, {"answer": _mark(row, entry)}, {"answer": responses[entry.id]})
        for row, entry in chosen
    ]
    html = render(
        "run_report.html.jinja",
        _FILTERS,
        title=f"desta2 · {stored.benchmark} · {_name(stored)}",
        stored=stored,
        name=_name(stored),
        rows=[(row, scores[row.name]) for row in rows],
        plots=_plots(rows, {name: {"first": score} for name, score in scores.items()}),
        unscored=len(stored.predictions) - len(scored_ids(rows)),
        failed=sum("failed" in (item.model_extra or {}) for item in stored.predictions),
        examples=examples,
        facts=_facts(stored),
    )
    return write_page(path, html)


def write_versus_report(found: Versus, path: Path, options: Options | None = None) -> Path:
    """Write the page of two systems compared, and return its path.

    Raises:
        InputError: the folder cannot be written.
    """
    check_writable(path)
    pairs = [row.rows for row in found.rows]
    turned = [(second, first) for first, second in pairs]
    chosen = {"first": apart(pairs, _EXAMPLES // 2), "second": apart(turned, _EXAMPLES // 2)}
    clips = find_clips(found.first, [entry.id for each in chosen.values() for _, entry in each], options)
    html = render(
        "versus_report.html.jinja",
        _FILTERS,
        title=f"desta2 · {found.first.benchmark} · two systems",
        found=found,
        names={"first": _name(found.first), "second": _name(found.second)},
        colours=_COLOURS,
        plots=_plots(
            [first for first, _ in pairs],
            {r.name: {"first": r.first, "second": r.second} for r in found.rows},
        ),
        examples={side: _both(found, clips, each) for side, each in chosen.items()},
        facts={"first": _facts(found.first), "second": _facts(found.second)},
    )
    return write_page(path, html)


def _both(
    found: Versus, clips: Mapping[str, Sequence[Source]], chosen: Sequence[tuple[Row, Entry]]
) -> list[Shown]:
    """Items with both systems' answers."""
    rows = {row.name: row.rows for row in found.rows}
    systems = dict(zip(_COLOURS, (found.first, found.second), strict=True))
    responses = {
        side: {item.id: item.response for item in stored.predictions} for side, stored in systems.items()
    }
    shown = []
    for row, entry in chosen:
        both = dict(zip(_COLOURS, rows[row.name], strict=True))
        marks = {side: _mark(own, _find(own, entry)) for side, own in both.items()}
        said = {side: own[entry.id] for side, own in responses.items()}
        shown.append(_shown(found.first, clips, entry, row, marks, said))
    return shown


def _find(row: Row, entry: Entry) -> Entry:
    return next(own for own in row.entries if (own.id, own.group) == (entry.id, entry.group))


def _shown(
    stored: Stored,
    clips: Mapping[str, Sequence[Source]],
    entry: Entry,
    row: Row,
    marks: Mapping[str, str],
    responses: Mapping[str, str],
) -> Shown:
    item = next(item for item in stored.predictions if item.id == entry.id)
    sounds, silence = _sounds(clips.get(entry.id, ()))
    said = {side: _cut(response) for side, response in responses.items()}
    label = None if item.label is None else _cut(item.label)
    return Shown(entry.id, row.name, marks, _cut(item.instruction), label, said, sounds, silence)


def _sounds(sources: Sequence[Source]) -> tuple[list[str], str]:
    """The first clips of an item, and what is missing of them."""
    if not sources:
        return [], "The clip is not where the run found it, so it cannot be played here."
    sounds = []
    for source in sources[:_CLIPS]:
        try:
            sounds.append(sound(source, _SECONDS))
        except AudioError as error:
            return sounds, f"The clip cannot be played: {error}"
    return sounds, f"The first {_CLIPS} of {len(sources)} clips." if len(sources) > _CLIPS else ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text)} characters)"


def _mark(row: Row, entry: Entry) -> str:
    if row.kind == "rate":
        return "wrong" if badness(row, entry) else "right"
    return in_units(entry.value / entry.size, row.kind)


def _plots(rows: Sequence[Row], scores: Mapping[str, Mapping[str, Score]]) -> list[Any]:
    """Bars of the table's upper levels; one plot for each kind of score, as kinds share no axis."""
    upper = [row for row in rows if row.level < 2] or rows
    plots = []
    for kind in dict.fromkeys(row.kind for row in upper):
        bars = {row.name: scores[row.name] for row in upper if row.kind == kind}
        told = "; ".join(
            f"{name}: " + ", ".join(in_units(score["value"], kind) for score in each.values())
            for name, each in bars.items()
        )
        described = f"Bars with 95 % intervals. {told}. The table has all numbers."
        scale, unit, limit = _AXES[kind]
        plots.append(bar_plot(bars, _COLOURS, described, scale=scale, unit=unit, limit=limit))
    return plots


_AXES: dict[Kind, tuple[float, str, float | None]] = {
    "rate": (100.0, "%", 100.0),
    "error": (100.0, "% (less is better)", None),
    "mark": (1.0, f"mark, of {HIGHEST_MARK}", float(HIGHEST_MARK)),
    "gain": (100.0, "points", None),
}


def _name(stored: Stored) -> str:
    system = stored.facts.get("system") or {}
    return str(system.get("id") or stored.facts.get("model") or stored.path.name)


def _facts(stored: Stored) -> dict[str, str]:
    """What is known of a run, one line each; and who judged, and what wrote the page."""
    flat = {"predictions": str(stored.path)} | _flat(stored.facts)
    for judge in stored.judges:
        flat |= _flat({"judge": judge})
    return flat | _flat({"report written by": versions()})


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, str]:
    lines: dict[str, str] = {}
    for key, value in facts.items():
        name = f"{above}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            lines |= _flat(value, f"{name}: ")
        elif value is not None:
            lines[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return lines


def _interval(score: Score, kind: Kind) -> str:
    low, high = (in_units(end, kind).removesuffix(" %") for end in (score["low"], score["high"]))
    return f"[{low}, {high}]"


def _points(value: float, kind: Kind) -> str:
    return in_units(value, kind, signed=True)


_FILTERS: dict[str, Callable[..., str]] = {"units": in_units, "interval": _interval, "points": _points}
