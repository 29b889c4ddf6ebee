"""One HTML file that shows what a model can do and how sure that is, to be opened anywhere, offline.

Everything is inside: plots as SVG, clips as base64 wav, no script. The trade-off: the file holds a third
more bytes than its clips do, so it is for a handful of examples; the predictions stay in files of their own.
Transcripts and answers are untrusted text: the template escapes them, and a content security policy forbids
scripts and requests even if that should fail.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desta2.errors import InputError
from desta2.evaluate.score import NanoResult
from desta2.evaluate.stats import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design": distinguishable with every kind of colour vision.
_COLOURS = {
    "speech": "#0072B2",
    "cascade": "#E69F00",
    "topline": "#009E73",
    "chance": "#999999",
    "text": "#009E73",  # the topline's answers
}
# Placeholders in plots, which become the colours of the page, in light and dark.
_INK, _LINE = "#010203", "#040506"
_PAGE_COLOURS = {_INK: "currentColor", _LINE: "var(--line)"}


@dataclass(frozen=True)
class Example:
    """One clip and what was asked about it.

    Attributes:
        audio_path: any file that `load_audio` reads.
        seed: the true seed transcript.
        transcript: what the model's Whisper understood.
        turns: questions and the model's answers.
        notes: a line about it, such as the right answers.
    """

    audio_path: Path
    seed: str
    transcript: str
    turns: list[tuple[str, str]]
    notes: str = ""


def write_report(
    folder: Path,
    result: NanoResult,
    examples: Sequence[Example],
    facts: Mapping[str, str],
    loss_curve: Sequence[tuple[int, float]] | None,
) -> Path:
    """Write `report.html` into a folder, which is made if need be, and return its path.

    Args:
        folder: where the file appears once it is whole; an older one is replaced.
        result: what `score_nano` gives.
        examples: clips to listen to.
        facts: where the numbers come from: versions, seeds, commands, seconds.
        loss_curve: (step, training loss), where there was a training.

    Raises:
        AudioError: a clip cannot be read.
        InputError: the folder cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # What the user may have wrong comes first; plotting takes seconds.
    sounds = [_sound(example.audio_path) for example in examples]
    path, temporary = folder / "report.html", folder / ".report.html.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise InputError(f"cannot write the report into {folder}: {error.strerror}") from error
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, interval=_interval, words=_words)
    html = environment.get_template("report.html.jinja").render(
        result=result,
        colours=_COLOURS,
        attribute_plot=_bar_plot(result["attribute_accuracy"], result["by_attribute"], "Attribute accuracy"),
        format_plot=_bar_plot(result["format_rate"], result["by_format"], "Formats obeyed"),
        loss_plot=_loss_plot(loss_curve) if loss_curve else None,
        examples=list(zip(examples, sounds, strict=True)),
        facts=facts,
    )
    # "replace": a model's answer may hold what UTF-8 cannot; a report must not fail for that.
    temporary.write_text(html, encoding="utf-8", errors="replace")
    os.replace(temporary, path)
    return path


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _interval(score: Score) -> str:
    return f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def _words(key: str) -> str:
    return key.replace("_", " ")


def _sound(path: Path) -> str:
    """The clip as base64 of a 16-bit wav: small, and played by every browser."""
    import numpy as np
    import soundfile

    from desta2.data.audio import SAMPLE_RATE, load_audio

    buffer = io.BytesIO()
    samples = np.clip(load_audio(path), -1.0, 1.0)  # (samples,); resampling may overshoot
    soundfile.write(buffer, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return base64.b64encode(buffer.getvalue()).decode()


def _bar_plot(overall: Mapping[str, Score], parts: Mapping[str, Mapping[str, Score]], title: str) -> Any:
    """Grouped bars with intervals: the mean first, then each part, one bar for each system."""
    rows = {"mean": overall, **parts}
    systems = list(overall)
    figure, axes = _figure(0.45 + len(rows) * (0.115 * len(systems) + 0.13))
    thickness = 0.82 / len(systems)
    for place, system in enumerate(systems):
        scores = [row[system] for row in rows.values()]
        heights = [index + (place - (len(systems) - 1) / 2) * thickness for index in range(len(rows))]
        values = [100 * score["value"] for score in scores]
        axes.barh(heights, values, thickness * 0.9, color=_COLOURS[system], label=system)
        low, high = ([100 * score[end] for score in scores] for end in ("low", "high"))
        ends = [[height + side * thickness * 0.45 for height in heights] for side in (-1, 1)]
        axes.vlines(values, *ends, colors=_COLOURS[system], linewidth=2, clip_on=False)  # shows a bar of 0
        axes.hlines(heights, low, high, colors=_INK, linewidth=1)
    axes.set_yticks(range(len(rows)), [_words(name) for name in rows])
    axes.set_ylim(len(rows) - 0.45, -0.55)  # first row on top
    axes.set_xlim(0, 100)
    axes.set_xlabel("%")
    axes.grid(axis="x", color=_LINE, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=len(systems), frameon=False)
    means = ", ".join(f"{system} {_percent(score['value'])}" for system, score in overall.items())
    return _svg(
        figure, f"{title}, bars with 95 % intervals; means: {means}. The table below has all numbers."
    )


def _loss_plot(curve: Sequence[tuple[int, float]]) -> Any:
    figure, axes = _figure(2.2)
    steps, losses = zip(*curve, strict=True)
    axes.plot(steps, losses, color=_COLOURS["speech"], linewidth=1.4, marker="o" if len(curve) == 1 else "")
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.grid(color=_LINE, linewidth=0.6)
    return _svg(figure, f"Training loss, from {losses[0]:.3f} to {losses[-1]:.3f} at step {steps[-1]}.")


def _figure(height: float) -> tuple[Figure, Any]:
    """An empty plot, `height` inches high, without pyplot and so without global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(color=_LINE)
    return figure, axes


def _svg(figure: Figure, description: str) -> Any:
    """The figure as an SVG element that takes over the page's font and colours: safe markup."""
    import matplotlib
    from markupsafe import Markup, escape

    buffer = io.StringIO()
    # Text stays text: smaller, searchable, and in the page's font.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": description}):
        for text in figure.findobj(_is_text):
            text.set(color=_INK, parse_math=False, fontsize=9)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # names that nothing refers to, and that all plots share
    for placeholder, colour in _PAGE_COLOURS.items():
        svg = svg.replace(placeholder, colour)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None  # matplotlib always writes one
    label = f'role="img" aria-label="{escape(description)}"'
    opening = f'<svg {view[0]} xmlns:xlink="http://www.w3.org/1999/xlink" {label}>'
    return Markup(opening + svg[svg.index(">") + 1 :])


def _is_text(artist: Any) -> bool:
    from matplotlib.text import Text

    return isinstance(artist, Text)
