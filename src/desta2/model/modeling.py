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
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from desta2.errors import InputError, RunError
from desta2.model import bases, blocks, lora
from desta2.model.adapter import Adapter
from desta2.model.configuration import Desta2Config
from desta2.model.encoder import EncoderOutput, encode
from desta2.model.fast import is_quantised
from desta2.model.generation import Speaking
from desta2.model.memory import Memory
from desta2.model.processing import Desta2Processor
from desta2.model.storing import Stored

IGNORED_LABEL = -100


class Desta2Model(Stored, Speaking, PreTrainedModel):  # type: ignore[misc]
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
        wanted, targets = wanted[:, keep].to(logits.device), targets[:, keep].to(logits.device)
        if wanted.all():
            logits, targets = logits.flatten(0, 1), targets.flatten()
        else:  # a copy, made only where some row has fewer labels than there are positions
            logits, targets = logits[wanted], targets[wanted]
        total = F.cross_entropy(logits.float(), targets, reduction="sum")
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
