"""An LLM of which only the input embeddings are here: enough to write prompts for an engine elsewhere.

Its layers have shapes and no weights, so an LLM of 8 billion parameters takes the memory of its embedding
table, about 1 GB in bfloat16. Of a hub id only the file that holds the table is fetched. The price is that
whether it is the LLM of training can then be seen by that table alone; where all weights lie here, their
fingerprint is compared as ever.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationConfig

from desta2.errors import CheckpointError, ConfigError, RunError
from desta2.model import bases
from desta2.model.checkpoint import (
    INDEX_FILE,
    WEIGHTS_FILE,
    find_file,
    fingerprint_at_hand,
    needed_file,
    require_fingerprint,
)
from desta2.model.configuration import Desta2Config

log = logging.getLogger(__name__)

_STD_TOLERANCE = 0.005
"""Relative; rounding to bfloat16 or float16 changes the standard deviation of a table by far less."""


def load(llm: str, dtype: Any, device: Any, **hub_options: Any) -> Any:
    """The LLM without weights, but with its embeddings and its generation config.

    Args:
        llm: Folder or hub id.
        dtype: Of the embeddings; None means as stored, float32 where that is float16 on a CPU.
        device: Where the embeddings go; None is the CPU.
        hub_options: As in transformers.

    Raises:
        CheckpointError: The LLM or its embeddings cannot be read.
        ConfigError: `device` is no single device.
    """
    place = _device(device)
    config = bases.config_of("LLM", llm, hub_options)
    try:
        with init_empty_weights():  # buffers stay real: some embeddings are scaled by one
            skeleton: Any = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot load the LLM {llm}: {error}") from error
    layer = skeleton.get_input_embeddings()
    name = next(own for own, weight in skeleton.named_parameters() if weight is layer.weight)
    table = _read(llm, name, layer.weight.shape, hub_options)
    layer.weight = nn.Parameter(table.to(place, _dtype(dtype, table, place)), requires_grad=False)
    layer.to(place)
    skeleton.generation_config = _generation_config(llm, skeleton.generation_config, hub_options)
    skeleton.register_forward_pre_hook(_refuse)
    return skeleton


def check_options(config: Desta2Config, quantization_config: Any) -> None:
    """Refuse what needs the LLM's weights.

    Raises:
        ConfigError: The model has LoRA weights, or the LLM is to be rounded.
    """
    if config.lora is not None:
        raise ConfigError(
            "this model has LoRA weights for its LLM, which an engine elsewhere does not know of; load it "
            "without embeddings_only=True"
        )
    if quantization_config is not None:
        raise ConfigError(
            "embeddings_only=True loads no weights of the LLM to be rounded; leave quantization_config out"
        )


def check(base: str, llm: Any, config: Desta2Config, cache_dir: Any = None) -> None:
    """Compare the LLM with the one of training, as far as it is here.

    Raises:
        CheckpointError: It is another one.
    """
    if config.llm_fingerprint is None:
        return
    found = fingerprint_at_hand(base, cache_dir=cache_dir)
    if found is not None:
        require_fingerprint("LLM", base, found, config.llm_fingerprint)
        return
    expected = (config.llm_embedding_std or 0) * bases.embedding_gain(llm, config.llm_embedding_std)
    actual = bases.embedding_std(llm)
    if expected and abs(actual / expected - 1) > _STD_TOLERANCE:
        raise CheckpointError(
            f"the LLM at {base} is not the one that the adapter was trained with (the standard deviation "
            f"of its embeddings is {actual:.6f}, expected {expected:.6f}); use the right one, or pass "
            "allow_other_bases=True to try it anyway"
        )
    log.warning(
        "only the embeddings of %s are here: that its other weights are those of training is not checked; "
        "where all of its safetensors files lie here, they are",
        base,
    )


def _device(device: Any) -> torch.device:
    try:
        return torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError):
        raise ConfigError(
            f"device_map is {device!r}; with embeddings_only=True there is one table, so it must be one "
            "device, as 'cpu' or 'cuda'"
        ) from None


def _dtype(wanted: Any, table: Tensor, device: torch.device) -> torch.dtype:
    """As `bases` loads whole LLMs, so that the vectors are the same."""
    if wanted is not None and wanted != "auto":
        return getattr(torch, wanted) if isinstance(wanted, str) else wanted
    return torch.float32 if table.dtype == torch.float16 and device.type == "cpu" else table.dtype


def _read(base: str, name: str, shape: torch.Size, hub_options: dict[str, Any]) -> Tensor:
    """The embedding table, from the one file that holds it."""
    file = find_file(base, WEIGHTS_FILE, **hub_options)
    parts: dict[str, str] | None = None
    if file is None:
        index = needed_file(base, INDEX_FILE, **hub_options)
        parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        file = needed_file(base, parts[_stored_name(name, list(parts), index)], **hub_options)
    try:
        with safe_open(file, framework="pt") as tensors:
            table: Tensor = tensors.get_tensor(_stored_name(name, list(tensors.keys()), file))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    if table.shape != shape:
        raise CheckpointError(
            f"the embeddings in {file} have shape {tuple(table.shape)}, but the LLM's configuration says "
            f"{tuple(shape)}"
        )
    return table


def _stored_name(name: str, stored: list[str], file: Path) -> str:
    """Under which name a tensor is stored: some files leave prefixes out, or have others."""
    end = ".".join(name.split(".")[-2:])
    found = [name] if name in stored else [own for own in stored if f".{own}".endswith(f".{end}")]
    if len(found) != 1:
        raise CheckpointError(
            f"{file} holds {len(found) or 'no'} tensors named …{end}, expected one, the LLM's embeddings; "
            "load and save the LLM with transformers, and use that folder"
        )
    return found[0]


def _generation_config(llm: str, default: Any, hub_options: dict[str, Any]) -> Any:
    """That of the LLM's files, as transformers takes it."""
    try:
        return GenerationConfig.from_pretrained(llm, **hub_options)
    except OSError:  # it has none
        return default


def _refuse(*_: Any) -> None:
    raise RunError("only the embeddings of this LLM are loaded: load the model without embeddings_only=True")
