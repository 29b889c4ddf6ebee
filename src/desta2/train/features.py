"""What training hears of a clip: log-mel features, or the encoder's taps where the cache has them.

Ears decode audio and need no model, so that they work in the DataLoader's processes, ahead of the device.
What needs the model, the taps of clips that are not cached and missing transcripts, is made in the training
process: before the first step (`prepare`), or as the clips come (`completed`). Taps of the first epoch go
through the type of the disk too, so that a run sees the same numbers in every epoch, and after a kill.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from desta2.data.audio import load_audio
from desta2.data.headers import header_seconds
from desta2.errors import AudioError, RunError
from desta2.model.hearing import Window, encode_windows, spread, windows_of
from desta2.train.cache import ClipKeys, TapCache, Taps, stamp_of
from desta2.train.dataset import ClipRef, Unheard
from desta2.train.words import WordStore

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model
    from desta2.model.processing import Desta2Processor
    from desta2.train.skips import Skips

logger = logging.getLogger(__name__)

_BATCH = 32  # windows in an encoder pass that is made ahead


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
        self.tells_frames = getattr(processor.config, "encoder_frames", "all") == "speech"
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
            AudioError: it cannot be read.
            InputError: it is too long.
        """
        key, stamp = (None, None) if self.cache is None else (self.keys.of(clip), stamp_of(clip))
        taps = None if self.cache is None or key is None else self.cache.get(key)
        if taps is not None:
            return Heard(taps.windows, self._texts(clip, text, len(taps.windows)), taps.frames)
        windows = [window.samples for window in self.windows(clip, "")]
        features = list(self._processor.features(windows))
        frames = [self.frames(samples) for samples in windows]
        return Heard(features, self._texts(clip, text, len(windows)), frames, key, stamp)

    def windows(self, clip: ClipRef, text: str | None) -> list[Window]:
        """The windows of a clip, as chat makes them."""
        samples = load_audio(clip.path, start=clip.start, end=clip.end)
        return windows_of(self._processor, self._processor.load_audio(samples), text)

    def texts(self, clip: ClipRef, text: str | None) -> Sequence[str]:
        """The words of each window, with as little decoding as can be."""
        written = self._written(clip) if text is None else None
        return written or self._texts(clip, text, self._n_windows(clip))

    def frames(self, samples: np.ndarray) -> int:
        """Encoder frames that hold a window's samples: its second convolution halves the features' rate."""
        return max(1, -(-len(samples) // (2 * self._processor.feature_extractor.hop_length)))

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


def prepare(
    model: Desta2Model,
    ears: Ears,
    clips: Iterable[tuple[ClipRef, str | None]],
    *,
    taps: bool,
    skips: Skips | None = None,
) -> int:
    """Make what clips lack: transcripts, and with `taps` the taps on disk. One encoder pass serves both.

    Args:
        model: whose Whisper hears.
        ears: with the stores to fill.
        clips: each with its transcript, if it has one.
        taps: whether taps are made for all of them, or transcripts alone.
        skips: notes broken audio; without it, that raises.

    Returns:
        How many clips were heard.

    Raises:
        AudioError: a clip cannot be read.
    """
    count = 0
    for batch in _batches(_lacking(ears, clips, taps, skips)):
        windows = [window for own in batch for window in own.windows]
        passes = [encode_windows(model, windows[i : i + _BATCH]) for i in range(0, len(windows), _BATCH)]
        encoded = [window for own, _ in passes for window in own.unbind(1)]
        texts = [text for _, own in passes for text in own]
        kept: dict[str, Taps] = {}
        words: dict[str, list[str]] = {}
        for own in batch:
            n, frames = len(own.windows), [ears.frames(window.samples) for window in own.windows]
            kept[own.key], encoded = Taps(encoded[:n], frames), encoded[n:]
            if own.untold:
                words[own.key] = texts[:n]
            texts = texts[n:]
        stamps = {own.key: own.stamp for own in batch}
        ears.words.put(words, stamps)
        if ears.cache is not None:
            ears.cache.put(kept, stamps)
        count += len(batch)
    return count


@dataclass(frozen=True)
class _Lack:
    key: str
    stamp: str
    windows: list[Window]
    untold: bool


def _lacking(
    ears: Ears, clips: Iterable[tuple[ClipRef, str | None]], taps: bool, skips: Skips | None
) -> Iterator[_Lack]:
    for clip, text in clips:
        try:
            key, stamp = ears.keys.of(clip), stamp_of(clip)
            untold = text is None and ears.words.get(key) is None
            if untold or (taps and ears.cache is not None and key not in ears.cache):
                yield _Lack(key, stamp, ears.windows(clip, None if untold else ""), untold)
        except AudioError as error:
            if skips is None:
                raise
            skips.note(clip.path, error)


def _batches(lacking: Iterable[_Lack]) -> Iterator[list[_Lack]]:
    """Whole clips, together of as many windows as are heard at once."""
    batch: list[_Lack] = []
    for own in lacking:
        if any(own.key == other.key and other.untold >= own.untold for other in batch):
            continue  # the same audio under another name
        batch.append(own)
        if sum(len(other.windows) for other in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def completed(model: Desta2Model, cache: TapCache | None, batch: dict[str, Any]) -> dict[str, Any]:
    """A batch of the collator with the taps of all its clips; those that are made now go to the cache.

    Args:
        model: whose encoder hears.
        cache: of the taps; None where there is none, and then nothing is to be done.
        batch: on the model's device; see `Collator`.

    Returns:
        The batch with `taps` (n_taps, n_audio, T, d_encoder) of all clips, ready for `Desta2Model.forward`.
    """
    unheard: Sequence[Unheard] | None = batch.pop("unheard", None)
    if cache is None or not unheard:
        return batch
    fresh = _encoded(model, cache, unheard, batch.pop("input_features"))
    old = batch.pop("taps", None)  # of the clips that the cache had
    n_audio = len(batch["audio_slots"])
    new = {place: window for own, taps in fresh for place, window in enumerate(taps.windows, own.first)}
    heard = iter([] if old is None else old.unbind(1))
    windows = [new[place] if place in new else next(heard) for place in range(n_audio)]
    length = max(window.shape[1] for window in windows)
    n_taps, _, width = windows[0].shape
    device = batch["input_ids"].device
    all_taps = torch.zeros(n_taps, n_audio, length, width, device=device)
    for place, window in enumerate(windows):
        all_taps[:, place, : window.shape[1]] = window.to(device)
    return {**batch, "taps": all_taps}


def _encoded(
    model: Desta2Model, cache: TapCache, unheard: Sequence[Unheard], features: Tensor
) -> list[tuple[Unheard, Taps]]:
    """Taps of clips that were not in the cache when they were asked for, in the order of their features.

    What another process has kept meanwhile is taken from there: after a kill, the same numbers are used.
    """
    encoded = list(model.encode(features).taps.unbind(1))
    made, found = {}, []
    for own in unheard:
        windows, encoded = encoded[: len(own.frames)], encoded[len(own.frames) :]
        taps = cache.get(own.key) or made.get(own.key) or cache.cut(Taps(windows, own.frames))
        made[own.key] = taps
        found.append((own, taps))
    cache.put(made, {own.key: own.stamp for own in unheard})
    return found


def sample_taps(
    model: Desta2Model, ears: Ears, clips: Iterator[tuple[ClipRef, str | None]], count: int = 256
) -> Tensor:
    """Taps of the first clips, (n_taps, 1, frames of all, d_encoder), for `Adapter.calibrate`."""
    windows: list[Tensor] = []
    for batch in _batches_of(clips, count):
        heard = [ears(clip, "") for clip in batch]
        live = [window for own in heard for window in own.windows if window.dim() == 2]
        encoded = iter(model.encode(torch.stack(live)).taps.unbind(1) if live else [])
        for own in heard:
            windows += [
                window if window.dim() == 3 else next(encoded)[:, : frames if ears.tells_frames else None]
                for window, frames in zip(own.windows, own.frames, strict=True)
            ]
    return torch.cat([window.float().cpu() for window in windows], dim=1)[:, None]


def _batches_of(clips: Iterator[tuple[ClipRef, str | None]], count: int) -> Iterator[list[ClipRef]]:
    first = [clip for _, (clip, _) in zip(range(count), clips, strict=False)]
    for start in range(0, len(first), _BATCH):
        yield first[start : start + _BATCH]
