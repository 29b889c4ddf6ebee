"""Plots of the study as SVG files that stand alone, in the style of the reports.

The trade-off: a plot in a page takes the page's colours; a file cannot, so it gets a grey that reads on
light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from desta2.evaluate.plots import LINE, bar_plot, new_figure, svg
from desta2.nano.study.plan import BASE
from desta2.nano.study.work import write_text

HEADLINE = "attribute accuracy"
"""The row that plots show."""
_INK, _LINE = "#6e7781", "#8c959f"
# Okabe & Ito (2008), as in the reports.
_COLOURS = {"speech": "#0072B2", "cascade": "#E69F00", "topline": "#009E73", "chance": "#999999"}
_FONT = "system-ui, sans-serif"


def write_plots(results: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write the plots that these results allow, and return their paths: "base", and each experiment."""
    variants = results["variants"]
    drawn = {"base": _base(results)}
    experiments = dict.fromkeys(own["experiment"] for own in variants.values())
    for name in experiments:
        if name in ("targets", "transcript", "taps", "queries"):
            drawn[name] = _bars(variants, name)
        elif name == "data":
            drawn[name] = _curve(variants)
    paths = {name: folder / f"{name}.svg" for name in drawn}
    for name, picture in drawn.items():
        write_text(paths[name], alone(str(picture)))
    return paths


def alone(picture: str) -> str:
    """An SVG element of a page as a file."""
    style = f"color: {_INK}; font-family: {_FONT}"
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" style="{style}" '
    return opening + picture.removeprefix("<svg ").replace("var(--line)", _LINE) + "\n"


def _base(results: Mapping[str, Any]) -> Any:
    """Each attribute, from speech and for the references."""
    systems = {"speech": results["variants"][BASE]["scores"]}
    systems |= {name: results["references"][name] for name in ("cascade", "topline", "chance")}
    names = [name for name in systems["chance"] if all(name in own for own in systems.values())]
    rows = {name: {system: own[name] for system, own in systems.items()} for name in names}
    return bar_plot(
        rows, _COLOURS, "Accuracy by attribute, bars with 95 % intervals; the table has all numbers."
    )


def _bars(variants: Mapping[str, Any], experiment: str) -> Any:
    """The headline of the variants of an experiment, and of the base."""
    rows = {
        name: {"speech": own["scores"][HEADLINE]}
        for name, own in variants.items()
        if own["experiment"] in (BASE, experiment)
    }
    return bar_plot(rows, _COLOURS, f"{HEADLINE} of {', '.join(rows)}, with 95 % intervals.")


def _curve(variants: Mapping[str, Any]) -> Any:
    """The headline against the amount of data."""
    own = sorted(
        (own for own in variants.values() if own["experiment"] in (BASE, "data")),
        key=lambda one: one["clips"],
    )
    scores = [one["scores"][HEADLINE] for one in own]
    clips, values = [one["clips"] for one in own], [100 * score["value"] for score in scores]
    reach = [[100 * abs(score["value"] - score[end]) for score in scores] for end in ("low", "high")]
    figure, axes = new_figure(2.4)
    axes.errorbar(clips, values, reach, color=_COLOURS["speech"], marker="o", linewidth=1.4, capsize=3)
    axes.set_xscale("log")
    axes.set_xticks(clips, [f"{count:,}" for count in clips])
    axes.minorticks_off()
    axes.set_xlabel("training clips")
    axes.set_ylabel(f"{HEADLINE}, %")
    axes.grid(color=LINE, linewidth=0.6)
    return svg(figure, f"{HEADLINE} against the number of training clips, with 95 % intervals.")
