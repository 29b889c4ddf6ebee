"""What is impossible in a run, told from configuration files alone.

A misspelt key is found by the config itself. Here is what takes two keys, this machine or the frozen models
to tell: nothing to stop early by, a tap beyond the encoder's depth, LoRA without peft, a chat template that
refuses clips, an adapter of other sizes. All of it would come out later anyhow, but after weights of many GB
have been read.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.quantizers.auto import AutoHfQuantizer, AutoQuantizationConfig
from transformers.utils.import_utils import is_torch_bf16_gpu_available

from desta2.errors import CheckpointError, ConfigError, InputError
from desta2.model import lora
from desta2.model.checkpoint import ADAPTER_FILE, CONFIG_FILE, key_problems
from desta2.model.messages import LOCATOR
from desta2.model.prompt import build_prompt, response_ids
from desta2.nano.espeak import require_espeak
from desta2.train.arguments import trackers
from desta2.train.blueprint import Blueprint, draw
from desta2.train.checkpoints import FOLDER, newest
from desta2.train.config import ModelConfig, RunConfig, TrainConfig

# What an adapter hears and how it tells it; weights of the same shapes do not tell.
_HEARD = ("tap_layers", "encoder_frames", "normalise_outputs")
_BEFORE = {"encoder_frames": "all", "normalise_outputs": False}  # what folders that do not tell were


def check_run(config: TrainConfig) -> Blueprint:
    """Find what is impossible in a run, from configuration files alone.

    Args:
        config: the whole run.

    Returns:
        its model without weights.

    Raises:
        ConfigError: keys do not go together, or not with the models or this machine.
        CheckpointError: a frozen model or `model.adapter` is not there, or that or the checkpoint to go on
            from does not fit.
    """
    _check_options(config)
    _check_machine(config.run)
    model = config.model
    if model.quantization_config is not None:
        _check_quantisation(model.quantization_config)
    blueprint = draw(model)
    _check_context(config, blueprint)
    if blueprint.tokenizer is not None:
        _check_template(model, blueprint)
    if model.adapter is not None:
        _check_start(model.adapter, blueprint)
    if (stopped := newest(config.run.output / FOLDER)) is not None:
        _check_stopped(stopped, blueprint)
    return blueprint


def _check_options(config: TrainConfig) -> None:
    """Keys among themselves."""
    run, data = config.run, config.data
    if run.fsdp and run.evaluate is not None:
        raise ConfigError(
            "run.evaluate needs a whole model on each GPU, and run.fsdp shares it; leave one of them out, "
            "and evaluate checkpoints by 'desta2 evaluate'"
        )
    if run.fsdp and data.cache_taps == "first_epoch":
        raise ConfigError(
            "data.cache_taps=first_epoch encodes clips between steps, where run.fsdp has no whole encoder; "
            "give data.cache_taps=true"
        )
    if run.early_stop is not None and data.validation is None and run.evaluate is None:
        raise ConfigError("run.early_stop needs figures to go by: set data.validation or run.evaluate")
    trained = {own.path.resolve() for own in data.sets}
    if both := [str(path) for path in data.validation_paths if path.resolve() in trained]:
        raise ConfigError(
            f"data.validation={', '.join(both)} is trained on, too (data.train); give other pairs, or a "
            "fraction to hold out, such as 0.02"
        )
    if data.max_tokens is not None and data.max_tokens <= config.model.n_queries:
        raise ConfigError(
            f"data.max_tokens={data.max_tokens} leaves no room for words beside the {config.model.n_queries} "
            "positions of a clip (model.n_queries)"
        )


def _check_machine(run: RunConfig) -> None:
    """What this machine lacks for a run."""
    if run.output.exists() and not run.output.is_dir():
        raise ConfigError(f"run.output={run.output} is a file; give a folder, which need not be there")
    if run.bf16 and torch.accelerator.is_available() and not is_torch_bf16_gpu_available():
        name = torch.accelerator.current_accelerator()
        raise ConfigError(
            f"run.bf16=true, but the {name} of this machine cannot compute in bfloat16; give run.bf16=false"
        )
    for tracker in trackers(run):
        if importlib.util.find_spec(tracker) is None:
            raise ConfigError(
                f"run.report_to names {tracker}, which is not installed: pip install 'desta2[{tracker}]', or "
                "run.report_to=[] for log.jsonl alone"
            )
    if run.evaluate == "nano":
        try:
            require_espeak()
        except InputError as error:
            raise ConfigError(f"run.evaluate=nano: {error}") from None


def _check_context(config: TrainConfig, blueprint: Blueprint) -> None:
    """Whether the longest pair that is asked for goes into the LLM."""
    longest, context = config.data.max_tokens, blueprint.context
    if longest is not None and context is not None and longest > context:
        raise ConfigError(f"data.max_tokens={longest}, but {config.model.llm} reads at most {context} tokens")


def _check_template(model: ModelConfig, blueprint: Blueprint) -> None:
    """Whether the LLM's chat template takes a clip in this layout, and knows its variables."""
    tokenizer = blueprint.tokenizer
    probe = {"role": "user", "content": f"{LOCATOR}\n-", "audios": [{"audio": "-", "text": "-"}]}
    try:
        build_prompt([probe], tokenizer, blueprint.config)
        response_ids("-", tokenizer)
    except InputError as error:
        raise ConfigError(f"model.llm={model.llm} with model.layout={model.layout}: {error}") from error
    _check_variables(model, str(getattr(tokenizer, "chat_template", "")))


