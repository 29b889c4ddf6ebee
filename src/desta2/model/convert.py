"""Published checkpoints → our model folders, and back.

The published folders say little about the frozen models: DeSTA2's nothing but their ids. What is missing
(depth and heads of the Whisper) is read from the Whisper's own `config.json`, never guessed from its name;
weights of the frozen models are not needed. Where they are at hand, in a folder or in the hub's cache, they
are fingerprinted, so that `from_pretrained` will know them again. Which encoder layers and which beginning of
text the released DeSTA2 wants is not in its files either: docs/convert.md has the two readings, and why ours
is the default.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from desta2.errors import CheckpointError, InputError
from desta2.model import bases, checkpoint
from desta2.model.adapter import Adapter
from desta2.model.configuration import Desta2Config, default_tap_layers
from desta2.model.official import (
    DESTA2,
    LAYOUTS,
    Layout,
    Published,
    read_config,
    read_published,
    write_published,
)

log = logging.getLogger(__name__)

# Longest transcript. DeSTA2 leaves it to the Whisper's generation config, which ends no later than here.
_MAX_TRANSCRIPT = {"desta2": 448, "desta2.5": 128}
_ENCODER_FACTS = ("encoder_layers", "d_model", "encoder_attention_heads")
# What the published code builds whatever the files say.
_PUBLISHED_INTERMEDIATE = 3072
_PUBLISHED_DESTA2_LAYERS = 2


@dataclass(frozen=True)
class Converted:
    """What a conversion wrote.

    Attributes:
        folder: Where.
        config: The model, as ours.
        parameters: How many weights its adapter has.
    """

    folder: Path
    config: Desta2Config
    parameters: int


def import_published(
    source: str,
    folder: Path,
    *,
    llm_id: str | None = None,
    encoder_id: str | None = None,
    tap_convention: Literal["training", "published-inference"] | None = None,
    bos_policy: Literal["template", "published-inference"] | None = None,
    **hub_options: Any,
) -> Converted:
    """Make a model folder of a published checkpoint.

    Args:
        source: Folder or hub id of a DeSTA2 or DeSTA2.5 checkpoint.
        folder: Where the model goes; made where needed.
        llm_id: Folder or hub id of the frozen LLM, instead of the one that the checkpoint names.
        encoder_id: The same for the Whisper.
        tap_convention: "training": the encoder layers that the published training code reads.
            "published-inference": the layer before each of them. Default: what the published inference code
            reads, that is the latter for DeSTA2 and the former for DeSTA2.5.
        bos_policy: See `Desta2Config`. Default: "published-inference" for DeSTA2 with the taps of that name,
            else "template".
        hub_options: For the checkpoint, as in transformers: `revision`, `token`, `cache_dir`, …

    Raises:
        CheckpointError: The checkpoint is incomplete, or does not fit the frozen models.
        InputError: The folder cannot be written.
    """
    published = read_published(source, read_config(source, **hub_options), **hub_options)
    layout = published.layout
    sizes: dict[str, Any] = dict(published.sizes)
    hub = {name: value for name, value in hub_options.items() if name != "revision"}
    llm = _base(llm_id, published.config, layout.llm_key, source)
    encoder = _base(encoder_id, published.config, layout.encoder_key, source)
    facts = _checked_facts(source, published, llm, encoder, hub)
    if tap_convention is None:
        tap_convention = "published-inference" if layout is DESTA2 else "training"
    if bos_policy is None:
        bos_policy = tap_convention if layout is DESTA2 and tap_convention != "training" else "template"
    taps = published.config.get("target_layer_ids")
    taps = taps or default_tap_layers(facts["encoder_layers"], sizes["n_taps"])
    del sizes["n_taps"]
    config = Desta2Config(
        llm_id=_id_from(folder, llm),
        encoder_id=_id_from(folder, encoder),
        llm_fingerprint=checkpoint.fingerprint_at_hand(llm, **hub),
        encoder_fingerprint=checkpoint.fingerprint_at_hand(encoder, **hub),
        layout=layout.name,
        system_prompt=None,  # the published code adds none
        bos_policy=bos_policy,
        encoder_layers=facts["encoder_layers"],
        tap_layers=taps if tap_convention == "training" else [tap - 1 for tap in taps],
        adapter_heads=facts["encoder_attention_heads"],
        max_transcript_tokens=_MAX_TRANSCRIPT[layout.name],
        strip_transcripts=layout is not DESTA2,
        **sizes,
    )
    _make_folder(folder, source)
    checkpoint.write_tensors(published.tensors, folder / checkpoint.ADAPTER_FILE)
    config.save_pretrained(folder)
    return Converted(folder, config, sum(tensor.numel() for tensor in published.tensors.values()))


def export_published(
    source: str,
    folder: Path,
    to: Literal["desta2", "desta2.5"],
    *,
    llm_id: str | None = None,
    encoder_id: str | None = None,
    **hub_options: Any,
) -> Converted:
    """Write a model folder of ours as a published checkpoint.

    Args:
        source: Folder or hub id of a model of ours.
        folder: Where the checkpoint goes; made where needed.
        to: "desta2" or "desta2.5": the layout that the model itself has.
        llm_id: Id of the LLM to write, instead of the one that the model names.
        encoder_id: The same for the Whisper. The published code wants hub ids.
        hub_options: For the model, as in transformers.

    Raises:
        CheckpointError: The model is incomplete, or the published layout has no place for what it is.
        InputError: The folder cannot be written.
    """
    layout = LAYOUTS[to]
    if (found := read_config(source, **hub_options).get("model_type")) != Desta2Config.model_type:
        raise CheckpointError(f"{source} is no desta2 model: its config.json says model_type {found!r}")
    path = checkpoint.model_folder(source, **hub_options)
    config = Desta2Config.from_pretrained(path)
    llm = llm_id or checkpoint.resolve_base(config.llm_id, path)
    encoder = encoder_id or checkpoint.resolve_base(config.encoder_id, path)
    _check_exportable(source, config, layout, encoder)
    with torch.device("meta"):
        expected = Adapter(config).state_dict()
    tensors = checkpoint.read_adapter(path, expected)
    _make_folder(folder, source)
    write_published(folder, layout, _published_config(layout, config, llm, encoder), tensors)
    return Converted(folder, config, sum(tensor.numel() for tensor in tensors.values()))


# The frozen models


def _base(given: str | None, config: dict[str, Any], key: str, source: str) -> str:
    """Id of a frozen model: the given one, or what the checkpoint names."""
    base = given or config.get(key)
    if not base:
        raise CheckpointError(f"{source} names no {key}; give the frozen models with --llm and --encoder")
    checkpoint.resolve_base(base, None)  # complains about a path that is not there
    return str(base)


def _checked_facts(
    source: str, published: Published, llm: str, encoder: str, hub: dict[str, Any]
) -> dict[str, int]:
    """Depth, width and heads of the Whisper, after comparing all that is known of the frozen models.

    Raises:
        CheckpointError: Something contradicts the checkpoint, or the Whisper's configuration is needed and
            not within reach.
    """
    inside = published.config.get("encoder_config")
    stated = (
        {fact: inside[fact] for fact in _ENCODER_FACTS if fact in inside} if isinstance(inside, dict) else {}
    )
    known = len(stated) == len(_ENCODER_FACTS)
    whisper = bases.read_config("Whisper", encoder, needed=not known, **hub)
    facts: dict[str, int] = (
        stated
        if whisper is None
        else {fact: getattr(whisper, fact) for fact in _ENCODER_FACTS if hasattr(whisper, fact)}
    )
    if len(facts) < len(_ENCODER_FACTS):
        raise CheckpointError(
            f"{encoder} is no Whisper: its configuration has not all of {', '.join(_ENCODER_FACTS)}"
        )
    problems = [
        f"{fact} of the Whisper {encoder} is {facts[fact]}, the checkpoint states {value}"
        for fact, value in stated.items()
        if facts[fact] != value
    ]
    sizes = published.sizes
    if facts["d_model"] != sizes["d_encoder"]:
        problems.append(
            f"d_model of the Whisper {encoder} is {facts['d_model']}, the connector's {sizes['d_encoder']}"
        )
    if facts["encoder_layers"] < sizes["n_taps"]:
        problems.append(
            f"the Whisper {encoder} has {facts['encoder_layers']} encoder layers, the connector reads "
            f"{sizes['n_taps']}"
        )
    language_model = bases.read_config("LLM", llm, needed=False, **hub)
    width = getattr(language_model.get_text_config(), "hidden_size", None) if language_model else None
    if width not in (None, sizes["d_llm"]):
        problems.append(f"hidden_size of the LLM {llm} is {width}, the connector's output {sizes['d_llm']}")
    if problems:
        raise CheckpointError(f"{source} was not made for these frozen models: " + "; ".join(problems))
    return facts


def _id_from(folder: Path, base: str) -> str:
    """Id of a frozen model as it stands in `folder`'s configuration: a relative path is relative to that."""
    shipped = checkpoint.resolve_base(base, None) != base
    if shipped or Path(base).is_absolute() or not Path(base).is_dir():
        return base
    relative = os.path.relpath(Path(base).resolve(), folder.resolve())
    return relative if relative.startswith(".") else f"./{relative}"


