"""The data of a training run: sets → pairs → what the Trainer takes.

`find_pairs` (see `pairset`) runs before any weight loads; what needs the model's processor or its Whisper is
here. Several processes of one run share the work that is done ahead without talking: each begins at another
place of the list and goes round, and takes what it finds done.
"""

from __future__ import annotations

import itertools
import logging
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desta2.errors import AudioError, ConfigError
from desta2.progress import track
from desta2.train.cache import ClipKeys, TapCache
from desta2.train.collate import Collator
from desta2.train.dataset import ClipRef, PairDataset, make_example
from desta2.train.disturb import Disturbance
from desta2.train.features import Ears, completed, prepare, sample_taps
from desta2.train.pairset import NAMED, Found, PairList
from desta2.train.sampler import EpochSampler
from desta2.train.skips import Skips
from desta2.train.words import WordStore

if TYPE_CHECKING:
    from torch import Tensor

    from desta2.model.modeling import Desta2Model
    from desta2.train.config import DataConfig, TrainConfig

logger = logging.getLogger(__name__)

UNPACKED = "unpacked"
"""Folder in a run's output for the lines of compressed sets."""


@dataclass
class TrainingData:
    """What the Trainer takes.

    Attributes:
        train, validation: datasets; `validation` is None where none was asked for.
        collator: rows → batch.
        sampler: the order of `train`; None leaves a plain shuffle to the Trainer.
        skips: what could not be read; None where that is an error.
    """

    train: PairDataset
    validation: PairDataset | None
    collator: Collator
    ears: Ears
    sampler: EpochSampler | None
    skips: Skips | None

    @property
    def pairs_per_epoch(self) -> int:
        """Pairs that the Trainer sees in an epoch."""
        return len(self.train) if self.sampler is None else len(self.sampler)

    def completed(self, model: Desta2Model, batch: dict[str, Any]) -> dict[str, Any]:
        """A collated batch, on the device, with whatever of it was still to be encoded."""
        return completed(model, self.ears.cache, batch)

    def sample(self, model: Desta2Model, count: int = 256) -> Tensor:
        """Taps of the first clips, for `Adapter.calibrate`."""
        return sample_taps(model, self.ears, self.train.pairs.clips(), count)


def open_data(config: TrainConfig, found: Found, model: Desta2Model) -> TrainingData:
    """Make what is to be made before the first step, and the datasets.

    Args:
        config: the run.
        found: its pairs.
        model: gives the processor, and its Whisper what clips lack.

    Raises:
        ConfigError: no pair is left.
        AudioError: a clip cannot be read, and `data.missing` is "error".
    """
    data, run = config.data, config.run
    ears, skips = make_ears(config, model), skips_of(config)
    make_ahead(model, ears, found, taps=data.cache_taps is True, skips=skips)
    processor = model.processor
    assert processor is not None
    # DataLoader processes tokenise, and the tokenizers warn of a fork after threads of their own.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    train, validation, lengths = found.train, found.validation, None
    if data.max_tokens is not None or data.group_by_length:
        train, lengths = _fitting(train, data, ears, processor, skips)
    if data.max_tokens is not None and validation is not None:
        validation, _ = _fitting(validation, data, ears, processor, skips)
    disturb = _disturbance(data, train, ears, run.seed)
    batch = run.batch_size * int(os.environ.get("WORLD_SIZE", 1))
    plain = set(train.weights) == {1.0} and disturb is None and not data.group_by_length
    grouped = lengths if data.group_by_length else None
    sampler = (
        None if plain else EpochSampler(train.sets, train.weights, run.seed, lengths=grouped, batch=batch)
    )
    dataset = PairDataset(train, ears, processor, disturb=disturb, skips=skips)
    held_out = None if validation is None else PairDataset(validation, ears, processor, skips=skips)
    return TrainingData(dataset, held_out, Collator(ears.key), ears, sampler, skips)


def make_ears(config: TrainConfig, model: Desta2Model) -> Ears:
    """Ears with the stores of a run."""
    data = config.data
    folder = data.cache_dir or config.run.output / "taps"
    assert model.processor is not None
    keys = ClipKeys()
    cache = TapCache(folder, model.config, keys, data.cache_dtype, data.cache_gb) if data.cache_taps else None
    return Ears(model.processor, keys, WordStore(folder, model.config, keys), cache)


