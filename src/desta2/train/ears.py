"""What training hears of a clip: log-mel features, or the encoder's taps where the cache has them.

Ears decode audio and need no model, so that they work in the DataLoader's processes, ahead of the device.
What needs the model is made by `features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from desta2.data.audio import load_audio
from desta2.data.headers import header_seconds
from desta2.errors import AudioError, InputError, RunError
from desta2.model.hearing import Window, spread, windows_of
from desta2.train.cache import TapCache
from desta2.train.clipkeys import ClipKeys, stamp_of
from desta2.train.dataset import ClipRef
from desta2.train.words import WordStore

if TYPE_CHECKING:
    from desta2.model.processing import Desta2Processor


@dataclass(frozen=True)
class Heard:
    """A clip for the collator.

    Attributes:
        windows: of each window its taps (n_taps, T, d_encoder) or its features (n_mels, frames).
        texts: of each window.
        frames: of each window, the encoder frames that hold the clip.
        key, stamp: what taps that are still to be made are kept under; None where there is nothing to make.
    """

    windows: list[Tensor]
    texts: Sequence[str]
    frames: list[int]
    key: str | None = None
    stamp: str | None = None


class Ears:
    """Hears clips for training. Picklable.

    Args:
        processor: of the model.
        keys: of clips.
        words: transcripts that Whisper wrote.
        cache: taps on disk; None has the encoder run in every step.

    Attributes:
        key: what the model gets: "taps" or "input_features".
        tells_frames: whether the model asks for the frames that hold the clip.
    """

    def __init__(
        self, processor: Desta2Processor, keys: ClipKeys, words: WordStore, cache: TapCache | None = None
    ) -> None:
        self.key = "input_features" if cache is None else "taps"
        self.tells_frames = processor.config.encoder_frames == "speech"
        self.keys = keys
        self.words = words
        self.cache = cache
        self._processor = processor

    def __call__(self, clip: ClipRef, text: str | None) -> Heard:
        """Hear a clip.

        Args:
            clip: of any length up to the model's `max_clip_seconds`.
            text: its transcript, or None for the one that Whisper wrote.

        Raises:
            AudioError: it cannot be read, or is longer than the model takes.
        """
        key, stamp = (None, None) if self.cache is None else (self.keys.of(clip), stamp_of(clip))
        taps = None if self.cache is None or key is None else self.cache.get(key)
        if taps is not None:
            return Heard(taps.windows, self._texts(clip, text, len(taps.windows)), taps.frames)
        windows = [window.samples for window in self.windows(clip, "")]
        features = list(self.features(windows))
        frames = [self.frames(samples) for samples in windows]
        return Heard(features, self._texts(clip, text, len(windows)), frames, key, stamp)

    def windows(self, clip: ClipRef, text: str | None) -> list[Window]:
        """The windows of a clip, as chat makes them.

        Raises:
            AudioError: it cannot be read, or is longer than the model takes.
        """
        samples = load_audio(clip.path, start=clip.start, end=clip.end)
        try:
            samples = self._processor.load_audio(samples)
        except InputError as error:
            raise AudioError(f"{clip.path}: {error}") from error
        return windows_of(self._processor, samples, text)

    def texts(self, clip: ClipRef, text: str | None) -> Sequence[str]:
        """The words of each window, with as little decoding as can be.

        Raises:
            AudioError: the clip cannot be read.
        """
        written = self._written(clip) if text is None else None
        return written or self._texts(clip, text, self._n_windows(clip))

    def features(self, windows: Sequence[np.ndarray]) -> Tensor:
        """Log-mel features of windows of samples, (n_windows, n_mels, frames)."""
        return self._processor.features(windows)

    def frames(self, samples: np.ndarray) -> int:
        """Encoder frames that hold a window's samples."""
        return self._processor.frames(len(samples))

    def _n_windows(self, clip: ClipRef) -> int:
        seconds = None if clip.end is None else clip.end - (clip.start or 0.0)
        if seconds is None and (whole := header_seconds(clip.path)) is not None:
            seconds = whole - (clip.start or 0.0)
        if seconds is not None and seconds <= self._processor.window_seconds:
            return 1
        taps = None if self.cache is None else self.cache.get(self.keys.of(clip))
        return len(self.windows(clip, "")) if taps is None else len(taps.windows)

    def _texts(self, clip: ClipRef, text: str | None, n_windows: int) -> Sequence[str]:
        if text is not None:
            return spread(text, n_windows)
        written = self._written(clip)
        if written is None:
            raise AudioError(f"{clip.path}: nobody wrote its transcript, as it could not be read")
        if len(written) != n_windows:
            raise RunError(
                f"{clip.path}: its transcript was written for {len(written)} windows, and it has "
                f"{n_windows}; delete the folder words-… in data.cache_dir"
            )
        return written

    def _written(self, clip: ClipRef) -> list[str] | None:
        return self.words.get(self.keys.of(clip))
