"""What a run will do and need, before it does: `desta2 train CONFIG --dry-run`.

Read are the config, the `config.json` of the frozen models, the pairs, and the LLM's tokenizer if it lies
here; no weights. What cannot be known is None and a note says why: a plan must not look more certain than it
is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from desta2.train.arguments import step_size, total_steps, warmup_steps
from desta2.train.blueprint import Blueprint, count
from desta2.train.check import check_run
from desta2.train.config import RunConfig, TrainConfig
from desta2.train.lengths import Lengths, measure
from desta2.train.memory import estimate, tap_bytes

# Positions and labels of a row for the estimate of memory where there are no pairs to look at.
ASSUMED_ROW = 512
ASSUMED_LABELS = 256


@dataclass(frozen=True)
class Plan:
    """A run before it runs; `to_dict` gives what `--json` prints. None: cannot be known.

    Attributes:
        llm, encoder: the frozen models, as the config names them.
        trainable_parameters: of adapter and LoRA, which `parameters` tells apart.
        frozen_parameters: of LLM and Whisper (its decoder too: it writes transcripts).
        parameters: by part: `adapter`, `lora`, `llm`, `encoder` (the whole Whisper).
        tap_layers: that the adapter reads.
        devices: that the batch is multiplied by.
        pairs: to train on.
        clips: different ones among them; with many pairs an upper limit.
        pairs_per_step: of all devices and accumulated batches.
        steps_per_epoch, epochs, steps: optimizer steps of a pass over the pairs, passes, and steps in all.
            Steps are of one size and go on across the end of a pass, so the first two may be fractions.
        warmup_steps: of them.
        tokens_per_pair, longest_pair: positions of a pair, on average and at most.
        tokens_per_step, tokens_per_epoch, tokens: positions in the LLM without padding, audio included.
        tokens_from: "tokenizer", "characters" (an estimate), or None.
        memory_bytes: on each device, the sum of `memory`.
        memory: by part; see `memory.estimate`.
        tap_cache_bytes: on disk, at most; 0 without cache.
        tap_cache_bytes_per_clip: the same for a clip, also without cache.
        notes: what to know about these figures.
    """

    llm: str
    encoder: str
    trainable_parameters: int
    frozen_parameters: int
    parameters: dict[str, int]
    tap_layers: list[int]
    devices: int
    pairs: int | None
    clips: int | None
    pairs_per_step: int
    steps_per_epoch: float | None
    epochs: float | None
    steps: int | None
    warmup_steps: int | None
    tokens_per_pair: float | None
    longest_pair: int | None
    tokens_per_step: int | None
    tokens_per_epoch: int | None
    tokens: int | None
    tokens_from: str | None
    memory_bytes: int | None
    memory: dict[str, int | None]
    tap_cache_bytes: int | None
    tap_cache_bytes_per_clip: int
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values, with the attributes' names."""
        return asdict(self)


