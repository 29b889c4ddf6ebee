"""Pairs whose clip, or whose words, are in data that is kept for evaluation.

Two filters. By text: the transcript, whole, without case and punctuation. By sound: a hash of the decoded
samples (mono, 16 kHz, 16 bits), so that a wav and the flac made from it are the same; a recording that went
through mp3, or was cut otherwise, is another one. The evaluation data is held in memory (about 200 bytes a
clip); a clip of the pairs is decoded only if its length is that of some evaluation clip, which a header tells
for wav and flac.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from desta2.data.check import config
from desta2.data.check.base import Filter, Finding, Unchecked
from desta2.data.check.item import Item
from desta2.data.check.text import count_letters, plain, shown
from desta2.data.seed import parse_seed
from desta2.errors import AudioError, InputError
from desta2.records import Clip, Record, read_records, resolve_audio

_TICK = 0.02  # seconds: lengths are compared with this precision before anything is decoded


class ContaminatedText(Filter):
    """The clip's words are those of an evaluation clip."""

    name: ClassVar[str] = "contaminated-text"
    about: ClassVar[str] = "has the words of a clip in --against"

    def __init__(self, against: Iterable[Path], settings: config.Contamination) -> None:
        self._min_letters = settings.min_letters
        self._seen: dict[bytes, str] = {}
        for path in against:
            for record in read_records(path, Record):
                for text in _texts(record.to_dict()):
                    if key := self._key(text):
                        self._seen.setdefault(key, f"{record.id!r} of {path}")

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        for text in item.transcripts:
            if (key := self._key(text)) and key in self._seen:
                return Finding(f"the words of {self._seen[key]}", shown(text))
        return None

    def _key(self, text: str) -> bytes | None:
        same = plain(text)
        if count_letters(same) < self._min_letters:
            return None
        return hashlib.blake2b(same.encode(), digest_size=16).digest()


class ContaminatedAudio(Filter):
    """The clip's samples are those of an evaluation clip."""

    name: ClassVar[str] = "contaminated-audio"
    about: ClassVar[str] = "has the sound of a clip in --against"
    last: ClassVar[bool] = True

    def __init__(self, against: Iterable[Path], data_root: Path | None) -> None:
        self._data_root = data_root
        self._seen: dict[bytes, str] = {}
        self._lengths: set[int] = set()
        for path in against:
            for record in read_records(path, Record):
                for entry in _clips(record.to_dict()):
                    self._note(entry, record.id, path)

    def find(self, item: Item) -> Finding | Unchecked | None:
        """See `Filter`."""
        for entry in item.clips:
            try:
                clip = _clip(entry, item.pair.id)
                place = resolve_audio(clip, item.folder, self._data_root)
                if not self._may_be_known(clip, place):
                    continue
                key, _ = _heard(clip, place)
            except AudioError as error:
                return Unchecked(_kind(error))
            if key in self._seen:
                return Finding(f"the sound of {self._seen[key]}", shown(clip.audio))
        return None

    def _note(self, entry: dict[str, Any], record_id: str, path: Path) -> None:
        clip = _clip(entry, record_id)
        key, seconds = _heard(clip, resolve_audio(clip, path, self._data_root))
        self._seen.setdefault(key, f"{record_id!r} of {path}")
        self._lengths.add(round(seconds / _TICK))

    def _may_be_known(self, clip: Clip, place: str | Path) -> bool:
        seconds = _stated_seconds(clip, place)
        return seconds is None or any(round(seconds / _TICK) + k in self._lengths for k in (-1, 0, 1))


def audio_hash(samples: NDArray[np.float32]) -> bytes:
    """16 bytes that two clips share if their samples (samples,), full scale 1, are the same at 16 bits."""
    levels = np.clip(np.round(samples * 32768.0), -32768, 32767).astype("<i2")
    return hashlib.blake2b(levels.tobytes(), digest_size=16).digest()


def _heard(clip: Clip, place: str | Path) -> tuple[bytes, float]:
    from desta2.data.audio import SAMPLE_RATE, load_audio

    samples = load_audio(place, start=clip.start, end=clip.end)
    return audio_hash(samples), len(samples) / SAMPLE_RATE


def _stated_seconds(clip: Clip, place: str | Path) -> float | None:
    """Length of a clip as far as it is told without decoding."""
    from desta2.data.headers import header_seconds

    if clip.end is not None:
        return clip.end - (clip.start or 0.0)
    whole = header_seconds(place)
    return None if whole is None else whole - (clip.start or 0.0)


def _clip(entry: dict[str, Any], record_id: str) -> Clip:
    try:
        return Clip.model_validate({"id": record_id} | {k: entry.get(k) for k in ("audio", "start", "end")})
    except ValidationError:
        raise AudioError(
            f"{record_id!r} names no clip: expected a path as 'audio', given {shown(str(entry), 80)}"
        ) from None


def _clips(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The clips of a record of any kind: its own `audio`, and those in its messages."""
    if isinstance(fields.get("audio"), str):
        yield fields
    for message in fields.get("messages") or []:
        listed = message.get("audios") if isinstance(message, dict) else None
        yield from (
            entry for entry in (listed if isinstance(listed, list) else []) if isinstance(entry, dict)
        )


def _texts(fields: dict[str, Any]) -> Iterator[str]:
    """What is spoken in the clips of a record: texts of clips and segments, and of the turns of its seed."""
    entries = [fields, *_clips(fields), *(s for s in fields.get("segments") or [] if isinstance(s, dict))]
    yield from (entry["text"] for entry in entries if isinstance(entry.get("text"), str))
    if isinstance(fields.get("seed"), str):
        try:
            yield from (turn.text for turn in parse_seed(fields["seed"]))
        except InputError:
            return


def _kind(error: AudioError) -> str:
    """Errors that differ by their file only count as one."""
    text = str(error)
    return (
        "no audio file (is --data-root right?)" if "no audio file at" in text else "audio that cannot be read"
    )
