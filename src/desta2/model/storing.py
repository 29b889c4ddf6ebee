"""A model from frozen bases, from a folder or the hub, and back to one; `Desta2Model` inherits it.

What reads and writes is in `bases`, `checkpoint` and `saving`; here stands in which order, so that whatever
can fail without loading a weight fails first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from desta2.errors import ConfigError
from desta2.model import bases, checkpoint, lora, saving, skeleton
from desta2.model.configuration import Desta2Config
from desta2.model.fast import chosen_dtype, quantise
from desta2.model.modelcard import CardFacts
from desta2.model.processing import Desta2Processor

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


class Stored:
    """The part of a `Desta2Model` that is loaded and saved."""

    @classmethod
    def from_bases(
        cls,
        llm_id: str,
        encoder_id: str,
        *,
        dtype: Any = None,
        encoder_dtype: Any = None,
        device_map: Any = None,
        quantization_config: Any = None,
        **config: Any,
    ) -> Desta2Model:
        """A fresh adapter between two frozen models.

        Args:
            llm_id: Folder or hub id of the LLM.
            encoder_id: Folder or hub id of the Whisper.
            dtype: Type of the frozen models; None as stored. The adapter is always float32.
            encoder_dtype: Type of the Whisper, where it is to be another.
            device_map: Where the LLM goes, as in transformers; Whisper and adapter follow its embeddings.
            quantization_config: Loads the LLM in 8 or 4 bits; one of transformers' configurations for that.
            config: Further keys of `Desta2Config`. Widths, depth and heads are read from the models; outputs
                start at the standard deviation of the LLM's embeddings unless `output_scale` is given.
        """
        # A misspelt key fails here, before any weight loads; values are checked once the widths are known.
        lora.check_installed(
            Desta2Config(**{k: v for k, v in config.items() if k not in ("tap_layers", "adapter_heads")})
        )
        llm_path, encoder_path = (checkpoint.resolve_base(base, None) for base in (llm_id, encoder_id))
        llm, whisper = bases.load(
            llm_path, encoder_path, dtype, device_map, quantization_config, encoder_dtype=encoder_dtype
        )
        facts = {
            "d_llm": bases.llm_width(llm),
            "d_encoder": whisper.config.d_model,
            "encoder_layers": whisper.config.encoder_layers,
            "adapter_heads": whisper.config.encoder_attention_heads,
            "output_scale": (scale := bases.embedding_std(llm)),
            "llm_embedding_std": scale,
            "llm_fingerprint": checkpoint.base_fingerprint(llm_path, llm),
            "encoder_fingerprint": checkpoint.base_fingerprint(encoder_path, whisper),
        }
        full = Desta2Config(llm_id=llm_id, encoder_id=encoder_id, **{**facts, **config})
        processor = Desta2Processor.from_bases(full, llm_path, encoder_path)
        return cast("type[Desta2Model]", cls)(full, whisper, llm, processor)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | os.PathLike[str],
        *,
        dtype: Any = None,
        device_map: Any = None,
        quantization_config: Any = None,
        llm_id: str | None = None,
        encoder_id: str | None = None,
        allow_other_bases: bool = False,
        fast: bool = False,
        embeddings_only: bool = False,
        **options: Any,
    ) -> Desta2Model:
        """Load a model folder or hub id and the frozen models that it names.

        Args:
            path_or_id: Folder or hub id with `config.json` and `adapter.safetensors`.
            dtype: Type of the frozen models; None as stored. The adapter is always float32.
            device_map: Where the LLM goes, as in transformers; Whisper and adapter follow its embeddings.
            quantization_config: Loads the LLM in 8 or 4 bits; one of transformers' configurations for that.
            llm_id: Take the LLM from here instead of from where the configuration says.
            encoder_id: Take the Whisper from here.
            allow_other_bases: Accept frozen models with other weights than in training.
            fast: For answering only: bfloat16 where the hardware computes in it, else int8 on the CPU.
                Answers change a little.
            embeddings_only: Of the LLM only its input embeddings, on the one device that `device_map` names:
                for hearing and prompts, which an engine elsewhere answers (see `skeleton`).
            options: `config`, and hub options (`token`, `cache_dir`, …; `revision` is the model folder's).

        Raises:
            CheckpointError: Something is missing, does not fit, or is not what the adapter was trained with.
            ConfigError: An option or a configuration key is unknown, an option cannot be had with `fast` or
                `embeddings_only`, or peft is missing.
        """
        hub = {name: options.pop(name) for name in bases.HUB_OPTIONS if name in options}
        config = options.pop("config", None)
        # AutoModel adds options of its own to what the user gives.
        if unknown := [name for name in options if name not in bases.AUTO_OPTIONS and name[0] != "_"]:
            raise ConfigError(f"unknown options of from_pretrained: {', '.join(unknown)}")
        folder = checkpoint.model_folder(path_or_id, **hub)
        config = config or Desta2Config.from_pretrained(folder)
        lora.check_installed(config)
        if embeddings_only:
            skeleton.check_options(config, quantization_config)
        if config.lora is not None:
            checkpoint.model_folder(path_or_id, lora.FILES, **hub)
        if fast:
            dtype = chosen_dtype(dtype, device_map, quantization_config, config.lora)
        llm_path = checkpoint.resolve_base(llm_id or config.llm_id, None if llm_id else folder)
        encoder_path = checkpoint.resolve_base(
            encoder_id or config.encoder_id, None if encoder_id else folder
        )
        base_hub = bases.of_bases(hub)
        if embeddings_only:
            llm = skeleton.load(llm_path, dtype, device_map, **base_hub)
        else:
            llm = bases.load_llm(llm_path, dtype, device_map, quantization_config, **base_hub)
        whisper = bases.load_whisper(encoder_path, dtype, bases.device_of(llm), **base_hub)
        if not allow_other_bases:
            cache = hub.get("cache_dir")
            if embeddings_only:
                skeleton.check(llm_path, llm, config, cache)
            else:
                checkpoint.check_base("LLM", llm_path, llm, config.llm_fingerprint, cache)
            checkpoint.check_base("Whisper", encoder_path, whisper, config.encoder_fingerprint, cache)
        if fast and dtype is None:
            for module in [whisper] if embeddings_only else [llm, whisper]:
                quantise(module)
        processor = Desta2Processor.from_bases(config, llm_path, encoder_path, **base_hub)
        model = cast("type[Desta2Model]", cls)(config, whisper, llm, processor)
        model._base_paths = {"llm_id": llm_path, "encoder_id": encoder_path}
        model._folder = folder
        model.load_weights(folder)
        return model

    def load_weights(self, folder: Path) -> None:
        """Take what was trained, the adapter and LoRA where there is any, from a model folder.

        Raises:
            CheckpointError: Something is missing or does not fit exactly.
        """
        model = cast("Desta2Model", self)
        checkpoint.load_adapter(model.adapter, folder)
        if model.config.lora is not None:
            lora.load(model.llm, folder)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        push_to_hub: bool = False,
        *,
        card: CardFacts | None = None,
        repo_id: str | None = None,
        **options: Any,
    ) -> None:
        """Write `adapter.safetensors`, `config.json` and a model card (`README.md`), with LoRA also `lora/`.

        The frozen models are named, not copied. One that the configuration names by a relative folder is
        named relative to the new place. A card that a person wrote or edited is left alone.

        Args:
            save_directory: Created where needed.
            is_main_process: False writes nothing: another process of the same training does.
            state_dict: State of the whole model to take the trained weights from, as gathered in training.
            push_to_hub: Also send it to the hub, as `repo_id` (default: the folder's name).
            card: What only the caller knows for the card: training data and scores.
            repo_id: See `push_to_hub`.
            options: For `push_to_hub`; what only concerns the splitting of weights into files is ignored.

        Raises:
            ConfigError: An option is unknown.
        """
        hub = {name: options.pop(name) for name in saving.PUSH_OPTIONS if name in options}
        if unknown := [name for name in options if name not in saving.FILE_OPTIONS]:
            raise ConfigError(f"unknown options of save_pretrained: {', '.join(unknown)}")
        if not is_main_process:
            return
        folder = Path(save_directory)
        model = cast("Desta2Model", self)
        saving.save_model(model, folder, state_dict, card)
        if push_to_hub:
            model._folder = folder  # its card goes along
            model.push_to_hub(repo_id or folder.resolve().name, card=card, **hub)

    def push_to_hub(self, repo_id: str, *, card: CardFacts | None = None, **options: Any) -> str:
        """Send the model folder to the hub in one commit, whose address is returned.

        Args:
            repo_id: Made if it is not there.
            card: As in `save_pretrained`.
            options: As in transformers; see `saving.push`.
        """
        return saving.push_model(cast("Desta2Model", self), repo_id, card, **options)