def plan(config: TrainConfig, devices: int = 1) -> Plan:
    """Plan a run.

    Args:
        config: the whole run.
        devices: processes that it will have, each with a device of its own.

    Raises:
        ConfigError, CheckpointError: it is impossible; see `check_run`.
        InputError: a line of the pairs cannot be used.
    """
    blueprint = check_run(config)
    notes: list[str] = []
    lengths = _lengths(config, blueprint, notes)
    per_step = step_size(config.run, devices)
    epoch = None if lengths is None else lengths.pairs / per_step
    steps = _steps(config.run, lengths, devices)
    parameters = {
        "adapter": count(blueprint.adapter),
        "lora": blueprint.lora_parameters,
        "llm": count(blueprint.llm) - blueprint.lora_parameters,
        "encoder": count(blueprint.whisper),
    }
    memory = _memory(config, blueprint, lengths, devices, notes)
    mean = None if lengths is None else lengths.tokens_mean
    per_clip = tap_bytes(blueprint, itemsize=2)
    clips = None if lengths is None else lengths.clips
    return Plan(
        llm=config.model.llm,
        encoder=config.model.encoder,
        trainable_parameters=parameters["adapter"] + parameters["lora"],
        frozen_parameters=parameters["llm"] + parameters["encoder"],
        parameters=parameters,
        tap_layers=list(blueprint.config.tap_layers),
        devices=devices,
        pairs=None if lengths is None else lengths.pairs,
        clips=clips,
        pairs_per_step=per_step,
        steps_per_epoch=None if epoch is None else round(epoch, 2),
        epochs=_epochs(config.run, epoch),
        steps=steps,
        warmup_steps=None if steps is None else warmup_steps(config.run, steps),
        tokens_per_pair=mean if mean is None else round(mean, 1),
        longest_pair=None if lengths is None else lengths.tokens_longest,
        tokens_per_step=_times(mean, per_step),
        tokens_per_epoch=_times(mean, None if lengths is None else lengths.pairs),
        tokens=_times(mean, None if steps is None else steps * per_step),
        tokens_from=_tokens_from(lengths),
        memory_bytes=_sum(memory),
        memory=memory,
        tap_cache_bytes=_times(per_clip, clips) if config.data.cache_taps else 0,
        tap_cache_bytes_per_clip=per_clip,
        notes=notes,
    )


def _steps(run: RunConfig, lengths: Lengths | None, devices: int) -> int | None:
    """Optimizer steps of the run; None where the pairs would have to be counted for it."""
    if run.max_steps is None and lengths is None:
        return None
    return total_steps(run, 0 if lengths is None else lengths.pairs, devices)


def _epochs(run: RunConfig, steps_per_epoch: float | None) -> float | None:
    if run.max_steps is None:
        return run.epochs
    return None if not steps_per_epoch else round(run.max_steps / steps_per_epoch, 2)


def _times(one: float | None, many: float | None) -> int | None:
    return None if one is None or many is None else round(one * many)


def _sum(memory: Mapping[str, int | None]) -> int | None:
    known = [part for part in memory.values() if part is not None]
    return sum(known) if len(known) == len(memory) else None


def _tokens_from(lengths: Lengths | None) -> str | None:
    if lengths is None:
        return None
    return "tokenizer" if lengths.counted_in == "tokens" else "characters"


def _lengths(config: TrainConfig, blueprint: Blueprint, notes: list[str]) -> Lengths | None:
    """What the pairs tell; where they are not there, a note says so: a plan needs none."""
    if missing := [str(source) for source in config.data.train if not source.exists()]:
        notes.append(f"data.train: {', '.join(missing)} is not there, so pairs and tokens are not known")
        return None
    found = measure(config.data.train, blueprint.tokenizer, blueprint.config)
    if found is None:
        notes.append("data.train names no pairs")
        return None
    if found.counted_in == "characters":
        notes.append(
            f"the tokenizer of {config.model.llm} is not at hand: tokens are estimated, 4 characters each"
        )
    if found.sampled < found.pairs:
        notes.append(f"lengths are those of {found.sampled} of the pairs, clips an upper limit")
    if found.without_transcript:
        notes.append(
            f"{found.without_transcript} clips have no transcript: Whisper will write it, and its tokens are "
            "not counted"
        )
    return found


def _memory(
    config: TrainConfig, blueprint: Blueprint, lengths: Lengths | None, devices: int, notes: list[str]
) -> dict[str, int | None]:
    row, labels = ASSUMED_ROW, ASSUMED_LABELS
    if lengths is None:
        notes.append(f"memory is for rows of {row} positions, {labels} of them with labels: an assumption")
    else:
        row, labels = lengths.tokens_longest, lengths.labels_longest
    memory = estimate(config, blueprint, row, labels, devices)
    if memory["activations"] is None:
        notes.append(
            "this LLM cannot be run without weights by this transformers: its activations are not known"
        )
    if config.run.bf16 and not torch.accelerator.is_available():
        notes.append("run.bf16 was not checked against a GPU: there is none here")
    return memory
