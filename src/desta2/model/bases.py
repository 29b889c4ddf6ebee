"""Loading the frozen models.

Hub code stays transformers' own; here its many ways to fail become one error that names the model, and the
widths that the adapter relies on are read from the models themselves rather than from their configurations,
whose field names differ between families.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, WhisperConfig, WhisperForConditionalGeneration

from desta2.errors import CheckpointError
from desta2.model.checkpoint import resolve_base, was_quantised
from desta2.model.configuration import Desta2Config
from desta2.model.fast import is_emulated

log = logging.getLogger(__name__)

HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")
AUTO_OPTIONS = ("adapter_kwargs", "code_revision", "trust_remote_code")


def load(
    llm: str,
    encoder: str,
    dtype: Any,
    device_map: Any,
    quantization_config: Any,
    *,
    encoder_dtype: Any = None,
    **hub_options: Any,
) -> tuple[Any, Any]:
    """The LLM, and the Whisper on the device of its embeddings; see `load_llm`."""
    loaded = load_llm(llm, dtype, device_map, quantization_config, **hub_options)
    device = device_of(loaded)
    if encoder_dtype is not None and is_emulated(encoder_dtype, device):
        log.warning("this CPU only imitates %s: the Whisper will be slower than in float32", encoder_dtype)
    return loaded, load_whisper(encoder, encoder_dtype or dtype, device, **hub_options)


def load_llm(
    llm: str, dtype: Any, device_map: Any, quantization_config: Any = None, **hub_options: Any
) -> Any:
    """Load a causal LM from a folder or hub id.

    Args:
        llm: folder or hub id.
        dtype: as in transformers; None means as stored, float32 where that is float16 on a CPU.
        device_map: as in transformers.
        quantization_config: as in transformers: a configuration of a library that rounds weights while they
            are read, or the same as a mapping with `quant_method`.
        hub_options: as in transformers.

    Raises:
        CheckpointError: it cannot be loaded, or the library that is to round it is missing.
    """
    config = config_of("LLM", llm, hub_options)
    options = {"device_map": device_map, **hub_options}
    if quantization_config is not None:
        options["quantization_config"] = quantization_config
    return _load(AutoModelForCausalLM, "LLM", llm, config, dtype, **options)


def load_whisper(encoder: str, dtype: Any, device: torch.device, **hub_options: Any) -> Any:
    """Load a Whisper from a folder or hub id, onto `device`."""
    config = config_of("Whisper", encoder, hub_options)
    if not isinstance(config, WhisperConfig):
        raise CheckpointError(f"{encoder} is a {config.model_type} model; the encoder must be a Whisper")
    return _load(WhisperForConditionalGeneration, "Whisper", encoder, config, dtype, **hub_options).to(device)


def of_bases(hub_options: Mapping[str, Any]) -> dict[str, Any]:
    """Hub options of a model folder that hold for its frozen models too: all but the revision."""
    return {name: value for name, value in hub_options.items() if name != "revision"}


def config_of(what: str, base: str, hub_options: Mapping[str, Any]) -> Any:
    """The configuration, loaded apart: transformers 5.0 forgets the token when a model class loads it.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    try:
        return AutoConfig.from_pretrained(base, **hub_options)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot load the {what} {base}: {error}") from error


def _load(auto: Any, what: str, base: str, config: Any, dtype: Any, **options: Any) -> Any:
    dtype = "auto" if dtype is None else dtype
    try:
        module = auto.from_pretrained(base, config=config, dtype=dtype, **options)
    except (OSError, ValueError, ImportError) as error:  # the last: a library that quantises is missing
        raise CheckpointError(f"cannot load the {what} {base}: {error}") from error
    # Weights are stored as float16 to save space; few CPUs compute in it, and none fast.
    half_on_cpu = dtype == "auto" and module.dtype == torch.float16 and module.device.type == "cpu"
    return module.float() if half_on_cpu and not was_quantised(module) else module


def read_config(what: str, base: str, *, needed: bool, **hub_options: Any) -> Any:
    """The configuration of a frozen model; no weights are read.

    Args:
        what: "LLM" or "Whisper", for messages.
        base: Folder or hub id.
        needed: Whether to ask the hub for what is not here.
        hub_options: As in transformers.

    Returns:
        The configuration; None where it is not needed and `base` is neither a folder nor in the hub's cache.

    Raises:
        CheckpointError: It is needed or a folder, and cannot be read.
    """
    path = resolve_base(base, None)
    try:
        if Path(path).is_dir() and not (Path(path) / "config.json").is_file():
            # Old versions of transformers guess a kind of model from the name of such a folder.
            raise OSError("it has no config.json")
        return AutoConfig.from_pretrained(
            path, local_files_only=not needed, trust_remote_code=False, **hub_options
        )
    except (OSError, ValueError) as error:
        if not needed and not Path(path).is_dir():
            return None
        raise CheckpointError(
            f"cannot read the configuration of the {what} {base}: {error}; give another one"
        ) from error


def device_of(llm: Any) -> torch.device:
    """Where the LLM takes its input."""
    device: torch.device = llm.get_input_embeddings().weight.device
    return device


def llm_width(llm: Any) -> int:
    """Width of the LLM's input embeddings."""
    return int(llm.get_input_embeddings().weight.shape[-1])


def context(llm: Any) -> int | None:
    """Tokens that the LLM reads at most, where it says so."""
    longest: int | None = getattr(llm.config.get_text_config(), "max_position_embeddings", None)
    return longest


def embedding_std(llm: Any) -> float:
    """Standard deviation of the LLM's input embeddings, over at most some 4,000 evenly spaced ids.

    Of what the layer gives, not of its weights: some LLMs scale them there.
    """
    layer = llm.get_input_embeddings()
    count = layer.weight.shape[0]
    with torch.no_grad():
        vectors = layer(torch.arange(0, count, max(1, count // 4000), device=layer.weight.device))
    return float(vectors.float().std())


def embedding_gain(llm: Any, recorded: float | None) -> float:
    """How many times larger the LLM's input embeddings are than when an adapter was made for it.

    Some LLMs (Gemma) scale their embeddings by the root of the width: older versions of transformers behind
    the place where we put the adapter's vectors, newer ones before. Rounding changes them by far less than
    half, which counts as 1.

    Args:
        llm: A causal LM.
        recorded: Their standard deviation then; None means that nobody knows, and counts as unchanged.
    """
    if not recorded:
        return 1.0
    gain = embedding_std(llm) / recorded
    return 1.0 if 0.5 < gain < 2 else gain


def check_widths(config: Desta2Config, whisper: Any, llm: Any) -> None:
    """Compare the configuration with the models.

    Raises:
        CheckpointError: A width or the depth differs; both numbers are named.
    """
    facts = {
        "d_llm": llm_width(llm),
        "d_encoder": whisper.config.d_model,
        "encoder_layers": whisper.config.encoder_layers,
    }
    wrong = [
        f"{name} is {getattr(config, name)} in the configuration and {fact} in the model"
        for name, fact in facts.items()
        if getattr(config, name) != fact
    ]
    if wrong:
        raise CheckpointError("the frozen models do not fit the adapter: " + "; ".join(wrong))


def freeze(module: nn.Module) -> nn.Module:
    """Evaluation mode and no gradients."""
    return module.requires_grad_(False).eval()
