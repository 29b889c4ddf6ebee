"""Time of a cached training step, one thing varied at a time, with the LLM alone as the floor."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

# Heads of width 64, three to a key/value head, as in the LLM of the other measurements, 576 × 12.
LLMS = {"192 × 6": (192, 6), "576 × 12": (576, 12), "768 × 16": (768, 16), "960 × 20": (960, 20)}
# Panels: the label of the axis, and what is varied.
PANELS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "LLM, width × layers": ("llm", tuple(LLMS)),
    "encoder taps": ("taps", (1, 2, 4)),
    "queries per clip": ("queries", (16, 32, 64, 128)),
    "Q-Former layers": ("layers", (1, 2, 4, 6)),
    "length of clips, s": ("seconds", (2.5, 5.0, 10.0, 20.0, 30.0)),
}


def measured(size: str, repeats: int, threads: int) -> list[dict[str, Any]]:
    """Seconds of a step and of the floor at every point, with either kind of frames."""
    from training_step import measure_apart

    points: list[dict[str, Any]] = []
    known: dict[Any, dict[str, float]] = {}  # all panels have one setting in common
    for point, setting in _settings(size):
        if setting not in known:
            print("measuring:", *point.values(), file=sys.stderr)
            known[setting] = measure_apart(setting, repeats, threads)["seconds"]
        points.append({**point, "step": known[setting]["step"], "floor": known[setting]["floor"]})
    return points


def _settings(size: str) -> Iterator[tuple[dict[str, Any], Any]]:
    from random_models import SIZES
    from training_setting import Setting

    for label, (varied, values) in PANELS.items():
        for value in values:
            for frames in ("all", "speech"):
                setting = Setting(SIZES[size], cached=True, frames=frames)
                if varied == "llm":
                    setting = replace(setting, size=_with_llm(setting.size, *LLMS[value]))
                else:
                    setting = replace(setting, **{varied: value})
                yield {"panel": label, "value": value, "frames": frames}, setting


def _with_llm(size: Any, width: int, layers: int) -> Any:
    heads = width // 64
    return replace(
        size,
        llm_width=width,
        llm_layers=layers,
        llm_ffn=8 * width // 3,
        llm_heads=heads,
        llm_kv_heads=heads // 3,
    )


def plot(points: list[dict[str, Any]], path: Path) -> None:
    """One panel for each thing that was varied."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 3, figsize=(9, 5.6), sharey=True)
    *axes, last = grid.flat
    for axis, label in zip(axes, PANELS, strict=True):
        own = [point for point in points if point["panel"] == label]
        for frames, style in (("all", "o-"), ("speech", "s-")):
            found = [point for point in own if point["frames"] == frames]
            values = [point["value"] for point in found]
            axis.plot(values, [point["step"] for point in found], style, label=f"step, frames: {frames}")
        axis.plot(values, [point["floor"] for point in found], "k--", label="LLM alone (floor)")
        axis.set(xlabel=label, ylim=(0, None))
    for axis in grid[:, 0]:
        axis.set_ylabel("seconds")
    last.axis("off")
    last.legend(*axes[0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def table(result: dict[str, Any]) -> str:
    """The points in Markdown."""
    lines = ["| varied | value | frames | step, s | LLM alone, s |", "| --- | --- | --- | --- | --- |"]
    for point in result["points"]:
        cells = (
            point["panel"],
            point["value"],
            point["frames"],
            f"{point['step']:.2f}",
            f"{point['floor']:.2f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
