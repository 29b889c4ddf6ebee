"""Low-rank updates of the LLM (LoRA: Hu et al., 2021, arXiv 2106.09685), by peft.

The LLM's own weights stay frozen; small trained matrices stand beside its linear layers. They are saved in
peft's own format in `lora/`, beside the adapter, so that peft alone can load them onto the LLM too. With them
the LLM's answers to text change as well: that nothing is forgotten, which otherwise holds by construction, is
then a matter of measuring. The matrices are in float32 whatever the LLM is in.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from desta2.errors import CheckpointError, ConfigError
from desta2.model.checkpoint import key_problems, read_tensors, write_tensors
from desta2.model.configuration import Desta2Config

FOLDER = "lora"
WEIGHTS_FILE = f"{FOLDER}/adapter_model.safetensors"
FILES = (WEIGHTS_FILE, f"{FOLDER}/adapter_config.json")

# peft's names for what it adds. Files leave out the name of the set, and call the LLM `base_model.model`.
_PARTS = (".lora_A.default.", ".lora_B.default.")
_FILE_PREFIX = "base_model.model."


def check_installed(config: Desta2Config) -> None:
    """Nothing, unless the configuration wants LoRA and peft is missing.

    Raises:
        ConfigError: it does and is.
    """
    if config.lora is not None and importlib.util.find_spec("peft") is None:
        raise ConfigError(
            "this model has LoRA weights for its LLM (lora in its configuration), and those need peft: "
            "pip install 'desta2[lora]'"
        )


def add(llm: nn.Module, config: Desta2Config) -> None:
    """Put fresh low-rank matrices, which change nothing yet, beside the LLM's layers.

    Args:
        llm: a frozen causal LM; changed in place.
        config: with `lora`.

    Raises:
        ConfigError: peft is missing, or `target_modules` names no layer that it knows.
    """
    check_installed(config)
    from peft import inject_adapter_in_model

    try:
        inject_adapter_in_model(_peft_config(config), llm)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"lora cannot be put into the LLM {config.llm_id}: {error}") from error
    for parameter in weights(llm).values():
        parameter.data = parameter.data.float()


def weights(llm: nn.Module) -> dict[str, Tensor]:
    """The low-rank matrices, under the names that they have in peft's files."""
    return _named_as_in_files(dict(llm.named_parameters()))


def set_training(llm: nn.Module, mode: bool) -> None:
    """Dropout before the low-rank matrices on or off; the LLM's own stays off."""
    for name, module in llm.named_modules():
        if name.endswith(".lora_dropout"):
            module.train(mode)


def save(
    llm: nn.Module, config: Desta2Config, folder: Path, state: Mapping[str, Tensor] | None = None
) -> None:
    """Write `lora/` into a model folder, each file complete or not at all.

    Args:
        llm: with low-rank matrices.
        config: with `lora`.
        folder: exists.
        state: replaces the LLM's own state dict.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder / FOLDER) as temporary:
        _peft_config(config).save_pretrained(temporary)
        os.replace(Path(temporary) / "adapter_config.json", folder / FOLDER / "adapter_config.json")
    write_tensors(weights(llm) if state is None else _named_as_in_files(state), folder / WEIGHTS_FILE)


def load(llm: nn.Module, folder: Path) -> None:
    """Load `lora/` of a model folder into an LLM with low-rank matrices, which must fit exactly.

    Raises:
        CheckpointError: the file is missing or broken, or its names or shapes differ; all are named.
    """
    file = folder / WEIGHTS_FILE
    if not file.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS_FILE}, which its configuration (lora) asks for")
    own, found = weights(llm), read_tensors(file)
    if problems := key_problems(found, own):
        raise CheckpointError(f"{file} does not fit its configuration: " + "; ".join(problems))
    for name, parameter in own.items():
        parameter.data = found[name].to(parameter)


def _peft_config(config: Desta2Config) -> Any:
    from peft import LoraConfig

    assert config.lora is not None
    options = config.lora
    return LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=config.llm_id,
        r=options["r"],
        lora_alpha=options["alpha"],
        lora_dropout=options["dropout"],
        target_modules=options["target_modules"],
    )


def named_as_in_llm(matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a file holds, under the names that the matrices have in the LLM."""
    return {
        name.removeprefix(_FILE_PREFIX).replace(".lora_A.", _PARTS[0]).replace(".lora_B.", _PARTS[1]): tensor
        for name, tensor in matrices.items()
    }


def _named_as_in_files(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        _FILE_PREFIX + name.replace(".default.", "."): tensor
        for name, tensor in state.items()
        if any(part in name for part in _PARTS)
    }
