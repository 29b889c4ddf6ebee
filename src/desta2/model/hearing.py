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
        return Heard(self.embeds, _spread(transcript, len(self.texts)))


@dataclass(frozen=True)
class _Window:
    samples: np.ndarray
    text: str | None  # None: Whisper is to write it


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
        key: _windows(model, samples, text)
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


def _windows(model: Desta2Model, samples: np.ndarray, transcript: str | None) -> list[_Window]:
    parts = split(samples, processor_of(model).feature_extractor.n_samples)
    if transcript is not None:
        texts: Sequence[str | None] = _spread(transcript, len(parts))
    elif model.config.detect_speech:
        texts = [None if has_speech(part) else "" for part in parts]
    else:
        texts = [None] * len(parts)
    return [_Window(part, text) for part, text in zip(parts, texts, strict=True)]


def _spread(transcript: str, n_windows: int) -> tuple[str, ...]:
    """The words of a whole clip over its windows: nobody says where they part, so they follow all audio."""
    return ("",) * (n_windows - 1) + (transcript,)


def _listen(
    model: Desta2Model, windows: Sequence[_Window], language: str | None
) -> Iterator[tuple[Tensor, str]]:
    """Vectors (n_queries, d_llm) and words of each window."""
    processor = processor_of(model)
    for first in range(0, len(windows), WINDOWS_AT_ONCE):
        batch = windows[first : first + WINDOWS_AT_ONCE]
        encoded = model.encode(processor.features([window.samples for window in batch]))
        unwritten = [place for place, window in enumerate(batch) if window.text is None]
        written = iter(
            transcribe(
                model.whisper,
                processor.whisper_tokenizer,
                encoded.last_hidden_state[unwritten],
                model.config.max_transcript_tokens,
                language,
                strip=model.config.strip_transcripts,
            )
        )
        frames = torch.tensor([processor.frames(len(window.samples)) for window in batch])
        for window, vectors in zip(batch, model.adapter(encoded.taps, frames), strict=True):
            yield vectors, next(written) if window.text is None else window.text


def _digest(samples: np.ndarray) -> bytes:
    return hashlib.sha256(samples.tobytes()).digest()


def _state(model: Desta2Model) -> Hashable:
    """What the model hears with: the adapter's weights, where they are and how often they were written to."""
    tensors = [*model.adapter.parameters(), *model.adapter.buffers()]
    weights = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    config = model.config
    words = (config.detect_speech, config.max_transcript_tokens, config.strip_transcripts)
    return weights, words, config.encoder_frames
