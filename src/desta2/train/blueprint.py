"""The models of a run as their configuration files describe them: all shapes, no weights.

They are built on torch's meta device, which knows sizes and holds nothing. The price is a second place that
puts the model together, beside `Desta2Model.from_bases`; both take the same facts from the frozen models and
make the same `Desta2Config` of them, and a test compares their weights by name and shape.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, WhisperConfig, WhisperForConditionalGeneration

from desta2.errors import CheckpointError, ConfigError
from desta2.model import bases, lora
from desta2.model.adapter import Adapter
from desta2.model.checkpoint import find_file, resolve_base
from desta2.model.configuration import Desta2Config, default_tap_layers
from desta2.nano import base_id
from desta2.train.config import ModelConfig

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")


@dataclass(frozen=True)
class Blueprint:
    """A run's model without weights.

    Attributes:
        config: as the trained model will have it, but for fingerprints and the size of embeddings.
        llm: on the meta device, in the type that it will be loaded in; with LoRA where it is asked for.
        whisper: likewise.
        adapter: on the meta device, in float32, in training mode.
        tokenizer: the LLM's, if its files lie here.
    """

    config: Desta2Config
    llm: Any
    whisper: Any
    adapter: Adapter
    tokenizer: Any | None

    @property
    def lora_parameters(self) -> int:
        """Parameters of the low-rank matrices."""
        return sum(weight.numel() for weight in lora.weights(self.llm).values()) if self.config.lora else 0

    @property
    def context(self) -> int | None:
        """Tokens that the LLM reads at most, where it says so."""
        return bases.context(self.llm)

    @property
    def window_frames(self) -> int:
        """Frames that the encoder makes of a window of audio."""
        return int(self.whisper.config.max_source_positions)


def draw(model: ModelConfig) -> Blueprint:
    """Build the models of a run on the meta device.

    Raises:
        ConfigError: keys do not go together, or not with the frozen models.
        CheckpointError: the configuration of a frozen model is not there.
    """
    llm_config, whisper_config = _base_configs(model)
    llm = bases.freeze(_llm(model.llm, llm_config, weights_dtype(model.dtype, llm_config)))
    with torch.device("meta"):
        whisper: Any = WhisperForConditionalGeneration(whisper_config)
    whisper.to(weights_dtype(model.encoder_dtype or model.dtype, whisper_config))
    config = _configuration(model, llm, whisper_config)
    lora.check_installed(config)
    if config.lora is not None:
        lora.add(llm, config)
    with torch.device("meta"):
        adapter = Adapter(config)
    return Blueprint(config, llm, whisper, adapter.train(), _tokenizer(model.llm))


def weights_dtype(wanted: str | None, base_config: Any) -> torch.dtype:
    """The type that a frozen model will have: as asked for, else as `bases` loads it.

    That is as stored, but float32 for float16, since models are loaded onto the CPU first.
    """
    if wanted is not None:
        return getattr(torch, wanted)
    stored = getattr(base_config, "dtype", None) or torch.float32
    stored = getattr(torch, stored) if isinstance(stored, str) else stored
    return torch.float32 if stored == torch.float16 else stored


def _base_configs(model: ModelConfig) -> tuple[Any, WhisperConfig]:
    """Configurations of the LLM and the Whisper."""
    found = {}
    for key, part, what in (("llm", "llm", "LLM"), ("encoder", "whisper", "Whisper")):
        try:
            found[key] = bases.read_config(what, base_id(part, getattr(model, key)), needed=True)
        except CheckpointError as error:
            raise CheckpointError(
                f"model.{key}: {error} (a local folder will do; for --dry-run one with its config.json)"
            ) from error
    llm_config, whisper_config = found["llm"], found["encoder"]
    exchanged = isinstance(llm_config, WhisperConfig)
    if not isinstance(whisper_config, WhisperConfig):
        hint = "; were model.llm and model.encoder exchanged?" if exchanged else ", as openai/whisper-small"
        kind = whisper_config.model_type
        raise ConfigError(f"model.encoder={model.encoder} is a {kind} model; it must be a Whisper{hint}")
    if exchanged:
        raise ConfigError(f"model.llm={model.llm} is a Whisper; it must be a chat LLM")
    return llm_config, whisper_config


def _llm(name: str, config: Any, dtype: torch.dtype) -> Any:
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype)
    except ValueError as error:
        raise ConfigError(
            f"model.llm={name} is a {config.model_type} model, which transformers cannot load as a causal LM"
        ) from error


def _configuration(model: ModelConfig, llm: Any, whisper: WhisperConfig) -> Desta2Config:
    """The trained model's configuration; `Desta2Model.from_bases` takes the same facts from the models."""
    facts = {
        "llm_id": base_id("llm", model.llm),
        "encoder_id": base_id("whisper", model.encoder),
        "d_llm": bases.llm_width(llm),
        "d_encoder": whisper.d_model,
        "encoder_layers": whisper.encoder_layers,
        "adapter_heads": whisper.encoder_attention_heads,
    }
    known = inspect.signature(Desta2Config).parameters
    given = {k: v for k, v in model.model_dump(exclude_none=True).items() if k in known}
    try:
        return Desta2Config(**{**facts, **given, "system_prompt": model.system_prompt})
    except ConfigError as error:
        raise ConfigError(
            f"model.{error}. {model.encoder} has {whisper.encoder_layers} layers of width {whisper.d_model}: "
            f"without model.tap_layers the adapter reads {default_tap_layers(whisper.encoder_layers)}, "
            f"without model.adapter_heads it has {whisper.encoder_attention_heads}"
        ) from None


def _tokenizer(llm: str) -> Any | None:
    """The LLM's tokenizer; None unless its files lie here."""
    path = resolve_base(base_id("llm", llm), None)
    with contextlib.suppress(CheckpointError):  # not in the hub's cache
        if any(find_file(path, name, local_files_only=True) for name in _TOKENIZER_FILES):
            try:
                return AutoTokenizer.from_pretrained(path, local_files_only=True)
            except (OSError, ValueError) as error:
                raise ConfigError(f"model.llm={llm}: its tokenizer cannot be loaded: {error}") from error
    return None


def count(module: nn.Module) -> int:
    """Parameters of a module; tied ones count once."""
    return sum(parameter.numel() for parameter in module.parameters())
