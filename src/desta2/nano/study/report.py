"""The study's results in Markdown, with plots beside it: for `docs/nano-study.md`, and for whoever ran it.

All figures come from `results.json`: nothing is computed here. The trade-off: every line of a benchmark's
table that is not a part of another becomes a line, whatever it is called, so tables may say more than is
looked for; in return no score can be left out because it is unwelcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.evaluate.rows import in_units
from desta2.nano.study.plan import BASE
from desta2.nano.study.plots import write_plots
from desta2.nano.study.work import write_text

_REFERENCES = ("cascade", "topline", "chance")
_TOLD_REFERENCES = {
    "cascade": "transcript alone, no adapter",
    "topline": "true seed as text",
    "chance": "most frequent value",
}
_INTERVALS = """Brackets are 95 % intervals. A figure is the mean over the seeds; speakers and seeds are
resampled (speakers with the expanded percentiles of `evaluate/stats.py`, seeds with deviations enlarged by
√(S/(S−1)) for S seeds, see `nano/study/scores.py`). Differences are taken item by item and seed by seed.
Three seeds say little about a fourth: `results.json` has every seed's own score. Adapter training saw no
question and no format."""

_ASKS = {
    "base": "Adapters learn their own LLM's answers to the one prompt; here they answer questions.",
    "targets": """Everything but the targets is equal. Captions hold the same facts as a list in bullet
points, which the LLM writes when it is asked to, but would not write here (`nano/study/captions.py`). The
floor is the loss of the frozen LLM on the targets with the seed as text: how foreign they are to it.""",
    "forgetting": """Texts without audio are answered by the trained model and by its LLM, loaded anew; the
hash is that of the LLM's token ids. Then the base's answers to speech are compared with those to seeds as
text.""",
    "transcript": """Transcripts are withheld in all of training, and in the evaluation Whisper writes none
(`silent_whisper` in `nano/study/data.py`): words, too, have to come through the adapter.""",
    "taps": "−1 is the input of the encoder's first layer; the base reads −1, 0 and 2.",
    "queries": "LLM positions for each window of a clip; the base has 16.",
    "data": """At one seed less data is a part of more. Steps are those of the base, but enough to see each
pair once: the last two points have more steps as well as more data.""",
    "dominance": """Questions with the clip's own transcript, without the vectors, with another clip's words,
and with another clip's seed (`docs/evaluate.md`).""",
}


def write_report(results: Mapping[str, Any], path: Path) -> Path:
    """Write the report and the plots beside it.

    Args:
        results: of the study.
        path: of the report; plots go to the folder `plots` beside it.

    Returns:
        `path`.
    """
    plots = write_plots(results, path.parent / "plots")
    write_text(path, markdown(results, plots))
    return path


