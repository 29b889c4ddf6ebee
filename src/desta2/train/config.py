"""What a training run is told: one YAML file, checked before any weight loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

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
        normalise_outputs: scales the adapter's vectors to the length of the LLM's embeddings.
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
    normalise_outputs: bool = False
    query_std: float = Field(1.0, gt=0)
    encoder_dtype: Literal["float32", "bfloat16", "float16"] | None = None
    encoder_frames: Literal["all", "speech"] = "all"


class TrainSet(StrictModel):
    """A set of pairs that counts more or less than others.

    Attributes:
        weight: how often each pair is seen in an epoch; 0.5 sees another random half in each.
    """

    path: Path
    weight: float = Field(1.0, gt=0)


class DataConfig(StrictModel):
    """Where the pairs are, and how they are heard.

    Attributes:
        train: files (`.jsonl`, also `.gz` and `.zst`, or `.parquet`) or folders of parts, of our pairs or of
            DeSTA2's or DeSTA-AQA5M's published columns; each a path, or `{path: …, weight: …}`.
        validation: more of them, to judge by; or the fraction of `train` to hold out: whole speakers where
            the pairs name them (`speaker`, of the pair or in an entry of `audios`), or else whole files.
        audio_root: where relative audio paths are looked for first.
        missing: what to do about audio that is missing or broken: stop, or name, count and skip it.
        max_tokens: longest pair, prompt, audio and response together; a longer one is left out, never cut.
        group_by_length: put pairs of similar length into a batch, so that little of it is padding.
        cache_taps: encode each clip once and keep the encoder's taps on disk (taps × frames × width × 2 bytes
            a window: small for nano, 9 MB for whisper-small). `true`: before the first step, as `desta2
            features` does ahead; `first_epoch`: as clips come.
        cache_dir: where; by default `taps` in the output folder. Runs may share one.
        cache_gb: most that `cache_dir` may hold, in GB; clips beyond are encoded in every epoch.
        cache_dtype: of the taps on disk.
        transcript_dropout: probability that a clip's transcript is left empty, against reliance on the words.
        transcript_mismatch: probability that another clip's transcript stands in its place, where the
            response repeats no word of the true one.
    """

    train: list[Path | TrainSet] = Field(min_length=1)
    validation: Annotated[float, Field(gt=0, lt=1)] | Path | list[Path] | None = None
    audio_root: Path | None = None
    missing: Literal["error", "skip"] = "error"
    max_tokens: int | None = Field(None, ge=1)
    group_by_length: bool = False
    cache_taps: bool | Literal["first_epoch"] = False
    cache_dir: Path | None = None
    cache_gb: float = Field(100.0, gt=0)
    cache_dtype: Literal["float16", "bfloat16"] = "float16"
    transcript_dropout: float = Field(0.0, ge=0, le=1)
    transcript_mismatch: float = Field(0.0, ge=0, le=1)

    @property
    def sets(self) -> list[TrainSet]:
        """The sets to train on, each with its weight."""
        return [own if isinstance(own, TrainSet) else TrainSet(path=own) for own in self.train]

    @property
    def validation_paths(self) -> list[Path]:
        """The files to judge by, where they are given."""
        given = self.validation
        if isinstance(given, list):
            return given
        return [given] if isinstance(given, Path) else []

    @property
    def validation_fraction(self) -> float:
        """The part of the training pairs to hold out."""
        return self.validation if isinstance(self.validation, float) else 0.0


class RunConfig(StrictModel):
    """How long and how fast. The defaults are the paper's (arXiv 2409.20007, section 4.1).

    Attributes:
        output: gets `checkpoints/`, `log.jsonl`, `tensorboard/` and the trained `model/`.
        epochs: passes over the pairs; `max_steps` overrides it.
        batch_size: pairs of one process at a time. A step takes this × gradient_accumulation × processes.
        save_steps: steps between checkpoints, each of which is evaluated first.
        keep_checkpoints: how many stay; the newest and the best always do.
        early_stop: evaluations without a better figure after which training ends.
        evaluate: a benchmark whose questions are asked during training, about `evaluate_clips` clips.
        fsdp: share the frozen models among the GPUs, instead of a copy on each.
        workers: processes that read clips ahead, for each training process.
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
    keep_checkpoints: int = Field(2, ge=2)
    early_stop: int | None = Field(None, ge=1)
    evaluate: Literal["nano"] | None = None
    evaluate_clips: int = Field(40, ge=1)
    report_to: tuple[Literal["tensorboard", "trackio", "wandb"], ...] = ("tensorboard",)
    fsdp: bool = False
    workers: int = Field(0, ge=0)
    gradient_checkpointing: bool = False
    compile: bool = False


class TrainConfig(StrictModel):
    """A whole training run."""

    model: ModelConfig
    data: DataConfig
    run: RunConfig
