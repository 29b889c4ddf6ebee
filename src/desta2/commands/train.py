"""The verb train: the adapter, from one config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from desta2.commands import AsJson, Verbose, emit, quiet_transformers

if TYPE_CHECKING:
    from desta2.train.plan import Plan


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The run; see recipes/.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as run.epochs=3.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be done and needed; no weights are read."),
    ] = False,
    devices: Annotated[
        int | None, typer.Option(min=1, help="For --dry-run: devices of the run; default: as launched, or 1.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Train the adapter. Continues from the newest checkpoint in run.output.

    Example: desta2 train recipes/nano.yaml run.epochs=2
    """
    from desta2.config import load_config
    from desta2.errors import InputError
    from desta2.train.config import TrainConfig

    checked = load_config(config, TrainConfig, overrides or [])
    if devices is not None and not dry_run:
        raise InputError("--devices is for --dry-run; a run has the devices that it was launched with")
    quiet_transformers()
    if dry_run:
        from desta2.train.plan import plan

        planned = plan(checked, devices or _launched_devices())
        emit(planned.to_dict(), as_json, _in_words(planned))
        return
    from desta2.train.trainer import train  # only now: it takes seconds to import

    folder = train(checked)
    emit({"model": str(folder)}, as_json, f"{folder}: trained adapter")


def _launched_devices() -> int:
    """Processes of this run, as torchrun, accelerate and Slurm's launchers tell them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _in_words(plan: Plan) -> str:
    """The plan for people."""
    parts = plan.parameters
    lines = [
        f"LLM                  {plan.llm}, {parts['llm']:,} parameters, frozen",
        f"Whisper              {plan.encoder}, {parts['encoder']:,} parameters, frozen",
        f"trainable parameters {plan.trainable_parameters:,} (adapter {parts['adapter']:,}, "
        f"LoRA {parts['lora']:,})",
        f"taps                 layers {', '.join(map(str, plan.tap_layers))}",
        f"pairs                {_n(plan.pairs)} to train on, {_n(plan.validation_pairs)} to judge by, about "
        f"{_n(plan.clips)} clips",
        f"steps                {_n(plan.steps)} in {_n(plan.epochs)} epochs of {_n(plan.steps_per_epoch)}, "
        f"{_n(plan.warmup_steps)} of them warm-up",
        f"a step               {plan.pairs_per_step:,} pairs on {plan.devices} "
        f"device{'s' if plan.devices > 1 else ''}, {_n(plan.tokens_per_step)} tokens",
        f"tokens               {_n(plan.tokens)}, {_n(plan.tokens_per_epoch)} an epoch, "
        f"{_n(plan.tokens_per_pair)} a pair (at most {_n(plan.longest_pair)})",
        f"memory on a device   {_size(plan.memory_bytes)}: "
        + ", ".join(f"{name.replace('_', ' ')} {_size(part)}" for name, part in plan.memory.items()),
        f"tap cache on disk    {_size(plan.tap_cache_bytes)} ({_size(plan.tap_cache_bytes_per_clip)} a clip)",
    ]
    return "\n".join(lines + [f"note: {note}" for note in plan.notes])


def _n(number: float | None) -> str:
    if number is None:
        return "unknown"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.10g}"


def _size(size: float | None) -> str:
    """Bytes in decimal units, as disks and most tools have them."""
    if size is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
