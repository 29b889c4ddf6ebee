"""Training the adapter, and LoRA on the LLM where it is asked for: from a configuration to a model folder.

Everything here runs in each process of a run. What is written, the first process writes; what is read after
that, such as caches, the others find done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from transformers import set_seed

from desta2.errors import CheckpointError
from desta2.model import lora
from desta2.model.checkpoint import load_adapter
from desta2.model.configuration import Desta2Config
from desta2.model.modelcard import CardFacts
from desta2.model.modeling import Desta2Model
from desta2.nano import base_id
from desta2.train.benchmark import Benchmark, nano_benchmark
from desta2.train.check import check_run
from desta2.train.checkpoints import read_weights, step_of
from desta2.train.config import ModelConfig, RunConfig, TrainConfig
from desta2.train.data import UNPACKED, open_data
from desta2.train.fit import fit
from desta2.train.pairset import Found, find_pairs
from desta2.train.processes import join, place
from desta2.train.selfgen import warn_if_not_self_generated

log = logging.getLogger(__name__)


def build_model(config: ModelConfig) -> Desta2Model:
    """The frozen models with a fresh adapter, or with the one that training is to start from."""
    keys = config.model_dump(exclude={"llm", "encoder", "adapter"}, exclude_none=True)
    keys["system_prompt"] = config.system_prompt
    model = Desta2Model.from_bases(base_id("llm", config.llm), base_id("whisper", config.encoder), **keys)
    if config.adapter is not None:
        _start_from(model, config.adapter)
    return model


def _start_from(model: Desta2Model, folder: Path) -> None:
    """The adapter of a model folder, and its LoRA weights where it has any.

    Raises:
        CheckpointError: they do not fit, or the adapter goes with LoRA weights that the model is not to have.
    """
    if (folder / "config.json").is_file():
        _compare(Desta2Config.from_pretrained(folder), model.config, folder)
    has_lora = (folder / lora.WEIGHTS_FILE).is_file()
    if has_lora and model.config.lora is None:
        raise CheckpointError(
            f"{folder} was trained with LoRA weights on the LLM; give model.lora to go on with them"
        )
    if has_lora:
        model.load_weights(folder)
    else:
        load_adapter(model.adapter, folder)


def _compare(was: Desta2Config, now: Desta2Config, folder: Path) -> None:
    """Warn of a prompt that the adapter does not know; other taps are refused before (`check_run`)."""
    keys = ("layout", "system_prompt", "bos_policy", "chat_template_kwargs")
    pairs = ((key, getattr(was, key), getattr(now, key)) for key in keys)
    if others := [
        f"{key} was {old!r} and is {new!r}" for key, old, new in pairs if (old or None) != (new or None)
    ]:
        log.warning("the prompt around a clip is not what %s knows: %s", folder, "; ".join(others))


def train(config: TrainConfig) -> Path:
    """Train an adapter; continues from the newest checkpoint in `run.output`.

    Args:
        config: the whole run.

    Returns:
        the folder of the trained model, `run.output/model`.

    Raises:
        InputError: pairs or audio cannot be used.
        ConfigError: the configuration is impossible.
        RunError: training changed what must stay frozen, or SIGTERM ended it.
    """
    run, output = config.run, config.run.output
    check_run(config)
    processes = join(sharded=run.fsdp)
    with processes.main_process_first():
        found = find_pairs(config.data, output / UNPACKED)
    set_seed(run.seed)
    model = build_model(config.model)
    place(model, processes.device, whole=not run.fsdp)
    warn_if_not_self_generated(found.examples(), model.config)
    output.mkdir(parents=True, exist_ok=True)
    data = open_data(config, found, model, processes)
    if model.config.standardise_taps and config.model.adapter is None:
        data.calibrate(model)
    if run.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if run.compile:
        model.compile_blocks()
    with processes.main_process_first():
        benchmark = _benchmark(run)
    trained = fit(model, data, run, benchmark)
    if data.skips is not None and (skipped := data.skips.count()):
        log.warning("%d pairs or clips were skipped, as their audio is broken: %s", skipped, data.skips.path)
    if processes.is_main_process:
        card = _card(config, found, len(data.train), processes.num_processes, step_of(trained))
        model.save_pretrained(output / "model", state_dict=read_weights(trained), card=card)
    processes.wait_for_everyone()
    return output / "model"


def _benchmark(run: RunConfig) -> Benchmark | None:
    return nano_benchmark(run.output / "evaluation", run.evaluate_clips) if run.evaluate else None


def _card(config: TrainConfig, found: Found, n_pairs: int, processes: int, steps: int) -> CardFacts:
    """What the model card says of a run."""
    run, files = config.run, ", ".join(f"`{own.path.name}`" for own in config.data.sets)
    sources = [f"`{llm}`" for llm in _different(pair.provenance.llm for pair, _ in found.kinds)]
    prompts = [f"“{prompt}”" for prompt in _different(pair.provenance.prompt for pair, _ in found.kinds)]
    step = f"{run.batch_size} × {run.gradient_accumulation}" + (f" × {processes}" if processes > 1 else "")
    start = (
        "a fresh adapter" if config.model.adapter is None else f"the adapter `{config.model.adapter.name}`"
    )
    return CardFacts(
        training=[
            f"{n_pairs:,} pairs about {found.n_clips:,} clips, from {files}.",
            f"Responses by {_few(sources)} to {_few(prompts)}.",
            f"{steps:,} steps from {start}, {step} pairs a step, learning rate {run.learning_rate:g}, "
            f"seed {run.seed}.",
        ]
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")


def _different(names: Iterable[str]) -> list[str]:
    return sorted(set(names))
