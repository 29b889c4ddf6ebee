"""What needs the model: taps of clips that are not cached, and transcripts that nobody wrote.

They are made in the training process: before the first step (`prepare`), or as the clips come (`completed`).
Taps of the first epoch go through the type of the disk too, so that a run sees the same numbers in every
epoch, and after a kill.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from desta2.errors import AudioError
from desta2.model.hearing import encode_windows
from desta2.train.cache import TapCache, Taps
from desta2.train.clipkeys import stamp_of
from desta2.train.collate import stacked
from desta2.train.dataset import ClipRef, Unheard
from desta2.train.ears import Ears

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model
    from desta2.train.skips import Skips

_BATCH = 32  # windows in an encoder pass that is made ahead


def prepare(
    model: Desta2Model,
    ears: Ears,
    clips: Iterable[tuple[ClipRef, str | None]],
    *,
    taps: bool,
    skips: Skips | None = None,
    workers: int = 0,
) -> int:
    """Make what clips lack: transcripts, and with `taps` the taps on disk. One encoder pass serves both.

    Args:
        model: whose Whisper hears.
        ears: with the stores to fill.
        clips: each with its transcript, if it has one.
        taps: whether taps are made for all of them, or transcripts alone.
        skips: notes broken audio; without it, that raises.
        workers: processes that decode audio ahead.

    Returns:
        How many clips were heard.

    Raises:
        AudioError: a clip cannot be read.
    """
    lacking: Any = _lacking(ears, clips, taps, skips)
    decoded = DataLoader(
        _Decoder(ears), sampler=lacking, batch_size=None, num_workers=workers, collate_fn=_as_it_is
    )
    count = 0
    for batch in _batches(_whole(decoded, skips)):
        _hear(model, ears, batch)
        count += len(batch)
    return count


@dataclass(frozen=True)
class _Lack:
    """A clip that lacks something: its words, where it is `untold`, or its taps."""

    clip: ClipRef
    key: str
    stamp: str
    untold: bool


@dataclass(frozen=True)
class _Decoded:
    lack: _Lack
    features: Tensor  # (n_windows, n_mels, frames)
    texts: list[str | None]
    frames: list[int]


class _Decoder(Dataset[Any]):
    """What lacks → what the encoder needs, or the error: one that is raised here arrives with a traceback."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears

    def __getitem__(self, lack: _Lack) -> _Decoded | tuple[_Lack, AudioError]:
        try:
            windows = self._ears.windows(lack.clip, None if lack.untold else "")
        except AudioError as error:
            return lack, error
        samples = [window.samples for window in windows]
        frames = [self._ears.frames(own) for own in samples]
        return _Decoded(lack, self._ears.features(samples), [window.text for window in windows], frames)


def _as_it_is(own: Any) -> Any:
    return own


def _lacking(
    ears: Ears, clips: Iterable[tuple[ClipRef, str | None]], taps: bool, skips: Skips | None
) -> Iterator[_Lack]:
    for clip, text in clips:
        try:
            key, stamp = ears.keys.of(clip), stamp_of(clip)
        except AudioError as error:
            _skip(clip, error, skips)
            continue
        untold = text is None and ears.words.get(key) is None
        wanted = taps and ears.cache is not None and not ears.cache.full and key not in ears.cache
        if untold or wanted:
            yield _Lack(clip, key, stamp, untold)


def _whole(decoded: Iterable[Any], skips: Skips | None) -> Iterator[_Decoded]:
    for own in decoded:
        if isinstance(own, _Decoded):
            yield own
        else:
            _skip(own[0].clip, own[1], skips)


def _skip(clip: ClipRef, error: AudioError, skips: Skips | None) -> None:
    if skips is None:
        raise error
    skips.note(clip.path, error)


