"""Time and memory of training steps, beside the published implementation and beside the LLM alone.

    python bench/training.py [--sizes small tiny] [--frames all speech] [--json]
    python bench/training.py --sweep training.png
    python bench/training.py --sizes llama3-8b --device cuda --dtype bfloat16 --batch 8 16 32

Random weights at Whisper-small and Whisper-tiny dimensions, an LLM of width 576 × 12 layers, 6 Q-Former
layers, clips of 5 s, batches of 4 rows of 249 tokens (57 prompt, 64 queries, 32 transcript, 96 target),
AdamW, gradients clipped. Cases: a first epoch, with the encoder in the step, and cached epochs, with taps
given; each with all frames of the encoder's window (as published) and with those of the clip's own length,
and each in a process of its own, so that its peak memory is its own. Published figures come from another
machine and are carried here by the time of one float32 encoder pass; memory is not carried.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from common import PUBLISHED_PASS, cell
from machine import described

# Seconds and peak GB of the published training step.
PUBLISHED = {"small": (18.92, 7.4), "tiny": (6.16, 4.1)}
# Times as fast, by size and whether taps are cached; first epochs with the encoder in bfloat16.
WANTED = {("small", False): 1.6, ("tiny", False): 2.0, ("small", True): 6.0, ("tiny", True): 2.5}
WANTED_BFLOAT16, WANTED_MEMORY, WANTED_UTILISATION = 2.5, 0.5, 0.5


def main() -> None:
    """Measure, and print a table or JSON."""
    options = _options()
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    how = (options.repeats, options.threads)
    if options.sweep is not None:
        import training_sweep

        points = training_sweep.measured(options.sizes[0], *how)
        training_sweep.plot(points, options.sweep)
        found: dict[str, Any] = {"points": points}
    else:
        found = {"cases": [_measured(name, setting, *how) for name, setting in _settings(options)]}
    result = {"machine": {**described(), "threads": options.threads}, "repeats": options.repeats, **found}
    shown = training_sweep.table if options.sweep is not None else table
    print(json.dumps(result) if options.json else shown(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = ["small", "tiny", "smoke", "llama3-8b"]
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=["small", "tiny"])
    parser.add_argument("--epochs", nargs="+", choices=["first", "cached"], default=["first", "cached"])
    parser.add_argument("--frames", nargs="+", choices=["all", "speech"], default=["all", "speech"])
    parser.add_argument("--batch", nargs="+", type=int, default=[4])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--encoder-dtype", choices=["float32", "bfloat16"], help="of the Whisper alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--checkpointing", action="store_true", help="recompute the LLM's layers")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    parser.add_argument("--sweep", type=Path, metavar="PNG", help="cached steps, one thing varied at a time")
    parser.add_argument("--repeats", type=int, default=5, help="steps that the medians are over")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> list[tuple[str, Any]]:
    """Sizes by name, with their settings."""
    from random_models import SIZES
    from training_setting import Setting

    common = {
        "dtype": options.dtype,
        "encoder_dtype": options.encoder_dtype,
        "device": options.device,
        "checkpointing": options.checkpointing,
        "compiled": options.compile,
    }
    return [
        (size, Setting(SIZES[size], cached=epoch == "cached", frames=frames, batch=batch, **common))
        for size in options.sizes
        for epoch in options.epochs
        for frames in options.frames
        for batch in options.batch
    ]


def _measured(size: str, setting: Any, repeats: int, threads: int) -> dict[str, Any]:
    from training_step import measure_apart

    case = {
        "size": size,
        "cached": setting.cached,
        "frames": setting.frames,
        "batch": setting.batch,
        "encoder_dtype": setting.encoder_dtype or setting.dtype,
    }
    print("measuring:", ", ".join(f"{name} {value}" for name, value in case.items()), file=sys.stderr)
    return judged({**case, **measure_apart(setting, repeats, threads)})


def judged(case: dict[str, Any]) -> dict[str, Any]:
    """A case with its ratios, and what is `met` of what is wanted."""
    seconds, size, cached = case["seconds"], case["size"], case["cached"]
    step = seconds["step"]
    case["of_floor"] = step / seconds["floor"]
    case["samples_per_s"] = case["batch"] / step
    case["utilisation"] = case["floor_flops"] / step / case["matmul_flops_per_s"]
    met = {}
    if size == "llama3-8b" and cached:
        met["utilisation"] = case["utilisation"] >= WANTED_UTILISATION
    if size in PUBLISHED and case["batch"] == 4 and "one float32 encoder pass" in seconds:
        published, gigabytes = PUBLISHED[size]
        case["published_here"] = published * seconds["one float32 encoder pass"] / PUBLISHED_PASS[size]
        case["times_as_fast"] = case["published_here"] / step
        case["of_published_memory"] = case["peak_gb"] / gigabytes
        half = case["encoder_dtype"] == "bfloat16" and not cached
        met["times_as_fast"] = case["times_as_fast"] >= (WANTED_BFLOAT16 if half else WANTED[size, cached])
        if cached:
            met["of_published_memory"] = case["of_published_memory"] <= WANTED_MEMORY
    return {**case, "met": met}


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    lines = [
        ", ".join(f"{name} {value}" for name, value in result["machine"].items())
        + f"; medians of {result['repeats']} steps",
        "",
        "| Whisper, epoch, frames, batch | step, s "
        "| encoder + Q-Former + LLM + backward: LLM + Q-Former + optimizer, s "
        "| published, carried here, s | times as fast | LLM alone, s | step / alone "
        "| peak, GB | of published | samples/s | of the matmul rate |",
        "| " + " | ".join(["---"] * 11) + " |",
    ]
    return "\n".join(lines + [_row(case) for case in result["cases"]])


def _row(case: dict[str, Any]) -> str:
    from training_step import PARTS

    seconds = case["seconds"]
    half = " (encoder bfloat16)" if case["encoder_dtype"] == "bfloat16" else ""
    cells = (
        f"{case['size']}{half}, {'cached' if case['cached'] else 'first'}, {case['frames']}, {case['batch']}",
        f"{seconds['step']:.2f}",
        " + ".join(f"{seconds.get(part, 0):.2f}" for part in PARTS),
        cell(case, "published_here", ".2f"),
        cell(case, "times_as_fast", ".2f"),
        f"{seconds['floor']:.2f}",
        f"{case['of_floor']:.2f}",
        f"{case['peak_gb']:.2f} ({case['imports_gb']:.2f} imports)",
        cell(case, "of_published_memory", ".0%"),
        f"{case['samples_per_s']:.2f}",
        cell(case, "utilisation", ".0%"),
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
