"""The text of clips whose corpus has none, by Whisper.

Trade-off: the transcript is written as it will be for the model that is trained later (`model.transcribe`,
greedy, windows cut in pauses, nothing where nobody speaks), not by a decoder with beams and fallbacks: what
the LLM reads in a seed is then what it will read beside the audio. Importing this module loads torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from desta2.data.audio import SAMPLE_RATE
from desta2.data.estimates import mark_estimates
from desta2.data.vad import has_speech
from desta2.errors import CheckpointError
from desta2.model import bases, checkpoint
from desta2.model.transcribe import detect_languages, transcribe
from desta2.model.windows import split
from desta2.nano import base_id
from desta2.records import Clip

BATCH = 16
"""Windows that Whisper takes at a time."""

_MAX_NEW_TOKENS = 440  # what Whisper's decoder has room for beside its prompt, in a window of 30 s

Samples = NDArray[np.float32]


class Transcriber:
    """A Whisper, loaded.

    Args:
        whisper: hub id or folder.

    Raises:
        CheckpointError: it cannot be loaded, or is no Whisper.
    """

    def __init__(self, whisper: str) -> None:
        from transformers import AutoFeatureExtractor, AutoTokenizer

        path = checkpoint.resolve_base(base_id("whisper", whisper), None)
        self.name = whisper
        device = torch.accelerator.current_accelerator() or torch.device("cpu")
        self._whisper: Any = bases.freeze(bases.load_whisper(path, None, device))
        try:
            self._extractor = AutoFeatureExtractor.from_pretrained(path)
            self._tokenizer = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot load the processor of the Whisper {whisper}: {error}") from error

    def write(self, clips: Sequence[Clip], samples: Sequence[Samples]) -> list[Clip]:
        """Give clips their text, and the language where the clip does not state it and Whisper tells it.

        Args:
            clips: each without a text.
            samples: of each clip, (samples,) at 16 kHz, of any length.

        Returns:
            the clips with `text`, marked as estimated; empty where nobody speaks.
        """
        windows: list[tuple[int, Samples]] = []
        for place, audio in enumerate(samples):
            windows += [(place, part) for part in split(audio, self._extractor.n_samples) if has_speech(part)]
        languages: list[str | None] = [_code(clip.language) for clip in clips]
        texts: list[list[str]] = [[] for _ in clips]
        for first in range(0, len(windows), BATCH):
            places = [place for place, _ in windows[first : first + BATCH]]
            encoded = self._encode([part for _, part in windows[first : first + BATCH]])
            for place, heard in zip(places, detect_languages(self._whisper, encoded), strict=True):
                languages[place] = languages[place] or heard  # the first window decides
            for place, text in zip(places, self._texts(encoded, [languages[p] for p in places]), strict=True):
                texts[place].append(text)
        return [
            self._with(clip, " ".join(filter(None, parts)), language)
            for clip, parts, language in zip(clips, texts, languages, strict=True)
        ]

    def _encode(self, windows: list[Samples]) -> Any:
        """Whisper's last hidden states, (windows, T, d_encoder)."""
        features = self._extractor(windows, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        encoder = self._whisper.get_encoder()
        with torch.no_grad():
            return encoder(features.to(encoder.layer_norm.weight)).last_hidden_state

    def _texts(self, encoded: Any, languages: Sequence[str | None]) -> list[str]:
        """The words of each window; those of one language are written together."""
        texts = [""] * len(languages)
        for language in dict.fromkeys(languages):
            rows = [row for row, spoken in enumerate(languages) if spoken == language]
            written = transcribe(self._whisper, self._tokenizer, encoded[rows], _MAX_NEW_TOKENS, language)
            for row, text in zip(rows, written, strict=True):
                texts[row] = text
        return texts

    def _with(self, clip: Clip, text: str, language: str | None) -> Clip:
        written = {"text": text} if clip.language else {"text": text, "language": language}
        found = {key: {"by": self.name} for key, value in written.items() if value is not None}
        return mark_estimates(clip.model_copy(update=written), found)


def _code(language: str | None) -> str | None:
    """The language of a tag, as Whisper names it: "en-GB" → "en"."""
    return re.split("[-_]", language)[0].lower() if language else None
