"""The model: frozen Whisper, frozen LLM, and the adapter between them.

Only the adapter is trained, saved and loaded (and LoRA, where it is asked for). The frozen models stay in
evaluation mode whatever `train()` says; gradients pass through the LLM but not into it, and never enter the
encoder. Audio vectors are put at positions that the prompt builder states, never found by a special id, so
any LLM's vocabulary will do.
The loss computes logits only where some row of the batch has a label: with a vocabulary of 128,000 this saves
most of the memory of a training step, at the price that a training step returns no logits. Rows are not
packed into one: that takes a block-diagonal mask, which costs attention its fast kernels.
"""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from desta2.errors import ConfigError, InputError, RunError
from desta2.model import bases, blocks, checkpoint, lora, saving
from desta2.model.adapter import Adapter
from desta2.model.configuration import Desta2Config
from desta2.model.encoder import EncoderOutput, encode
from desta2.model.fast import chosen_dtype, is_quantised, quantise
from desta2.model.generation import Speaking
from desta2.model.memory import Memory
from desta2.model.modelcard import CardFacts
from desta2.model.processing import Desta2Processor

IGNORED_LABEL = -100


class Desta2Model(Speaking, PreTrainedModel):
    """A speech language model. Make one with `from_pretrained` or `from_bases`.

    Args:
        config: Fits the two frozen models.
        whisper: `WhisperForConditionalGeneration`.
        llm: A causal LM of transformers.
        processor: Needed by `chat` only.

    Raises:
        CheckpointError: Widths or depth of the models differ from the configuration.
    """

    config_class = Desta2Config
    config: Desta2Config
    base_model_prefix = "desta2"
    main_input_name = "input_ids"
    accepts_loss_kwargs = True  # the Trainer hands over num_items_in_batch

    def __init__(
        self,
        config: Desta2Config,
        whisper: nn.Module,
        llm: nn.Module,
        processor: Desta2Processor | None = None,
    ) -> None:
        super().__init__(config)
        bases.check_widths(config, whisper, llm)
        self.whisper: Any = bases.freeze(whisper)
        self.llm: Any = bases.freeze(llm)
        self.adapter = Adapter(config).to(bases.device_of(llm))
        if config.lora is not None:
            lora.add(self.llm, config)
        self._gain = bases.embedding_gain(llm, config.llm_embedding_std)
        self.processor = processor
        self.memory = Memory()
        self._base_paths = {"llm_id": config.llm_id, "encoder_id": config.encoder_id}
        self._folder: Path | None = None  # where the adapter was loaded from
        self.post_init()  # type: ignore[no-untyped-call]
        self.eval()  # type: ignore[no-untyped-call]

    def init_weights(self) -> None:
        """Nothing to do: the frozen models come with weights, and the adapter draws its own."""

    # Loading and saving

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
    ) -> "Desta2Model":
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
        return cls(full, whisper, llm, Desta2Processor.from_bases(full, llm_path, encoder_path))

    @classmethod
    def from_pretrained(  # type: ignore[override]
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
        **options: Any,
    ) -> "Desta2Model":
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
            options: `config`, and hub options (`token`, `cache_dir`, …; `revision` is the model folder's).

        Raises:
            CheckpointError: Something is missing, does not fit, or is not what the adapter was trained with.
            ConfigError: An option or a configuration key is unknown, an option cannot be had with `fast`, or
                peft is missing.
        """
        hub = {name: options.pop(name) for name in bases.HUB_OPTIONS if name in options}
        config = options.pop("config", None)
        # AutoModel adds options of its own to what the user gives.
        if unknown := [name for name in options if name not in bases.AUTO_OPTIONS and name[0] != "_"]:
            raise ConfigError(f"unknown options of from_pretrained: {', '.join(unknown)}")
        folder = checkpoint.model_folder(path_or_id, **hub)
        config = config or Desta2Config.from_pretrained(folder)
        lora.check_installed(config)
        if config.lora is not None:
            checkpoint.model_folder(path_or_id, lora.FILES, **hub)
        if fast:
            dtype = chosen_dtype(dtype, device_map, quantization_config, config.lora)
        llm_path = checkpoint.resolve_base(llm_id or config.llm_id, None if llm_id else folder)
        encoder_path = checkpoint.resolve_base(
            encoder_id or config.encoder_id, None if encoder_id else folder
        )
        base_hub = bases.of_bases(hub)
        llm, whisper = bases.load(llm_path, encoder_path, dtype, device_map, quantization_config, **base_hub)
        if not allow_other_bases:
            cache = hub.get("cache_dir")
            checkpoint.check_base("LLM", llm_path, llm, config.llm_fingerprint, cache)
            checkpoint.check_base("Whisper", encoder_path, whisper, config.encoder_fingerprint, cache)
        if fast and dtype is None:
            quantise(llm)
            quantise(whisper)
        processor = Desta2Processor.from_bases(config, llm_path, encoder_path, **base_hub)
        model = cls(config, whisper, llm, processor)
        model._base_paths = {"llm_id": llm_path, "encoder_id": encoder_path}
        model._folder = folder
        model.load_weights(folder)
        return model

    def load_weights(self, folder: Path) -> None:
        """Take what was trained, the adapter and LoRA where there is any, from a model folder.

        Raises:
            CheckpointError: Something is missing or does not fit exactly.
        """
        checkpoint.load_adapter(self.adapter, folder)
        if self.config.lora is not None:
            lora.load(self.llm, folder)

    def save_pretrained(  # type: ignore[override]
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
        saving.save_model(self, folder, state_dict, card)
        if push_to_hub:
            self._folder = folder  # its card goes along
            self.push_to_hub(repo_id or folder.resolve().name, card=card, **hub)

    def push_to_hub(  # type: ignore[override]
        self, repo_id: str, *, card: CardFacts | None = None, **options: Any
    ) -> str:
        """Send the model folder to the hub in one commit, whose address is returned.

        Args:
            repo_id: Made if it is not there.
            card: As in `save_pretrained`.
            options: As in transformers; see `saving.push`.
        """
        return saving.push_model(self, repo_id, card, **options)

    # Training

    def gradient_checkpointing_enable(self, *_: Any, **__: Any) -> None:
        """Keep only the inputs of the LLM's layers for the backward pass; see `blocks.recompute`.

        The Trainer calls it (`gradient_checkpointing` of its arguments). What transformers lets one choose
        about it is ignored.
        """
        blocks.recompute(self.llm)

    def compile_blocks(self, **options: Any) -> None:
        """Compile the layers of the LLM and of the adapter; see `blocks.compile_blocks`."""
        blocks.compile_blocks(self.llm, **options)
        blocks.compile_blocks(self.adapter, **options)

    def train(self, mode: bool = True) -> "Desta2Model":
        """Training mode for the adapter (and LoRA) only; the frozen models stay in evaluation mode.

        Raises:
            RunError: The model was loaded for answering only, in int8.
        """
        if mode and is_quantised(self.llm):
            raise RunError("a model loaded with fast=True cannot be trained here; load it without")
        super().train(mode)
        self.whisper.eval()
        self.llm.eval()
        if self.config.lora is not None:
            lora.set_training(self.llm, mode)
        return self

    # Forward

    def get_input_embeddings(self) -> nn.Module:
        """The LLM's."""
        return self.llm.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The LLM's."""
        return self.llm.get_output_embeddings()

    def encode(self, input_features: Tensor) -> EncoderOutput:
        """One encoder pass over (n_audio, n_mels, frames), for taps and transcript; no gradients."""
        features = input_features.to(self.whisper.device)
        return encode(self.whisper.get_encoder(), features, self.config.tap_layers)

    def get_audio_features(self, input_features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Clips as LLM vectors: (n_audio, n_mels, frames) → (n_audio, n_queries, d_llm).

        With `encoder_frames` "speech", `frames` (n_audio,) says how many encoder frames each clip lasts.
        """
        return self.adapter(self.encode(input_features).taps, frames)

    def embed(self, input_ids: Tensor, audio_embeds: Tensor | None, audio_slots: Tensor | None) -> Tensor:
        """LLM input embeddings with the clips' vectors at their positions.

        Args:
            input_ids: (batch, length).
            audio_embeds: (n_audio, n_queries, d_llm), or None without clips.
            audio_slots: (n_audio, 2): row in the batch and first position of each clip.

        Returns:
            (batch, length, d_llm).

        Raises:
            InputError: Clips and slots differ in number, or a slot lies outside the batch.
        """
        embeds = self.llm.get_input_embeddings()(input_ids)
        n_audio, n_slots = (0 if x is None else len(x) for x in (audio_embeds, audio_slots))
        if n_audio != n_slots:
            raise InputError(f"{n_audio} clips were given, but audio_slots names {n_slots} places for them")
        if audio_embeds is None or audio_slots is None or not n_audio:
            return embeds
        slots = audio_slots.to(embeds.device)
        rows = slots[:, :1]  # (n_audio, 1)
        positions = slots[:, 1:] + torch.arange(audio_embeds.shape[1], device=embeds.device)
        if int(slots.min()) < 0 or int(rows.max()) >= len(embeds) or int(positions.max()) >= embeds.shape[1]:
            raise InputError(
                f"audio_slots {slots.tolist()} with {audio_embeds.shape[1]} positions each do not lie inside "
                f"a batch of {embeds.shape[0]} rows of {embeds.shape[1]} tokens"
            )
        return embeds.index_put((rows, positions), (audio_embeds * self._gain).to(embeds))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        input_features: Tensor | None = None,
        taps: Tensor | None = None,
        audio_slots: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        frames: Tensor | None = None,
    ) -> CausalLMOutput:
        """Run the model; with labels, return the loss.

        Args:
            input_ids: (batch, length); ids at audio positions are ignored.
            attention_mask: (batch, length).
            input_features: (n_audio, n_mels, frames) of all clips of the batch, or
            taps: (n_taps, n_audio, T, d_encoder), cached encoder taps, which skip the encoder.
            audio_slots: (n_audio, 2): row in the batch and first position of each clip.
            labels: (batch, length), -100 where nothing is to be learned; shifted here.
            num_items_in_batch: Labels over all accumulated batches, to divide by; default: this batch's.
            frames: (n_audio,), how many encoder frames each clip lasts; only looked at, and needed, with
                `encoder_frames` "speech".

        Returns:
            With labels: `loss` only. Without: `logits` (batch, length, vocabulary).
        """
        embeds = self.embed(input_ids, self._audio_embeds(input_features, taps, frames), audio_slots)
        if labels is None:
            output = self.llm(inputs_embeds=embeds, attention_mask=attention_mask, use_cache=False)
            return CausalLMOutput(logits=output.logits)
        return CausalLMOutput(loss=self._loss(embeds, attention_mask, labels, num_items_in_batch))

    def _audio_embeds(
        self, input_features: Tensor | None, taps: Tensor | None, frames: Tensor | None
    ) -> Tensor | None:
        if input_features is not None and taps is not None:
            raise InputError("give input_features or taps, not both")
        if taps is not None:
            return self.adapter(taps, frames)
        return None if input_features is None else self.get_audio_features(input_features, frames)

    def _loss(
        self, embeds: Tensor, attention_mask: Tensor | None, labels: Tensor, n_items: Tensor | int | None
    ) -> Tensor:
        targets = labels[:, 1:]
        wanted = targets != IGNORED_LABEL  # (batch, length - 1); position i predicts target i
        keep = wanted.any(0).nonzero().squeeze(-1)  # positions where some row has a target
        if not len(keep):
            raise InputError("no label in the batch: every entry of labels is -100")
        logits = self._logits_at(embeds, _needed(attention_mask), keep)  # (batch, len(keep), vocabulary)
        wanted, targets = wanted[:, keep], targets[:, keep]
        total = F.cross_entropy(logits[wanted].float(), targets[wanted].to(logits.device), reduction="sum")
        return total / (wanted.sum() if n_items is None else n_items)

    def _logits_at(self, embeds: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
        """Logits at some positions, through the LLM's own head (with whatever scaling it applies)."""
        inputs = {"inputs_embeds": embeds, "attention_mask": attention_mask, "use_cache": False}
        if "logits_to_keep" in inspect.signature(self.llm.forward).parameters:
            return self.llm(**inputs, logits_to_keep=positions).logits
        return self.llm(**inputs).logits[:, positions]


def _needed(attention_mask: Tensor | None) -> Tensor | None:
    """The mask, or None where it hides nothing but padding on the right: no token before that sees it anyway.

    Attention without a mask has the faster kernels, and keeps the key and value heads unrepeated.
    """
    if attention_mask is None or bool((attention_mask[:, 1:] <= attention_mask[:, :-1]).all()):
        return None
    return attention_mask


def load(model: str | os.PathLike[str] = "nano", **options: Any) -> Desta2Model:
    """Load a model by folder, hub id, or the word "nano" for the one shipped with the package."""
    if str(model) == "nano":
        from desta2.nano import nano_path

        model = nano_path("model")
    return Desta2Model.from_pretrained(model, **options)
