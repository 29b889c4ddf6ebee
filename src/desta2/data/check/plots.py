"""The picture of a dataset card: how often each value occurs, and how long clips and answers are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desta2.data.check.statistics import Statistics

_COLUMNS = 3
_MOST_BARS = 8
_LONGEST_LABEL = 20
_MOST_PANELS = 18
_BAR, _INK, _LINE = "#3b6ea5", "#222222", "#cccccc"


def plot_statistics(statistics: Statistics, path: Path) -> None:
    """Write the picture as PNG; attributes with many values show the most frequent ones."""
    from matplotlib.figure import Figure

    panels = [(name, counts) for name, counts in statistics.attributes.items() if name.lower() != "duration"]
    bars = panels[:_MOST_PANELS]
    rows = math.ceil((len(bars) + 2) / _COLUMNS)
    figure = Figure(figsize=(3.4 * _COLUMNS, 2.1 * rows), layout="constrained", dpi=110)
    axes = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for (name, counts), panel in zip(bars, axes, strict=False):
        _bars(panel, name, counts)
    _histogram(axes[len(bars)], "Length of clips", "seconds", statistics.clip_seconds)
    _histogram(axes[len(bars) + 1], "Length of answers", "words", statistics.answer_words, step=10)
    for panel in axes[len(bars) + 2 :]:
        panel.set_visible(False)
    figure.savefig(path, format="png", metadata={"Software": None})


def _bars(axes: Any, name: str, counts: Mapping[str, int]) -> None:
    most = Counter(counts).most_common(_MOST_BARS)
    rest = sum(counts.values()) - sum(count for _, count in most)
    if rest:
        most.append((f"{len(counts) - len(most)} others", rest))
    places = range(len(most))
    axes.barh(places, [count for _, count in most], 0.72, color=_BAR)
    _finish(axes, name)
    axes.set_yticks(places, [_label(value) for value, _ in most], parse_math=False)
    axes.set_ylim(max(len(most), 3) - 0.4, -0.6)  # the most frequent on top; few bars stay thin
    axes.grid(axis="x", color=_LINE, linewidth=0.6)


def _histogram(axes: Any, title: str, unit: str, counts: Mapping[int, int], step: int = 1) -> None:
    if counts:
        width = max(1, math.ceil((max(counts) / step + 1) / 40))  # at most 40 bars
        binned: Counter[int] = Counter()
        for value, count in counts.items():
            binned[value // step // width] += count
        axes.bar(
            [k * width * step for k in binned],
            list(binned.values()),
            width * step * 0.9,
            align="edge",
            color=_BAR,
        )
    _finish(axes, title)
    axes.set_xlabel(unit, fontsize=8, color=_INK)
    axes.grid(axis="y", color=_LINE, linewidth=0.6)


def _finish(axes: Any, title: str) -> None:
    axes.set_title(_label(title), fontsize=10, color=_INK, loc="left", parse_math=False)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(labelsize=8, color=_LINE, labelcolor=_INK)
    axes.locator_params(nbins=5, integer=True)


def _label(text: str) -> str:
    safe = "".join(c if c.isprintable() else " " for c in text)
    return safe if len(safe) <= _LONGEST_LABEL else safe[: _LONGEST_LABEL - 1] + "…"