def _check_variables(model: ModelConfig, template: str) -> None:
    words = set(re.findall(r"[A-Za-z_]\w*", template))
    for name in model.chat_template_kwargs or {}:
        if name not in words:
            close = difflib.get_close_matches(name, sorted(words), n=1)
            hint = f"; did you mean 'model.chat_template_kwargs.{close[0]}'?" if close else "; leave it out"
            raise ConfigError(
                f"unknown variable 'model.chat_template_kwargs.{name}': the chat template of {model.llm} has "
                f"none of this name{hint}"
            )


def _check_quantisation(given: Mapping[str, Any]) -> None:
    """Whether transformers knows this way of rounding, and the library that does it is here."""
    try:
        chosen = AutoQuantizationConfig.from_dict(dict(given))
        quantiser = AutoHfQuantizer.from_config(chosen, pre_quantized=False)
        with contextlib.suppress(RuntimeError):  # it wants a GPU: the machine of the run may have one
            quantiser.validate_environment(device_map=None)
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(f"model.quantization_config={dict(given)} cannot be had: {error}") from error


def _check_start(folder: Path, blueprint: Blueprint) -> None:
    """Whether the adapter that training starts from fits the run's."""
    if not (folder / ADAPTER_FILE).is_file():
        raise CheckpointError(
            f"model.adapter: {folder} has no {ADAPTER_FILE}; is it a desta2 model folder? (An official "
            "DeSTA2 or DeSTA2.5 checkpoint becomes one with 'desta2 convert'.)"
        )
    if blueprint.config.lora is None and (folder / lora.WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"model.adapter: {folder} was trained with LoRA weights on the LLM; give model.lora to go on "
            "with them"
        )
    if problems := _differences(folder, blueprint):
        raise CheckpointError(
            f"model.adapter: {folder} does not fit this run's model: " + "; ".join(problems)
        )


def _check_stopped(checkpoint: Path, blueprint: Blueprint) -> None:
    """Whether what the run would go on from is of its model."""
    problems = _differences(checkpoint, blueprint)
    if (blueprint.config.lora is None) == (checkpoint / lora.WEIGHTS_FILE).is_file():
        problems.append("one of them has LoRA weights, the other has none")
    if problems:
        raise CheckpointError(
            f"run.output: {checkpoint} is there to go on from, but does not fit this run's model: "
            + "; ".join(problems)
            + ". Give another run.output, or the keys that it was begun with"
        )


def _differences(folder: Path, blueprint: Blueprint) -> list[str]:
    """What keeps the trained weights of a folder from going into the run's model."""
    problems = key_problems(_shapes(folder / ADAPTER_FILE), blueprint.adapter.state_dict())
    if blueprint.config.lora is not None and (folder / lora.WEIGHTS_FILE).is_file():
        problems += key_problems(_shapes(folder / lora.WEIGHTS_FILE), lora.weights(blueprint.llm))
    trained = _configuration(folder / CONFIG_FILE)
    trained = trained and {**_BEFORE, **trained}
    for key in _HEARD:
        if key in trained and trained[key] != (given := getattr(blueprint.config, key)):
            problems.append(f"its {key} is {trained[key]}, and model.{key} is {given}")
    return problems


def _configuration(file: Path) -> dict[str, Any]:
    """The keys of a model folder's configuration; none where it has only weights."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error


def _shapes(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file on the meta device: its header alone is read."""
    try:
        with safe_open(file, framework="pt") as tensors:
            names = tensors.keys()
            return {name: torch.empty(tensors.get_slice(name).get_shape(), device="meta") for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
