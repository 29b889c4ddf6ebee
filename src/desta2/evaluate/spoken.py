"""Conversations with clips in the form that OpenAI-compatible servers take.

Every clip is decoded here, by the one opener of audio, and sent as wav (mono, 16 kHz, 16 bits): servers
differ in the formats that they take, but all of them take this one, and a broken clip shows before anything
is sent. The trade-off is size: a minute is 2.5 MB of base64, whatever it was before.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from desta2.data.audio import SAMPLE_RATE, load_audio
from desta2.model.messages import ClipPart, Turn, normalise


def openai_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages of any accepted form as OpenAI's: texts, and clips as `input_audio` parts in their places.

    A clip that has only a transcript becomes a text. Where a clip and a text meet, the line break that a
    prompt would have there is left out, since parts are separate anyway.

    Raises:
        InputError: the messages fit no form.
        AudioError: a clip cannot be read.
    """
    return [{"role": turn.role, "content": _content(turn)} for turn in normalise(messages)]


def _content(turn: Turn) -> str | list[dict[str, Any]]:
    if all(isinstance(part, str) for part in turn.parts):
        return "".join(map(str, turn.parts))
    return [found for part in turn.parts if (found := _part(part)) is not None]


def _part(part: str | ClipPart) -> dict[str, Any] | None:
    if isinstance(part, ClipPart) and part.audio is not None:
        rate = SAMPLE_RATE if isinstance(part.audio, np.ndarray) else None  # arrays are at the model's rate
        data = base64.b64encode(_wav(load_audio(part.audio, sampling_rate=rate))).decode()
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    text = (part.transcript or "") if isinstance(part, ClipPart) else part.strip("\n")
    return {"type": "text", "text": text} if text else None


def _wav(samples: np.ndarray) -> bytes:
    """The bytes of a wav file of (samples,) floats; what lies outside of ±1 is cut, as players do."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return buffer.getvalue()
