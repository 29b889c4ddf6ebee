"""What the nano Whisper is trained on: log-mels of a corpus, in batches of clips about equally long.

Trade-off: log-mels are computed once, for whole windows, and kept on disk (64 kB a clip): 1.5 GB for the
recipe's clips, most of it silence, but reading a batch is then a copy, and no clip has to be made again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from desta2.data.audio import load_audio
from desta2.progress import track
from desta2.records import Clip, read_records

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor

WINDOW_SECONDS = 8
POSITIONS_PER_SECOND = 25
_POOL = 16  # batches whose clips are sorted by length together


def make_feature_extractor() -> WhisperFeatureExtractor:
    """80 log-mel bins, 20 ms hop, 8-second windows: (80, 400) a clip.

    A frame is 50 ms long, twice Whisper's: 25 ms do not tell the harmonics of men's voices apart, and a small
    model has not the layers to make up for that (probes of pitch from log-mels: 73 % of men's, against 83).
    """
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=80, hop_length=320, chunk_length=WINDOW_SECONDS, n_fft=800)


@dataclass
class Speech:
    """A corpus: log-mels, float16 (clips, 80, 400) on disk, texts, and encoder positions that clips reach."""

    features: np.ndarray
    texts: list[str]
    positions: Tensor

    def batch(self, rows: Tensor, whole: bool) -> tuple[Tensor, list[str]]:
        """Log-mels (rows, 80, frames) as long as the longest clip or `whole`, and texts."""
        longest = self.features.shape[2] if whole else 2 * int(self.positions[rows].max())
        features = torch.from_numpy(self.features[rows.numpy(), :, :longest]).float()
        return features, [self.texts[i] for i in rows.tolist()]


def load_speech(manifest: Path, extractor: WhisperFeatureExtractor) -> Speech:
    """Log-mels of a corpus, computed once and kept beside its manifest."""
    clips = list(read_records(manifest, Clip))
    cache = manifest.parent / f"log-mel-{extractor.n_fft}.npy"
    if not cache.exists() or cache.stat().st_mtime < manifest.stat().st_mtime:  # another corpus since
        shape = (len(clips), extractor.feature_size, extractor.nb_max_frames)
        array = np.lib.format.open_memmap(cache.with_suffix(".tmp"), mode="w+", dtype=np.float16, shape=shape)
        for i, clip in enumerate(track(clips, total=len(clips), description="log-mel")):
            samples = load_audio(manifest.parent / clip.audio)
            array[i] = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features[0]
        array.flush()
        cache.with_suffix(".tmp").rename(cache)
    features = np.load(cache, mmap_mode="r")
    lengths = [min(clip.duration or WINDOW_SECONDS, WINDOW_SECONDS) for clip in clips]
    positions = torch.tensor([math.ceil(seconds * POSITIONS_PER_SECOND) for seconds in lengths])
    return Speech(features, [clip.text or "" for clip in clips], positions)


def batches_of(positions: Tensor, size: int, rng: torch.Generator) -> list[Tensor]:
    """One epoch: rows of each batch, of clips about equally long; a rest smaller than a batch is left out."""
    shuffled = torch.randperm(len(positions), generator=rng)
    pools = [pool[positions[pool].argsort(stable=True)] for pool in shuffled.split(_POOL * size)]
    batches = [rows for pool in pools for rows in pool.split(size) if len(rows) == size]
    return [batches[i] for i in torch.randperm(len(batches), generator=rng).tolist()]


def warp(features: Tensor, rng: torch.Generator) -> Tensor:
    """Stretch the frequency axis of log-mels (clips, bins, frames) by up to ±8 %, a factor for each clip.

    Vocal tract length perturbation (Jaitly and Hinton, 2013): the few timbres of espeak become many.
    """
    clips, bins, frames = features.shape
    factors = 0.92 + 0.16 * torch.rand(clips, 1, generator=rng)
    places = (torch.arange(bins) * factors).clamp(max=bins - 1)
    below = places.long().clamp(max=bins - 2)
    share = (places - below)[:, :, None]
    rows = below[:, :, None].expand(-1, -1, frames)
    return features.gather(1, rows) * (1 - share) + features.gather(1, rows + 1) * share
