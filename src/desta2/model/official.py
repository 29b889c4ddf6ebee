"""The published layouts of DeSTA2 and DeSTA2.5: their files, and their names for our weights.

Both store the same Q-Former as ours under other names, so a list of names without any reshaping lies between
them and us, and tensors go over bit by bit in the type they have. Sizes are read from the tensors, because
the published configurations leave most of them to their code. A pickle is read with torch's `weights_only`,
which builds tensors and nothing else. Sources: the public repositories kehanlu/DeSTA2 and
kehanlu/DeSTA2.5-Audio.
"""

import json
import os
import pickle
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from desta2.errors import CheckpointError
from desta2.model.adapter import Adapter
from desta2.model.checkpoint import find_file, key_problems, needed_file, read_tensors, write_tensors
from desta2.model.configuration import Desta2Config

CONFIG_FILE = "config.json"
_MOST_LAYERS = 1000  # a broken configuration must not keep us busy building layers


@dataclass(frozen=True)
class Layout:
    """One of the published layouts.

    Attributes:
        name: Our name for it, as in `Desta2Config.layout`.
        model_type: What its `config.json` says.
        files: Names that its weights may have; the first that is there is read, the last is written.
        prefix: What its keys begin with.
        llm_key, encoder_key: Where its `config.json` names the frozen models.
    """

    name: str
    model_type: str
    files: tuple[str, ...]
    prefix: str
    llm_key: str
    encoder_key: str


DESTA2 = Layout(
    name="desta2",
    model_type="DestaModel",
    files=("qformer_connector.safetensors", "qformer_connector.pth"),
    prefix="",
    llm_key="llama_model_id",
    encoder_key="whisper_model_id",
)
DESTA25 = Layout(
    name="desta2.5",
    model_type="desta25",
    files=("model.safetensors",),
    prefix="perception.connector.",
    llm_key="llm_model_id",
    encoder_key="encoder_model_id",
)
LAYOUTS = {layout.name: layout for layout in (DESTA2, DESTA25)}


@dataclass(frozen=True)
class Published:
    """A published checkpoint, checked: its tensors are complete and fit each other.

    Attributes:
        layout: Which of the two.
        config: Its `config.json`.
        tensors: By our names.
        sizes: `n_queries`, `n_taps`, `adapter_layers`, `adapter_intermediate`, `d_encoder`, `d_llm`.
    """

    layout: Layout
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    sizes: dict[str, int]


def read_config(source: str, **hub_options: Any) -> dict[str, Any]:
    """`config.json` of a folder or hub id.

    Raises:
        CheckpointError: It is not there or no JSON object.
    """
    file = needed_file(source, CONFIG_FILE, **hub_options)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{file} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} must hold a JSON object, got {type(config).__name__}")
    return config


def read_published(source: str, config: dict[str, Any], **hub_options: Any) -> Published:
    """Read a published checkpoint.

    Args:
        source: Folder or hub id.
        config: Its `config.json`.
        hub_options: As in transformers: `revision`, `token`, `cache_dir`, …

    Raises:
        CheckpointError: It has no published layout, or keys that are missing, unexpected or misshapen: all
            are named.
    """
    layout = _layout_of(source, config)
    _check_config(source, config, layout)
    file = _weights_file(source, layout, **hub_options)
    found = _read_pickle(file) if file.suffix == ".pth" else read_tensors(file)
    sizes = _sizes(found, config, layout.prefix)
    names = published_names(sizes["n_taps"], sizes["adapter_layers"], layout.prefix)
    expected = _expected(sizes, names)
    problems = key_problems(found, expected) + _other_problems(found, layout.prefix)
    if problems:
        raise CheckpointError(f"{file} is not a complete {layout.name} connector: " + "; ".join(problems))
    # A pickle's tensors may share memory, which a safetensors file cannot hold.
    tensors = {ours: found[theirs].detach().clone() for ours, theirs in names.items()}
    return Published(layout, config, tensors, sizes)


