"""Plots as SVG for a page: bars with their intervals, in the page's font and colours, for light and dark.

The trade-off: matplotlib takes a second to load and to draw, but draws every kind of axis well; nothing of
its global state is used.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from desta2.evaluate.stats import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Placeholders in plots, which become the colours of the page, in light and dark.
_INK, LINE = "#010203", "#040506"
_PAGE_COLOURS = {_INK: "currentColor", LINE: "var(--line)"}


def bar_plot(
    rows: Mapping[str, Mapping[str, Score]],
    colours: Mapping[str, str],
    description: str,
    *,
    scale: float = 100.0,
    unit: str = "%",
    limit: float | None = 100.0,
) -> Any:
    """Grouped bars with intervals, the first row on top: in each row one bar for each system.

    Args:
        rows: name → system → score; the same systems in every row.
        colours: of the systems, in whose order bars stand.
        description: for those who cannot see it.
        scale: what scores are multiplied by.
        unit: under the axis.
        limit: where the axis ends; None for what the scores need.
    """
    systems = list(next(iter(rows.values())))
    figure, axes = new_figure(0.45 + len(rows) * (0.115 * len(systems) + 0.13))
    thickness = 0.82 / len(systems)
    for place, system in enumerate(systems):
        scores = [row[system] for row in rows.values()]
        heights = [index + (place - (len(systems) - 1) / 2) * thickness for index in range(len(rows))]
        values = [scale * score["value"] for score in scores]
        axes.barh(heights, values, thickness * 0.9, color=colours[system], label=system)
        low = [scale * score["low"] for score in scores]
        high = [scale * score["high"] for score in scores]
        ends = [[height + side * thickness * 0.45 for height in heights] for side in (-1, 1)]
        axes.vlines(values, *ends, colors=colours[system], linewidth=2, clip_on=False)  # shows a bar of 0
        axes.hlines(heights, low, high, colors=_INK, linewidth=1)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.45, -0.55)  # first row on top
    lowest = min(scale * score["low"] for row in rows.values() for score in row.values())
    axes.set_xlim(min(0.0, lowest), limit)
    axes.set_xlabel(unit)
    axes.grid(axis="x", color=LINE, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    if len(systems) > 1:
        figure.legend(loc="outside upper center", ncols=len(systems), frameon=False)
    return svg(figure, description)


def new_figure(height: float) -> tuple[Figure, Any]:
    """An empty plot, `height` inches high, without pyplot and so without global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE)
    return figure, axes


def svg(figure: Figure, description: str) -> Any:
    """The figure as an SVG element that takes over the page's font and colours: safe markup."""
    import matplotlib
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    # Text stays text: smaller, searchable, and in the page's font.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        for text in figure.findobj(_is_text):
            text.set(color=_INK, parse_math=False, fontsize=9)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)  # names that nothing refers to, and that all plots share
    for placeholder, colour in _PAGE_COLOURS.items():
        drawn = drawn.replace(placeholder, colour)
    view = re.search(r'viewBox="[^"]*"', drawn)
    assert view is not None  # matplotlib always writes one
    label = f'role="img" aria-label="{escape(description)}"'
    opening = f'<svg {view[0]} xmlns:xlink="http://www.w3.org/1999/xlink" {label}>'
    return Markup(opening + drawn[drawn.index(">") + 1 :])


def _is_text(artist: Any) -> bool:
    from matplotlib.text import Text

    return isinstance(artist, Text)
