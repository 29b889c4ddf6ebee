"""One HTML file that shows what a model can do and how sure that is, to be opened anywhere, offline.

Everything is inside: plots as SVG, clips as base64 wav, no script. The trade-off: the file holds a third
more bytes than its clips do, so it is for a handful of examples; the predictions stay in files of their own.
Transcripts and answers are untrusted text: the template escapes them, and a content security policy forbids
scripts and requests even if that should fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.evaluate.compare import Difference
from desta2.evaluate.pages import check_writable, render, sound, write_page
from desta2.evaluate.plots import LINE, bar_plot, new_figure, svg
from desta2.evaluate.score import NanoResult
from desta2.evaluate.stats import Score

# Okabe & Ito (2008), "Color Universal Design": distinguishable with every kind of colour vision.
_COLOURS = {
    "speech": "#0072B2",
    "cascade": "#E69F00",
    "topline": "#009E73",
    "chance": "#999999",
    "text": "#009E73",  # the topline's answers
    "free": "#0072B2",  # readings of the speech model
    "forced": "#CC79A7",
    "described": "#56B4E9",
}


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
    # What the user may have wrong comes first; plotting takes seconds.
    sounds = [sound(example.audio_path) for example in examples]
    path = folder / "report.html"
    check_writable(path)
    html = render(
        "report.html.jinja",
        {"percent": _percent, "interval": _interval, "words": _words, "points": _points},
        result=result,
        colours=_COLOURS,
        attribute_plot=_bar_plot(result["attribute_accuracy"], result["by_attribute"], "Attribute accuracy"),
        format_plot=_bar_plot(result["format_rate"], result["by_format"], "Formats obeyed"),
        loss_plot=_loss_plot(loss_curve) if loss_curve else None,
        examples=list(zip(examples, sounds, strict=True)),
        facts=facts,
    )
    return write_page(path, html)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _points(gap: Difference) -> str:
    low, high = (f"{100 * gap[end]:+.1f}" for end in ("low", "high"))
    return f"{100 * gap['difference']:+.1f} points [{low}, {high}]"


def _interval(score: Score) -> str:
    return f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def _words(key: str) -> str:
    return key.replace("_", " ")


def _bar_plot(overall: Mapping[str, Score], parts: Mapping[str, Mapping[str, Score]], title: str) -> Any:
    """The mean first, then each part."""
    rows = {_words(name): row for name, row in {"mean": overall, **parts}.items()}
    means = ", ".join(f"{system} {_percent(score['value'])}" for system, score in overall.items())
    described = f"{title}, bars with 95 % intervals; means: {means}. The table below has all numbers."
    return bar_plot(rows, _COLOURS, described)


def _loss_plot(curve: Sequence[tuple[int, float]]) -> Any:
    figure, axes = new_figure(2.2)
    steps, losses = zip(*curve, strict=True)
    axes.plot(steps, losses, color=_COLOURS["speech"], linewidth=1.4, marker="o" if len(curve) == 1 else "")
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.grid(color=LINE, linewidth=0.6)
    return svg(figure, f"Training loss, from {losses[0]:.3f} to {losses[-1]:.3f} at step {steps[-1]}.")