def skips_of(config: TrainConfig) -> Skips | None:
    """Where a run notes broken audio; None where that is an error."""
    return Skips(config.run.output / "skipped.jsonl") if config.data.missing == "skip" else None


def make_ahead(model: Desta2Model, ears: Ears, found: Found, *, taps: bool, skips: Skips | None) -> int:
    """Transcripts that are missing, and with `taps` all taps; returns how many clips were heard."""
    count = 0
    for pairs in filter(None, (found.train, found.validation)):
        if taps or any(pairs.untold):
            rank, world = (int(os.environ.get(name, i)) for i, name in enumerate(("RANK", "WORLD_SIZE")))
            what = "hearing the clips" if taps else "transcribing clips"
            clips = _wanted(pairs, taps, rank * len(pairs) // world)
            count += prepare(model, ears, track(clips, None, what), taps=taps, skips=skips)
    return count


def _wanted(pairs: PairList, taps: bool, start: int) -> Iterator[tuple[ClipRef, str | None]]:
    return (own for own in pairs.clips(start) if taps or own[1] is None)


def _fitting(
    pairs: PairList, data: DataConfig, ears: Ears, processor: Any, skips: Skips | None
) -> tuple[PairList, array[int]]:
    """The pairs that are not too long, and the length of each in tokens."""
    lengths = array("i")
    for number in track(range(len(pairs)), description=f"measuring {len(pairs)} pairs"):
        pair, clips = pairs[number]
        try:
            texts = [ears.texts(clip, text) for clip, text in clips]
        except AudioError as error:
            if skips is None:
                raise
            skips.note(pairs.name(number), error)
            texts = [text or "" for _, text in clips]
        lengths.append(len(make_example(pair, [clip for clip, _ in clips], texts, processor).input_ids))
    limit = data.max_tokens
    if limit is None:
        return pairs, lengths
    long = [number for number, length in enumerate(lengths) if length > limit]
    if not long:
        return pairs, lengths
    if len(long) == len(pairs):
        raise ConfigError(
            f"all {len(pairs)} pairs are longer than data.max_tokens={limit}; the shortest has {min(lengths)}"
        )
    for number in itertools.islice(long, NAMED):
        logger.warning("left out: pair %r: %d tokens", pairs[number][0].id, lengths[number])
    logger.warning("left out: %d pairs: longer than data.max_tokens=%d", len(long), limit)
    dropped = set(long)
    kept = array("i", (length for number, length in enumerate(lengths) if number not in dropped))
    return pairs.without(dropped), kept


def _disturbance(data: DataConfig, pairs: PairList, ears: Ears, seed: int) -> Disturbance | None:
    if not data.transcript_dropout and not data.transcript_mismatch:
        return None
    dropout, mismatch = data.transcript_dropout, data.transcript_mismatch
    return Disturbance(pairs, ears, dropout=dropout, mismatch=mismatch, seed=seed)


def features(config: TrainConfig) -> dict[str, Any]:
    """Make ahead whatever a run would make: transcripts that are missing, and the taps of all clips.

    Returns:
        "clips" in the pairs, how many were "heard" now, and the "folder" with its "bytes".

    Raises:
        InputError: as in training.
        ConfigError: the run keeps no taps.
    """
    from desta2.train.cache_files import bytes_in
    from desta2.train.pairset import find_pairs
    from desta2.train.trainer import build_model

    if not config.data.cache_taps:
        raise ConfigError("data.cache_taps is false, so this run keeps no taps; set it to true")
    found = find_pairs(config.data, config.run.output / UNPACKED)
    model = build_model(config.model)
    heard = make_ahead(model, make_ears(config, model), found, taps=True, skips=skips_of(config))
    folder: Path = config.data.cache_dir or config.run.output / "taps"
    size = bytes_in(folder) if folder.exists() else 0
    return {"clips": found.n_clips, "heard": heard, "folder": str(folder), "bytes": size}