def _batches(decoded: Iterable[_Decoded]) -> Iterator[list[_Decoded]]:
    """Whole clips, together of as many windows as are heard at once."""
    batch: list[_Decoded] = []
    for own in decoded:
        lack = own.lack
        if any(lack.key == other.lack.key and other.lack.untold >= lack.untold for other in batch):
            continue  # the same audio under another name
        batch.append(own)
        if sum(len(other.frames) for other in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _hear(model: Desta2Model, ears: Ears, batch: Sequence[_Decoded]) -> None:
    """Encode decoded clips, and put what comes of it into the stores."""
    features = torch.cat([own.features for own in batch])
    texts = [text for own in batch for text in own.texts]
    passes = [
        encode_windows(model, features[i : i + _BATCH], texts[i : i + _BATCH])
        for i in range(0, len(texts), _BATCH)
    ]
    taps = iter([window for own, _ in passes for window in own.unbind(1)])
    words = iter([text for _, own in passes for text in own])
    kept: dict[str, Taps] = {}
    written: dict[str, list[str]] = {}
    for own in batch:
        kept[own.lack.key] = Taps([next(taps) for _ in own.frames], own.frames)
        said = [next(words) for _ in own.frames]
        if own.lack.untold:
            written[own.lack.key] = said
    stamps = {own.lack.key: own.lack.stamp for own in batch}
    ears.words.put(written, stamps)
    if ears.cache is not None:
        ears.cache.put(kept, stamps)


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
    taps = _taps_of(model, cache, unheard, batch.pop("input_features"))
    new = {own.first + i: window for own in unheard for i, window in enumerate(taps[own.key].windows)}
    old = batch.pop("taps", None)  # of the clips that the cache had
    heard = iter([] if old is None else old.unbind(1))
    device = batch["input_ids"].device
    windows = [
        new[place].to(device) if place in new else next(heard) for place in range(len(batch["audio_slots"]))
    ]
    return {**batch, "taps": stacked(windows)}


def _taps_of(
    model: Desta2Model, cache: TapCache, unheard: Sequence[Unheard], features: Tensor
) -> dict[str, Taps]:
    """Taps by key of clips that were not in the cache when they were asked for.

    Those that it has by now are taken from there, and only the others encoded: what is encoded together,
    and so every bit of it, does not depend on how far ahead a loader's process was.
    """
    parts = features.split([len(own.frames) for own in unheard])
    taps: dict[str, Taps] = {}
    missing: dict[str, tuple[Unheard, Tensor]] = {}
    for own, part in zip(unheard, parts, strict=True):
        if (kept := cache.get(own.key)) is not None:
            taps[own.key] = kept
        else:
            missing.setdefault(own.key, (own, part))
    if not missing:
        return taps
    encoded = model.encode(torch.cat([part for _, part in missing.values()])).taps
    shares = encoded.split([len(part) for _, part in missing.values()], dim=1)
    made = {
        own.key: cache.cut(Taps(list(share.unbind(1)), own.frames))
        for (own, _), share in zip(missing.values(), shares, strict=True)
    }
    cache.put(made, {own.key: own.stamp for own, _ in missing.values()})
    return taps | made


def sample_taps(
    model: Desta2Model, ears: Ears, clips: Iterator[tuple[ClipRef, str | None]], count: int = 256
) -> Tensor:
    """Taps of the first clips, (n_taps, 1, frames of all, d_encoder), for `Adapter.calibrate`.

    Where there is a cache they go through it: a run that was killed while it fills has the same ones again.
    """
    first = [clip for _, (clip, _) in zip(range(count), clips, strict=False)]
    if ears.cache is not None:
        prepare(model, ears, [(clip, "") for clip in first], taps=True)
    windows: list[Tensor] = []
    for start in range(0, len(first), _BATCH):
        heard = [ears(clip, "") for clip in first[start : start + _BATCH]]
        live = [window for own in heard for window in own.windows if window.dim() == 2]
        encoded = iter(model.encode(torch.stack(live)).taps.unbind(1) if live else [])
        for own in heard:
            windows += [
                window if window.dim() == 3 else next(encoded)[:, : frames if ears.tells_frames else None]
                for window, frames in zip(own.windows, own.frames, strict=True)
            ]
    return torch.cat([window.float().cpu() for window in windows], dim=1)[:, None]
