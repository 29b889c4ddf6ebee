"""What a training run is told: one YAML file, checked before any weight loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from desta2.config import StrictModel


class LoraOptions(StrictModel):
    """Low-rank updates of the LLM; see `Desta2Config`."""

    r: int = Field(8, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


class ModelConfig(StrictModel):
    """The frozen models and the adapter between them; keys not told of here are those of `Desta2Config`.

    Attributes:
        adapter: a model folder whose adapter training starts from, instead of a fresh one.
        dtype: of the frozen models, such as bfloat16; as stored without it.
        quantization_config: loads the LLM in 8 or 4 bits: `quant_method` (bitsandbytes, …) and the keys of
            transformers' configuration for it.
        encoder_dtype: of the Whisper, where it is to be another than `dtype`: bfloat16 is faster where the
            hardware computes in it.
        encoder_frames: "all": the adapter sees the whole window, as published. "speech": the frames of the
            clip's own length, which is faster for short clips.
    """

    llm: str
    encoder: str
    adapter: Path | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    quantization_config: dict[str, Any] | None = None
    lora: LoraOptions | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    layout: Literal["desta2", "desta2.5"] = "desta2"
    system_prompt: str | None = "Focus on the audio clips and instructions."
    tap_layers: list[int] | None = None
    n_queries: int = Field(64, ge=1)
    adapter_layers: int = Field(2, ge=1)
    adapter_intermediate: int = Field(3072, ge=1)
    adapter_heads: int | None = Field(None, ge=1)
    adapter_dropout: float = Field(0.1, ge=0, lt=1)
    standardise_taps: bool = False
    query_std: float = Field(1.0, gt=0)
    encoder_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    encoder_frames: Literal["all", "speech"] = "all"


class DataConfig(StrictModel):
    """Where the pairs are.

    Attributes:
        train: `.jsonl` files or folders of parts.
        audio_root: where relative audio paths are looked for first.
        cache_taps: encode each clip once and keep the encoder's taps on disk, in the output folder
            (taps × frames × width × 2 bytes a clip: small for nano, 9 MB for whisper-small).
    """

    train: list[Path] = Field(min_length=1)
    audio_root: Path | None = None
    cache_taps: bool = False


class RunConfig(StrictModel):
    """How long and how fast. The defaults are the paper's (arXiv 2409.20007, section 4.1).

    Attributes:
        epochs: passes over the pairs; `max_steps` overrides it.
        gradient_checkpointing: keep only the inputs of the LLM's layers for the backward pass and compute the
            rest anew: less memory for about a third more time.
        compile: let torch.compile fuse the layers of the LLM and the adapter; needs a C++ compiler, or Triton
            on a GPU.
    """

    output: Path
    epochs: float = Field(10, gt=0)
    max_steps: int | None = Field(None, ge=1)
    batch_size: int = Field(8, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(2000, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.98, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    bf16: bool = False
    seed: int = 0
    log_steps: int = Field(10, ge=1)
    save_steps: int = Field(500, ge=1)
    workers: int = Field(0, ge=0)
    gradient_checkpointing: bool = False
    compile: bool = False


class TrainConfig(StrictModel):
    """A whole training run."""

    model: ModelConfig
    data: DataConfig
    run: RunConfig
