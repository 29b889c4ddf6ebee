"""What the model hears of a clip: its vectors for the LLM and its transcript, from one encoder pass.

A clip longer than one Whisper window is heard in several (`windows`), each with vectors and words of its own.
A `Heard` may stand in a message wherever audio may, so that many questions about one clip cost no further
pass. For clips that are given as audio again, as those of earlier turns are, the model has a `Memory`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from desta2.data.vad import has_speech
from desta2.errors import RunError
from desta2.model.memory import Memory
from desta2.model.transcribe import language_token, transcribe
from desta2.model.windows import split

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model
    from desta2.model.processing import Desta2Processor

# In one encoder pass. All hidden states live for its duration: about 4 GB for 16 of Whisper-large in float32.
WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class Heard:
    """A clip as the model heard it.

    Attributes:
        embeds: (n_windows, n_queries, d_llm), the adapter's output.
        texts: Of each window: Whisper's words. A transcript that was given stands whole in the last.
    """

    embeds: Tensor
    texts: tuple[str, ...]

    @property
    def transcript(self) -> str:
        """The words of all windows, with white space between; those of a single one are left as they are."""
        words = ""
        for text in self.texts:
            words += f" {text}" if words and text and not text[0].isspace() else text
        return words

    def with_transcript(self, transcript: str) -> Heard:
        """The same clip with other words, which are those of the whole clip."""
        return Heard(self.embeds, spread(transcript, len(self.texts)))


@dataclass(frozen=True)
class Window:
    """A part of a clip that the encoder hears at once.

    Attributes:
        samples: (samples,) at the model's rate.
        text: Its words; None lets Whisper write them.
    """

    samples: np.ndarray
    text: str | None


@torch.no_grad()
def hear(
    model: Desta2Model,
    audios: Sequence[Any],
    transcripts: Sequence[str | None] | None = None,
    language: str | None = None,
) -> list[Heard]:
    """Hear clips: features, an encoder pass for every `WINDOWS_AT_ONCE` windows, words for those without.

    A clip that stands several times, or that the model's memory holds, is heard once.

    Args:
        model: With a processor.
        audios: Paths, bytes of audio files, or arrays of samples at the model's rate.
        transcripts: One per clip, used as it is; None lets Whisper write it.
        language: What is spoken, where a multilingual Whisper shall not detect it.

    Raises:
        InputError, AudioError: A clip or the language cannot be used.
        RunError: Speech is to be detected, and the detector is not installed.
    """
    if not audios:
        return []
    processor = processor_of(model)
    language = language_token(model.whisper, language)
    given = list(transcripts) if transcripts is not None else [None] * len(audios)
    clips = [processor.load_audio(audio) for audio in audios]
    keys = [(_digest(samples), text, language) for samples, text in zip(clips, given, strict=True)]
    # In training mode dropout makes every hearing another one.
    memory = Memory(0) if model.adapter.training else model.memory.of(_state(model))
    heard = {key: memory.get(key) for key in keys}
    new = {
        key: windows_of(processor, samples, text)
        for key, samples, text in zip(keys, clips, given, strict=True)
        if heard[key] is None
    }
    listened = _listen(model, [window for windows in new.values() for window in windows], language)
    for key, windows in new.items():
        own = [next(listened) for _ in windows]
        fresh = Heard(torch.stack([vectors for vectors, _ in own]), tuple(text for _, text in own))
        heard[key] = fresh
        memory.put(key, fresh)
    return [clip for key in keys if (clip := heard[key]) is not None]


def processor_of(model: Desta2Model) -> Desta2Processor:
    """The model's processor.

    Raises:
        RunError: it has none.
    """
    if model.processor is None:
        raise RunError("this model has no processor; load it with from_pretrained, or set model.processor")
    return model.processor


def windows_of(processor: Desta2Processor, samples: np.ndarray, transcript: str | None) -> list[Window]:
    """The windows of a clip, for chat and training alike.

    Args:
        processor: The model's.
        samples: (samples,) at the model's rate.
        transcript: Of the whole clip. Without one, a window in which nobody speaks gets an empty text where
            the configuration has `detect_speech`.

    Raises:
        RunError: Speech is to be detected, and the detector is not installed.
    """
    parts = split(samples, processor.feature_extractor.n_samples)
    if transcript is not None:
        texts: Sequence[str | None] = spread(transcript, len(parts))
    elif processor.config.detect_speech:
        texts = [None if has_speech(part) else "" for part in parts]
    else:
        texts = [None] * len(parts)
    return [Window(part, text) for part, text in zip(parts, texts, strict=True)]


def spread(transcript: str, n_windows: int) -> tuple[str, ...]:
    """The words of a whole clip over its windows: nobody says where they part, so they follow all audio."""
    return ("",) * (n_windows - 1) + (transcript,)


def encode_windows(
    model: Desta2Model, features: Tensor, texts: Sequence[str | None], language: str | None = None
) -> tuple[Tensor, list[str]]:
    """One encoder pass over windows, and the words of those that have none.

    Args:
        model: With a processor.
        features: (n_windows, n_mels, frames).
        texts: Of each window; None lets Whisper write it.
        language: What is spoken, where a multilingual Whisper shall not detect it.

    Returns:
        Taps (n_taps, n_windows, T, d_encoder), and a text for each window.
    """
    encoded = model.encode(features)
    unwritten = [place for place, text in enumerate(texts) if text is None]
    written = iter(
        transcribe(
            model.whisper,
            processor_of(model).whisper_tokenizer,
            encoded.last_hidden_state[unwritten],
            model.config.max_transcript_tokens,
            language,
            strip=model.config.strip_transcripts,
        )
    )
    return encoded.taps, [next(written) if text is None else text for text in texts]


def _listen(
    model: Desta2Model, windows: Sequence[Window], language: str | None
) -> Iterator[tuple[Tensor, str]]:
    """Vectors (n_queries, d_llm) and words of each window."""
    processor = processor_of(model)
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[first : first + WINDOWS_AT_ONCE]
        features = processor.features([window.samples for window in batch])
        taps, texts = encode_windows(model, features, [window.text for window in batch], language)
        frames = torch.tensor([processor.frames(len(window.samples)) for window in batch])
        yield from zip(model.adapter(taps, frames), texts, strict=True)


def _digest(samples: np.ndarray) -> bytes:
    return hashlib.sha256(samples.tobytes()).digest()


def _state(model: Desta2Model) -> Hashable:
    """What the model hears with: the adapter's weights, where they are and how often they were written to."""
    tensors = [*model.adapter.parameters(), *model.adapter.buffers()]
    weights = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    config = model.config
    words = (config.detect_speech, config.max_transcript_tokens, config.strip_transcripts)
    return weights, words, config.encoder_frames