def write_published(
    folder: Path, layout: Layout, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a published checkpoint into a folder: `config` as its `config.json`, and tensors by our names."""
    layers = _count(tensors, "", r"layers\.(\d+)\..*")
    names = published_names(_count(tensors, "", r"queries\.(\d+)"), layers, layout.prefix)
    renamed = {names[ours]: tensor.detach().cpu().clone() for ours, tensor in tensors.items()}
    file = folder / layout.files[-1]
    if file.suffix == ".pth":
        temporary = file.with_name(file.name + ".tmp")
        torch.save(renamed, temporary)
        os.replace(temporary, file)
    else:
        write_tensors(renamed, file)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


_ATTENTION = {
    "query": "self.query",
    "key": "self.key",
    "value": "self.value",
    "output": "output.dense",
    "norm": "output.LayerNorm",
}
_FEED_FORWARD = {"up": "intermediate.dense", "down": "output.dense", "norm": "output.LayerNorm"}


def published_names(n_taps: int, adapter_layers: int, prefix: str) -> dict[str, str]:
    """Our name of every weight → its published name."""
    modules = {"norm": "proj.0", "projection": "proj.1"}
    for i in range(adapter_layers):
        ours, theirs = f"layers.{i}", f"qformer.layer.{i}"
        for part, name in _ATTENTION.items():
            modules[f"{ours}.self_attention.{part}"] = f"{theirs}.attention.{name}"
            modules[f"{ours}.cross_attention.{part}"] = f"{theirs}.crossattention.{name}"
        for part, name in _FEED_FORWARD.items():
            modules[f"{ours}.feed_forward.{part}"] = f"{theirs}.{name}"
    names = {"layer_weights": "layer_weights"}
    names |= {f"queries.{i}": f"layer_prompts.{i}" for i in range(n_taps)}
    names |= {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in modules.items()
        for kind in ("weight", "bias")
    }
    return {ours: prefix + theirs for ours, theirs in names.items()}


def _layout_of(source: str, config: Mapping[str, Any]) -> Layout:
    for layout in LAYOUTS.values():
        if config.get("model_type") == layout.model_type:
            return layout
    if config.get("model_type") == Desta2Config.model_type:
        raise CheckpointError(f"{source} is a desta2 model already; --to desta2 or desta2.5 exports it")
    known = ", ".join(f"{layout.model_type!r} ({name})" for name, layout in LAYOUTS.items())
    raise CheckpointError(
        f"{source} has no published layout: its {CONFIG_FILE} says model_type {config.get('model_type')!r}, "
        f"expected {known}"
    )


def _check_config(source: str, config: Mapping[str, Any], layout: Layout) -> None:
    """Refuse values that nothing can be made of, and what the weights would not tell: another connector."""

    def number(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    checks: dict[str, tuple[Any, str]] = {
        "connector_mode": (lambda value: value == "qformer_1", "'qformer_1'"),
        "use_lora": (lambda value: value is False, "False, as a changed LLM cannot be converted"),
        layout.llm_key: (lambda value: isinstance(value, str), "the id of a model"),
        layout.encoder_key: (lambda value: isinstance(value, str), "the id of a model"),
        "prompt_size": (lambda value: number(value) and value > 0, "a whole number of at least 1"),
        "qformer_num_hidden_layers": (
            lambda value: number(value) and 0 < value <= _MOST_LAYERS,
            f"a whole number from 1 to {_MOST_LAYERS}",
        ),
        "target_layer_ids": (
            lambda value: isinstance(value, list) and value and all(map(number, value)),
            "a list of layers",
        ),
    }
    for key, (fits, expected) in checks.items():
        if key in config and not fits(config[key]):
            raise CheckpointError(f"{source} has {key} {config[key]!r}; expected {expected}")


def _weights_file(source: str, layout: Layout, **hub_options: Any) -> Path:
    *others, last = layout.files
    for name in others:
        if (file := find_file(source, name, **hub_options)) is not None:
            return file
    return needed_file(source, last, **hub_options)


def _read_pickle(file: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} is refused: it is a pickle that holds more than tensors, and such a file can run any "
            "code when it is read; ask its author for a safetensors file"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    ):
        raise CheckpointError(f"{file} must hold tensors by name, and nothing else")
    return dict(found)


def _sizes(found: Mapping[str, Tensor], config: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """Sizes as the configuration states them, or else as most of the tensors have them."""

    def most(*places: tuple[str, int]) -> int:
        sizes = Counter(size for pattern, axis in places for size in _axis(found, prefix, pattern, axis))
        return sizes.most_common(1)[0][0] if sizes else 1

    n_taps = max(most(("layer_weights", 1)), _count(found, prefix, r"layer_prompts\.(\d{1,9})"))
    n_layers = _count(found, prefix, r"qformer\.layer\.(\d{1,9})\..*")
    stated_taps, stated_layers = config.get("target_layer_ids"), config.get("qformer_num_hidden_layers")
    return {
        "n_queries": config.get("prompt_size") or most((r"layer_prompts\.\d+", 1), ("layer_weights", 0)),
        # A name or a shape may say anything: there are no more taps or layers than tensors.
        "n_taps": len(stated_taps) if stated_taps else max(1, min(n_taps, len(found))),
        "adapter_layers": stated_layers or max(1, min(n_layers, len(found))),
        "adapter_intermediate": most(
            (r"qformer\.layer\.\d+\.intermediate\.dense\..*", 0),
            (r"qformer\.layer\.\d+\.output\.dense\.weight", 1),
        ),
        "d_encoder": most((r"layer_prompts\.\d+", 2), (r"proj\.0\..*", 0), (r".*LayerNorm\..*", 0)),
        "d_llm": most((r"proj\.1\.(?:weight|bias)", 0)),
    }


def _axis(found: Mapping[str, Tensor], prefix: str, pattern: str, axis: int) -> Iterator[int]:
    """Length along an axis of each tensor whose name has a form."""
    for name, tensor in found.items():
        if re.fullmatch(re.escape(prefix) + pattern, name) and tensor.dim() > axis and tensor.shape[axis]:
            yield tensor.shape[axis]


def _count(found: Mapping[str, Tensor], prefix: str, pattern: str) -> int:
    """One more than the highest number in names of a form."""
    matches = (re.fullmatch(re.escape(prefix) + pattern, name) for name in found)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)


def _other_problems(found: Mapping[str, Tensor], prefix: str) -> list[str]:
    """What a comparison of names and shapes leaves open: other types, and sizes with two sides to them."""
    problems = [
        f"{name} holds no floating-point numbers"
        for name, tensor in found.items()
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta
    ]
    prompts = sum(1 for name in found if re.fullmatch(re.escape(prefix) + r"layer_prompts\.\d+", name))
    weights = found.get(prefix + "layer_weights")
    if weights is not None and weights.dim() == 2 and weights.shape[1] > prompts:
        problems.append(
            f"{prefix}layer_weights has shape {tuple(weights.shape)}, but there are {prompts} layer_prompts"
        )
    ends = {name: found[name] for kind in ("weight", "bias") if (name := f"{prefix}proj.1.{kind}") in found}
    if len({tensor.shape[:1] for tensor in ends.values()}) > 1:
        problems.append(" and ".join(f"{name} has shape {tuple(t.shape)}" for name, t in ends.items()))
    return problems


def _expected(sizes: Mapping[str, int], names: Mapping[str, str]) -> dict[str, Tensor]:
    """What must be there, by published names, on "meta"."""
    own: dict[str, Any] = {name: size for name, size in sizes.items() if name != "n_taps"}
    taps = list(range(sizes["n_taps"]))
    config = Desta2Config(encoder_layers=len(taps), tap_layers=taps, adapter_heads=1, **own)
    with torch.device("meta"):
        state = Adapter(config).state_dict()
    return {names[ours]: tensor for ours, tensor in state.items()}
