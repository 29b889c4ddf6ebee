"""What the adapter hears of the training clips, made once.

The encoder is frozen, so its taps of a clip never change: they can be computed before training and kept on
disk as float16. That turns an epoch into work for the adapter and the LLM alone. The price is disk space,
which is why it is a choice (`data.cache_taps`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from desta2.data.audio import load_audio
from desta2.errors import AudioError
from desta2.model.transcribe import transcribe
from desta2.progress import track
from desta2.train.dataset import ClipRef

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

_BATCH = 32


def clip_features(model: Desta2Model, clips: Sequence[ClipRef]) -> Tensor:
    """Log-mel features (n_audio, n_mels, frames) of clips."""
    assert model.processor is not None
    return model.processor.features([load_audio(clip.path, start=clip.start, end=clip.end) for clip in clips])


def write_transcripts(model: Desta2Model, clips: Sequence[ClipRef]) -> dict[ClipRef, str]:
    """Whisper's transcripts of clips that have none."""
    assert model.processor is not None
    texts: dict[ClipRef, str] = {}
    for first in track(range(0, len(clips), _BATCH), description=f"transcribing {len(clips)} clips"):
        part = clips[first : first + _BATCH]
        heard = model.encode(clip_features(model, part)).last_hidden_state
        words = transcribe(
            model.whisper,
            model.processor.whisper_tokenizer,
            heard,
            model.config.max_transcript_tokens,
            strip=model.config.strip_transcripts,
        )
        texts |= zip(part, words, strict=True)
    return texts


class LiveFeatures:
    """Log-mel features, made anew each time: the encoder runs in every step.

    Args:
        model: whose feature extractor is used.
        clips: all clips that will be asked for.
    """

    key = "input_features"

    def __init__(self, model: Desta2Model, clips: Sequence[ClipRef]) -> None:
        self._model = model
        self._clips = clips

    def __call__(self, clip: ClipRef) -> Tensor:
        """Features of a clip, (n_mels, frames)."""
        return clip_features(self._model, [clip])[0]

    def sample(self, count: int = 256) -> Tensor:
        """Taps of the first `count` clips, (n_taps, n_audio, T, d_encoder), for `Adapter.calibrate`."""
        return self._model.encode(clip_features(self._model, self._clips[:count])).taps


class TapCache:
    """Encoder taps of clips in one memory-mapped file.

    Args:
        folder: gets `taps.npy` and `taps.json`; a file made by the same encoder, for the same taps and clips,
            is used again.
        model: whose encoder and tap layers are used.
        clips: all clips that will be asked for.
    """

    key = "taps"

    def __init__(self, folder: Path, model: Desta2Model, clips: Sequence[ClipRef]) -> None:
        self._rows = {clip: row for row, clip in enumerate(clips)}
        self.path = folder / "taps.npy"
        key = self._signature(model, clips)
        note = folder / "taps.json"
        if not (self.path.exists() and note.exists() and json.loads(note.read_text()) == key):
            note.unlink(missing_ok=True)  # first, so that it never stands beside another run's taps
            self._fill(model, clips)
            temporary = note.with_suffix(".json.tmp")
            temporary.write_text(json.dumps(key))
            temporary.replace(note)
        self._taps = np.load(self.path, mmap_mode="r")  # (clips, n_taps, T, d_encoder)

    def __call__(self, clip: ClipRef) -> Tensor:
        """Taps of a clip, (n_taps, T, d_encoder), float16."""
        return torch.from_numpy(np.array(self._taps[self._rows[clip]]))

    def sample(self, count: int = 256) -> Tensor:
        """Taps of the first `count` clips, (n_taps, n_audio, T, d_encoder), for `Adapter.calibrate`."""
        return torch.from_numpy(np.array(self._taps[:count])).float().transpose(0, 1)

    @staticmethod
    def _signature(model: Desta2Model, clips: Sequence[ClipRef]) -> dict[str, Any]:
        digest = hashlib.sha256()
        for clip in clips:
            try:
                stat = os.stat(clip.path)
            except OSError as error:
                raise AudioError(
                    f"{clip.path}: {error.strerror}; training needs clips as local files"
                ) from error
            digest.update(repr((clip, stat.st_size, stat.st_mtime_ns)).encode())
        config = model.config
        return {
            "encoder": config.encoder_fingerprint,
            "tap_layers": config.tap_layers,
            "clips": digest.hexdigest(),
        }

    def _fill(self, model: Desta2Model, clips: Sequence[ClipRef]) -> None:
        array = None
        temporary = self.path.with_suffix(".tmp")
        for first in track(range(0, len(clips), _BATCH), description=f"encoding {len(clips)} clips"):
            taps = model.encode(clip_features(model, clips[first : first + _BATCH])).taps  # (n_taps, n, T, d)
            part = taps.transpose(0, 1).half().cpu().numpy()
            if array is None:
                shape = (len(clips), *part.shape[1:])
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            array[first : first + len(part)] = part
        assert array is not None
        array.flush()
        temporary.replace(self.path)
