"""Everything between a user's files and the model's tensors, and back.

The processor holds the Whisper feature extractor and both tokenizers. It saves nothing but the configuration:
the tokenizers belong to the frozen models and are loaded with them, so they cannot drift apart.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoTokenizer

from desta2.errors import CheckpointError, InputError
from desta2.model.checkpoint import model_folder, resolve_base
from desta2.model.configuration import Desta2Config
from desta2.model.messages import Turn
from desta2.model.prompt import Prompt, build_prompt


class Desta2Processor:
    """Audio → features, messages → prompt, token ids → text.

    Args:
        config: The model's configuration.
        feature_extractor: Of the frozen Whisper.
        tokenizer: Of the LLM.
        whisper_tokenizer: Of the frozen Whisper.
    """

    def __init__(
        self, config: Desta2Config, feature_extractor: Any, tokenizer: Any, whisper_tokenizer: Any
    ) -> None:
        self.config = config
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer
        self.whisper_tokenizer = whisper_tokenizer

    @classmethod
    def from_bases(
        cls, config: Desta2Config, llm: str, encoder: str, **hub_options: Any
    ) -> "Desta2Processor":
        """Load the parts from the folders or hub ids of the frozen models."""
        try:
            return cls(
                config,
                feature_extractor=AutoFeatureExtractor.from_pretrained(encoder, **hub_options),
                tokenizer=AutoTokenizer.from_pretrained(llm, **hub_options),
                whisper_tokenizer=AutoTokenizer.from_pretrained(encoder, **hub_options),
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot load the processor of {llm} and {encoder}: {error}") from error

    @classmethod
    def from_pretrained(
        cls, path_or_id: str | os.PathLike[str], *, config: Desta2Config | None = None, **hub_options: Any
    ) -> "Desta2Processor":
        """Load the processor of a model folder or hub id."""
        hub_options.pop("trust_remote_code", None)
        hub_options.pop("_from_auto", None)
        folder = model_folder(path_or_id, **hub_options)
        config = config or Desta2Config.from_pretrained(folder)
        llm, encoder = resolve_base(config.llm_id, folder), resolve_base(config.encoder_id, folder)
        return cls.from_bases(config, llm, encoder)

    def save_pretrained(self, folder: str | os.PathLike[str], **_: Any) -> None:
        """Write `config.json`, from which `from_pretrained` finds everything again."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.config.save_pretrained(folder)

    @property
    def window_seconds(self) -> float:
        """Longest clip that the encoder sees at once."""
        return float(self.feature_extractor.n_samples / self.feature_extractor.sampling_rate)

    def load_audio(self, audio: Any) -> np.ndarray:
        """Read a path, the bytes of a file, or samples at the model's rate, as (samples,) float32.

        Raises:
            AudioError: It cannot be read.
            InputError: It is longer than `max_clip_seconds` of the configuration.
        """
        from desta2.data.audio import load_audio

        rate = self.feature_extractor.sampling_rate  # what `load_audio` returns; files state their own
        samples = load_audio(audio, sampling_rate=rate if isinstance(audio, np.ndarray) else None)
        if len(samples) > self.config.max_clip_seconds * rate:
            raise InputError(
                f"the clip lasts {len(samples) / rate:.2f} s, but this model takes clips of at most "
                f"{self.config.max_clip_seconds:g} s (max_clip_seconds in its configuration); cut it, or "
                "raise the limit"
            )
        return samples

    def features(self, audios: Sequence[Any]) -> Tensor:
        """Log-mel features of clips (path, bytes or samples each): (n_audio, n_mels, frames).

        Raises:
            AudioError: One cannot be read.
            InputError: One is longer than the encoder's window (`windows.split` cuts such a clip).
        """
        arrays = [self.load_audio(audio) for audio in audios]
        rate = self.feature_extractor.sampling_rate
        for samples in arrays:
            if len(samples) > self.feature_extractor.n_samples:
                raise InputError(
                    f"the clip lasts {len(samples) / rate:.2f} s, but this Whisper hears at most "
                    f"{self.window_seconds:.2f} s at once; cut it into shorter clips"
                )
        return self.feature_extractor(arrays, sampling_rate=rate, return_tensors="pt").input_features

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any] | Turn],
        transcripts: Sequence[str | Sequence[str] | None] | None = None,
        n_queries: int | None = None,
    ) -> Prompt:
        """`build_prompt` with this model's tokenizer and configuration."""
        return build_prompt(messages, self.tokenizer, self.config, transcripts, n_queries)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of an answer, without special tokens, and as the LLM wrote it.

        Some tokenizers ask for a clean-up that takes spaces away (`x != y` → `x!= y`); it is left out.
        """
        return str(
            self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )
