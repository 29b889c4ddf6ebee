"""What a training step is measured on: models of random weights, and a batch.

On a CPU the frozen models are loaded from folders, as in training: pages of weights that no step touches
(those of the Whisper, when taps are cached) then take no memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import RATE, speech
from random_models import Size, llm_config, whisper_config
from torch import Tensor
from transformers import AutoModelForCausalLM, WhisperFeatureExtractor, WhisperForConditionalGeneration

from desta2 import Desta2Config, Desta2Model
from desta2.model.configuration import default_tap_layers

BEFORE, AFTER, TRANSCRIPT, TARGET = 20, 37, 32, 96  # tokens of a row; the clip's vectors stand behind BEFORE
FRAMES_PER_SECOND, WINDOW = 50, 1500


@dataclass(frozen=True)
class Setting:
    """What is trained, and how.

    Attributes:
        cached: taps are given (as float16, as a cache on disk holds them); else the encoder is in the step.
        frames: `encoder_frames` of the configuration; cached taps are cut accordingly.
        dtype: of the frozen models; with bfloat16 the adapter runs under autocast.
        encoder_dtype: of the Whisper, where it is another.
    """

    size: Size
    cached: bool
    frames: str = "all"
    batch: int = 4
    seconds: float = 5.0
    taps: int = 4
    queries: int = 64
    layers: int = 6
    dtype: str = "float32"
    encoder_dtype: str | None = None
    device: str = "cpu"
    checkpointing: bool = False
    compiled: bool = False

    @property
    def length(self) -> int:
        """Tokens of a row."""
        return BEFORE + self.queries + TRANSCRIPT + AFTER + TARGET

    @property
    def tap_layers(self) -> list[int]:
        """Of the configuration."""
        return default_tap_layers(self.size.whisper_layers, self.taps)


def write_bases(size: Size, folder: Path) -> None:
    """Write the frozen models of a size into `folder`."""
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(llm_config(size)).save_pretrained(folder / "llm")
    WhisperForConditionalGeneration(whisper_config(size)).save_pretrained(folder / "whisper")


def _bases(setting: Setting, folder: Path) -> tuple[Any, Any]:
    """The Whisper and the LLM; on a GPU, whose machine need not hold them, made in place."""
    dtype = getattr(torch, setting.dtype)
    encoder_dtype = getattr(torch, setting.encoder_dtype or setting.dtype)
    if setting.device == "cpu":
        whisper = WhisperForConditionalGeneration.from_pretrained(folder / "whisper", dtype=encoder_dtype)
        return whisper, AutoModelForCausalLM.from_pretrained(folder / "llm", dtype=dtype)
    with torch.device(setting.device):
        whisper = WhisperForConditionalGeneration(whisper_config(setting.size)).to(encoder_dtype)
        return whisper, AutoModelForCausalLM.from_config(llm_config(setting.size), dtype=dtype)


def made(setting: Setting, bases: Path) -> Desta2Model:
    """The model in training mode, its frozen models from the folder `bases` (CPU) or made anew."""
    size = setting.size
    config = Desta2Config(
        encoder_layers=size.whisper_layers,
        tap_layers=setting.tap_layers,
        n_queries=setting.queries,
        adapter_layers=setting.layers,
        adapter_heads=size.whisper_heads,
        d_encoder=size.whisper_width,
        d_llm=size.llm_width,
        encoder_frames=setting.frames,
    )
    model = Desta2Model(config, *_bases(setting, bases))
    if setting.checkpointing:
        model.gradient_checkpointing_enable()
    if setting.compiled:
        model.compile_blocks()
    return model.train()


def batch_of(setting: Setting) -> dict[str, Tensor]:
    """A batch as `Desta2Model.forward` takes it, on the device."""
    rows, length = setting.batch, setting.length
    ids = torch.randint(0, setting.size.llm_vocabulary, (rows, length))
    labels = ids.clone()
    labels[:, :-TARGET] = -100
    own = min(WINDOW, round(setting.seconds * FRAMES_PER_SECOND))
    batch = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": labels,
        "audio_slots": torch.tensor([[row, BEFORE] for row in range(rows)]),
        "frames": torch.full((rows,), own),
    }
    if setting.cached:
        kept = own if setting.frames == "speech" else WINDOW
        n_taps = len(setting.tap_layers)
        batch["taps"] = torch.randn(n_taps, rows, kept, setting.size.whisper_width).half()
    else:
        batch["input_features"] = features(rows, setting.seconds)
    return {name: tensor.to(setting.device) for name, tensor in batch.items()}


def features(count: int, seconds: float) -> Tensor:
    """Log-mel features (count, n_mels, frames) of clips of a length."""
    extract = WhisperFeatureExtractor()
    return extract(speech(count, seconds), sampling_rate=RATE, return_tensors="pt").input_features