def markdown(results: Mapping[str, Any], plots: Mapping[str, Path]) -> str:
    """The report; `plots` are shown where they belong."""
    variants = results["variants"]

    def of(*experiments: str) -> list[str]:
        return [name for name, own in variants.items() if own["experiment"] in ("base", *experiments)]

    parts = [
        "# Nano study",
        f"```\n{results['command']}\n```",
        _INTERVALS,
        *[f"Left out: {name}, {why}." for name, why in results["left_out"].items()],
        "## 1. Zero-shot instructions from speech",
        _ASKS["base"],
        _plot(plots, "base"),
        _base_table(results),
    ]
    if "targets" in _experiments(variants):
        parts += [
            "## 2. Whose answers are the targets",
            _ASKS["targets"],
            *_compared(results, of("targets"), plots, "targets"),
        ]
        parts += [_floors(results)]
    parts += ["## 3. Forgetting", _ASKS["forgetting"], _forgetting(results)]
    for number, name, title in (
        (4, "transcript", "Without the transcript channel"),
        (5, "taps", "Taps"),
        (6, "queries", "Queries"),
        (7, "data", "Amount of data"),
    ):
        if name in _experiments(variants):
            parts += [f"## {number}. {title}", _ASKS[name], *_compared(results, of(name), plots, name)]
    parts += ["## 8. Text dominance", _ASKS["dominance"], *_dominance(results)]
    if "dominance" in _experiments(variants):
        parts += ["The nano benchmark:", *_compared(results, of("dominance"), plots, "dominance")]
    parts += ["## What was run", _plan(results)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _experiments(variants: Mapping[str, Any]) -> set[str]:
    return {own["experiment"] for own in variants.values()}


def _plot(plots: Mapping[str, Path], name: str) -> str:
    return f"![{name}](plots/{plots[name].name})" if name in plots else ""


def _base_table(results: Mapping[str, Any]) -> str:
    columns = {"from speech": results["variants"][BASE]["scores"]}
    columns |= {_TOLD_REFERENCES[name]: results["references"][name] for name in _REFERENCES}
    lines = [name for name, score in columns["from speech"].items() if score["level"] < 2]
    heard = results["references"]["transcripts"]
    told = [f"{name}: {cell(score)}, n = {score['n']}." for name, score in heard.items()]
    return "\n\n".join([_table("", lines, columns, counted=True), *told])


def _compared(
    results: Mapping[str, Any], names: Sequence[str], plots: Mapping[str, Path], plot: str
) -> list[str]:
    """Scores of some variants side by side, and their differences from the base."""
    variants = results["variants"]
    told = "\n".join(
        f"- `{name}`: {variants[name]['told']}; {variants[name]['clips']:,} clips, "
        f"{variants[name]['steps']:,} steps"
        for name in names
    )
    scores = {name: variants[name]["scores"] for name in names}
    lines = [name for name, score in scores[BASE].items() if score["level"] == 0]
    others = {name: variants[name]["differences"] for name in names if name != BASE}
    return [
        told,
        _plot(plots, plot),
        _table("", lines, scores, counted=True),
        "Differences from the base, in points:" if others else "",
        _table("", lines, others) if others else "",
    ]


def _floors(results: Mapping[str, Any]) -> str:
    """What each set of targets costs the LLM with the truth as text, and what runs ended at."""
    losses = {
        own["targets"]: own["loss"] for own in results["variants"].values() if own["experiment"] in _FLOORED
    }
    lines = [
        "| targets | floor: seed as text | asked for their format | loss at the end of training, by seed |"
    ]
    lines += ["| --- | --- | --- | --- |"]
    for targets, floor in results["floors"].items():
        ended = ", ".join(f"{loss:.3f}" for loss in losses.get(targets, {}).values())
        asked = _nats(floor["asked"]) if "asked" in floor else ""
        lines.append(f"| {targets} | {_nats(floor['prompt'])} | {asked} | {ended} |")
    return "Losses in nats a token.\n\n" + "\n".join(lines)


_FLOORED = ("base", "targets")


def _nats(score: Mapping[str, Any]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f} … {score['high']:.3f}]"


def _forgetting(results: Mapping[str, Any]) -> str:
    lines = ["| run | answers to texts that are the LLM's own, token for token | hash of the LLM's answers |"]
    lines += ["| --- | --- | --- |"]
    for name, found in results["forgetting"].items():
        lines.append(f"| {name} | {found['equal']} of {found['n']} | `{found['answers_hash'][:12]}` |")
    against = results["against_text"]
    names = [name for name, score in against.items() if score["level"] == 0]
    told = "Answers to speech minus answers to seeds as text, in points:"
    return "\n\n".join(["\n".join(lines), told, _table("", names, {"difference": against}, counted=True)])


def _dominance(results: Mapping[str, Any]) -> list[str]:
    found, others = results["dominance"], results["dominance_differences"]
    lines = [name for name, score in found[BASE].items() if score["level"] == 0]
    parts = [_table("", lines, found, counted=True)]
    if others:
        parts += ["Differences from the base, in points:", _table("", lines, others)]
    return parts


def _plan(results: Mapping[str, Any]) -> str:
    lines = ["| run | clips | steps | expected minutes | minutes |", "| --- | --- | --- | --- | --- |"]
    for row in results["plan"]:
        steps, took = row.get("steps", ""), row.get("took", "")
        lines.append(f"| {row['name']} | {row['clips']:,} | {steps} | {row['minutes']} | {took} |")
    return "\n".join(lines)


def _table(
    title: str, lines: Sequence[str], columns: Mapping[str, Mapping[str, Any]], *, counted: bool = False
) -> str:
    """One line for each row of a benchmark; parts of others are indented."""
    heads = [title, *columns, *(["n"] if counted else [])]
    written = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for name in lines:
        scores = [own.get(name) for own in columns.values()]
        there = next((score for score in scores if score is not None), None)
        if there is None:
            continue
        cells = [("… " if there["level"] else "") + name, *map(cell, scores)]
        written.append(f"| {' | '.join([*cells, *([str(there['n'])] if counted else [])])} |")
    return "\n".join(written)


def cell(score: Mapping[str, Any] | None) -> str:
    """A score with its interval for a table; empty where there is none."""
    if score is None:
        return ""
    value, low, high = (
        in_units(score[end], score["kind"]).removesuffix(" %") for end in ("value", "low", "high")
    )
    return f"{value} [{low} … {high}]"
