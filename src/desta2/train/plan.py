"""What a run will do and need, before it does: `desta2 train CONFIG --dry-run`.

Read are the config, the `config.json` of the frozen models, the pairs, and the LLM's tokenizer if it lies
here; no weights. What cannot be known is None and a note says why: a plan must not look more certain than it
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from desta2.train.arguments import step_size, total_steps, warmup_steps
from desta2.train.blueprint import Blueprint, count
from desta2.train.check import check_run
from desta2.train.config import RunConfig, TrainConfig
from desta2.train.lengths import Lengths, measure
from desta2.train.memory import Row, estimate, in_all, tap_bytes

ASSUMED = Row(positions=512, labels=256, windows=1)
"""For the estimate of memory where there are no pairs to look at."""


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
        pairs: to train on, without those that the run would leave out.
        validation_pairs: to judge by.
        clips: different ones among all of them.
        pairs_per_step: of all devices and accumulated batches.
        steps_per_epoch, epochs, steps: optimizer steps of a pass over the pairs, passes, and steps in all.
            Steps are of one size and go on across the end of a pass, so the first two may be fractions.
        warmup_steps: of them.
        tokens_per_pair, longest_pair: positions of a pair, on average and at most.
        tokens_per_step, tokens_per_epoch, tokens: positions in the LLM without padding, audio included.
        tokens_from: "tokenizer", "characters" (an estimate), or None.
        memory_bytes: on each device, at the peak; see `memory.in_all`.
        memory: by part; see `memory.estimate`.
        tap_cache_bytes: on disk, for all clips; 0 without cache.
        tap_cache_bytes_per_clip: the same for a clip, also without cache: the mean, or for one window where
            the lengths of clips are not known.
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
    validation_pairs: int | None
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
    memory = _memory(config, blueprint, lengths, devices, notes)
    parameters = {
        "adapter": count(blueprint.adapter),
        "lora": blueprint.lora_parameters,
        "llm": count(blueprint.llm) - blueprint.lora_parameters,
        "encoder": count(blueprint.whisper),
    }
    return Plan(
        llm=config.model.llm,
        encoder=config.model.encoder,
        trainable_parameters=parameters["adapter"] + parameters["lora"],
        frozen_parameters=parameters["llm"] + parameters["encoder"],
        parameters=parameters,
        tap_layers=list(blueprint.config.tap_layers),
        devices=devices,
        **_work(config.run, lengths, devices),
        memory_bytes=in_all(memory),
        memory=memory,
        **_cache(config, blueprint, lengths, notes),
        notes=notes,
    )


def _work(run: RunConfig, lengths: Lengths | None, devices: int) -> dict[str, Any]:
    """Pairs, steps and tokens."""
    per_step = step_size(run, devices)
    steps = _steps(run, lengths, devices)
    visits, mean = (None, None) if lengths is None else (lengths.visits, lengths.tokens_mean)
    return {
        "pairs": None if lengths is None else lengths.pairs,
        "validation_pairs": None if lengths is None else lengths.held_out,
        "clips": None if lengths is None else lengths.clips,
        "pairs_per_step": per_step,
        "steps_per_epoch": None if visits is None else round(visits / per_step, 2),
        "epochs": run.epochs if run.max_steps is None else _passes(run.max_steps * per_step, visits),
        "steps": steps,
        "warmup_steps": None if steps is None else warmup_steps(run, steps),
        "tokens_per_pair": None if mean is None else round(mean, 1),
        "longest_pair": None if lengths is None else lengths.tokens_longest,
        "tokens_per_step": _times(mean, per_step),
        "tokens_per_epoch": _times(mean, visits),
        "tokens": _times(mean, None if steps is None else steps * per_step),
        "tokens_from": _tokens_from(lengths),
    }


def _steps(run: RunConfig, lengths: Lengths | None, devices: int) -> int | None:
    """Optimizer steps of the run; None where the pairs would have to be counted for it."""
    if run.max_steps is None and lengths is None:
        return None
    return total_steps(run, 0 if lengths is None else lengths.visits, devices)


def _passes(pairs: int, visits: int | None) -> float | None:
    return None if visits is None else round(pairs / visits, 2)


def _times(one: float | None, many: float | None) -> int | None:
    return None if one is None or many is None else round(one * many)


def _tokens_from(lengths: Lengths | None) -> str | None:
    if lengths is None:
        return None
    return "tokenizer" if lengths.counted_in == "tokens" else "characters"


def _lengths(config: TrainConfig, blueprint: Blueprint, notes: list[str]) -> Lengths | None:
    """What the pairs tell; where they are not there, a note says so: a plan needs none."""
    data = config.data
    for key, paths in (("train", [own.path for own in data.sets]), ("validation", data.validation_paths)):
        if missing := [str(path) for path in paths if not path.exists()]:
            notes.append(f"data.{key}: {', '.join(missing)} is not there, so pairs and tokens are not known")
            return None
    found = measure(config, blueprint.tokenizer, blueprint.config, blueprint.window_frames)
    notes += _about_pairs(found, config, blueprint)
    return found


def _about_pairs(found: Lengths, config: TrainConfig, blueprint: Blueprint) -> Iterator[str]:
    """What to know of the pairs."""
    if found.missing:
        yield f"the audio of {found.missing} pairs is not here: a run would stop at it (data.missing=error)"
    if found.left_out:
        yield f"{found.left_out} pairs are left out: no audio, longer than data.max_tokens, or split in two"
    if found.counted_in == "characters":
        yield f"the tokenizer of {config.model.llm} is not at hand: tokens are estimated, 4 characters each"
    if found.sampled < found.pairs:
        yield f"lengths are those of {found.sampled} of the pairs"
    if found.without_transcript:
        yield (
            f"{found.without_transcript} clips of {found.sampled} pairs have no transcript: Whisper will "
            "write it, and its tokens are not counted"
        )
    context = blueprint.context
    if context is not None and found.tokens_longest > context:
        yield (
            f"the longest pair takes {found.tokens_longest} tokens, and this LLM reads at most {context}: a "
            f"run would stop at it; give data.max_tokens={context}"
        )


def _cache(
    config: TrainConfig, blueprint: Blueprint, lengths: Lengths | None, notes: list[str]
) -> dict[str, Any]:
    """Taps on disk."""
    frames = None if lengths is None else lengths.frames_mean
    per_clip = round(tap_bytes(blueprint, frames or blueprint.window_frames, itemsize=2))
    data = config.data
    total = 0 if not data.cache_taps else _times(per_clip, None if lengths is None else lengths.clips)
    if total and total > data.cache_gb * 1e9:
        notes.append(
            f"the taps of all clips take {total / 1e9:.3g} GB, and data.cache_gb is {data.cache_gb:g}: clips "
            "beyond that are encoded in every epoch"
        )
    return {"tap_cache_bytes": total, "tap_cache_bytes_per_clip": per_clip}


def _memory(
    config: TrainConfig, blueprint: Blueprint, lengths: Lengths | None, devices: int, notes: list[str]
) -> dict[str, int | None]:
    if lengths is None:
        row = ASSUMED
        notes.append(
            f"memory is for rows of {row.positions} positions, {row.labels} of them with labels: assumed"
        )
    else:
        row = Row(lengths.tokens_longest, lengths.labels_longest, lengths.windows_most, lengths.frames_most)
    if config.run.fsdp and devices == 1:
        notes.append("run.fsdp shares weights among several processes; say how many with --devices")
    memory = estimate(config, blueprint, row, devices)
    if memory["activations"] is None:
        notes.append(
            "this LLM cannot be run without weights by this transformers: its activations are not known"
        )
    if config.run.bf16 and not torch.accelerator.is_available():
        notes.append("run.bf16 was not checked against a GPU: there is none here")
    return memory
