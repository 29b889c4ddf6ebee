"""What the model hears of a clip: its vectors for the LLM and its transcript, from one encoder pass.

A `Heard` may stand in a message wherever audio may, so that many questions about one clip, or the later turns
of a conversation, cost no further pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from desta2.errors import RunError
from desta2.model.transcribe import transcribe

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model
    from desta2.model.processing import Desta2Processor


@dataclass(frozen=True)
class Heard:
    """A clip as the model heard it.

    Attributes:
        embeds: (n_queries, d_llm), the adapter's output.
        transcript: Whisper's, or the one that was given.
    """

    embeds: Tensor
    transcript: str


@torch.no_grad()
def hear(
    model: Desta2Model, audios: Sequence[Any], transcripts: Sequence[str | None] | None = None
) -> list[Heard]:
    """Hear clips: features, one encoder pass for all of them, transcripts for those that have none.

    Args:
        model: with a processor.
        audios: paths, bytes of audio files, or arrays of samples at the model's rate.
        transcripts: one per clip; None lets Whisper write it.

    Raises:
        InputError, AudioError: a clip cannot be used.
    """
    if not audios:
        return []
    processor = processor_of(model)
    words: list[str | None] = list(transcripts) if transcripts is not None else [None] * len(audios)
    encoded = model.encode(processor.features(audios))
    unwritten = [place for place, text in enumerate(words) if text is None]
    written = transcribe(
        model.whisper,
        processor.whisper_tokenizer,
        encoded.last_hidden_state[unwritten],
        model.config.max_transcript_tokens,
        strip=model.config.strip_transcripts,
    )
    for place, text in zip(unwritten, written, strict=True):
        words[place] = text
    embeds = model.adapter(encoded.taps)
    return [Heard(vectors, text or "") for vectors, text in zip(embeds, words, strict=True)]


def processor_of(model: Desta2Model) -> Desta2Processor:
    """The model's processor.

    Raises:
        RunError: it has none.
    """
    if model.processor is None:
        raise RunError("this model has no processor; load it with from_pretrained, or set model.processor")
    return model.processor