def _make_folder(folder: Path, source: str) -> None:
    if folder.is_dir() and Path(source).is_dir() and folder.samefile(source):
        raise InputError(f"{folder} is the checkpoint itself; give another folder to write to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error


# Export


def _check_exportable(source: str, config: Desta2Config, layout: Layout, encoder: str) -> None:
    """Refuse what a published layout has no place for, and warn of what the published code does otherwise."""
    problems = []
    if config.layout != layout.name:
        problems.append(f"its prompts have the layout {config.layout!r}")
    if config.lora is not None:
        problems.append("its LLM is changed by LoRA weights")
    if config.standardise_taps:
        problems.append("it standardises its taps")
    if config.normalise_outputs:
        problems.append("it normalises its outputs")
    if config.encoder_frames != "all":
        problems.append("it hears only the frames of a clip's own length")
    nominal = default_tap_layers(config.encoder_layers, len(config.tap_layers))
    before = [tap - 1 for tap in nominal]
    if layout is DESTA2 and config.tap_layers not in (nominal, before):
        problems.append(
            f"it reads the encoder layers {config.tap_layers}, where DeSTA2 can only mean {nominal}"
        )
    if layout is not DESTA2 and min(config.tap_layers) < 0:
        problems.append("it reads the input of the first encoder layer")
    whisper = bases.read_config("Whisper", encoder, needed=False)
    heads = getattr(whisper, "encoder_attention_heads", config.adapter_heads)
    if heads != config.adapter_heads:
        problems.append(
            f"it has {config.adapter_heads} heads, where the published code takes the Whisper's {heads}"
        )
    if problems:
        raise CheckpointError(f"{source} cannot be written as {layout.name}: " + "; ".join(problems))
    if layout is DESTA2 and config.tap_layers == nominal:
        log.warning(
            "the published inference code will read the layers %s, this model reads %s", before, nominal
        )
    if config.adapter_intermediate != _PUBLISHED_INTERMEDIATE or (
        layout is DESTA2 and config.adapter_layers != _PUBLISHED_DESTA2_LAYERS
    ):
        log.warning("the published code builds other sizes and will not load this connector")


def _published_config(layout: Layout, config: Desta2Config, llm: str, encoder: str) -> dict[str, Any]:
    """What the `config.json` of a published checkpoint says."""
    if Path(llm).is_dir() or Path(encoder).is_dir():
        log.warning("the published code wants hub ids: give them with --llm and --encoder")
    common = {
        "model_type": layout.model_type,
        layout.llm_key: llm,
        layout.encoder_key: encoder,
        "prompt_size": config.n_queries,
    }
    if layout is DESTA2:
        return common
    return {
        **common,
        "architectures": ["DeSTA25AudioModel"],
        "audio_locator": "<|AUDIO|>",
        "connector_mode": "qformer_1",
        "placeholder_token": "<|reserved_special_token_87|>",  # of Llama 3; must be in the LLM's vocabulary
        "qformer_num_hidden_layers": config.adapter_layers,
        "target_layer_ids": config.tap_layers,
        "use_lora": False,
        "encoder_config": {
            "_name_or_path": encoder,
            "model_type": "whisper",
            "encoder_layers": config.encoder_layers,
            "d_model": config.d_encoder,
            "encoder_attention_heads": config.adapter_heads,
        },
        "llm_config": {"_name_or_path": llm, "hidden_size": config.d_llm},
    }
