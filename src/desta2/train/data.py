"""The data of a training run: sets → pairs → what the Trainer takes.

`find_pairs` (see `pairset`) runs before any weight loads; what needs the model's processor or its Whisper is
here. Several processes of one run share the encoding that is done ahead without talking: each begins at
another place of the list and goes round, and takes what it finds done.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from desta2.errors import ConfigError
from desta2.model.bases import context
from desta2.model.hearing import processor_of
from desta2.progress import track
from desta2.train.arguments import step_size
from desta2.train.cache import TapCache
from desta2.train.cache_files import bytes_in
from desta2.train.clipkeys import ClipKeys
from desta2.train.collate import Collator
from desta2.train.dataset import ClipRef, PairDataset
from desta2.train.disturb import Disturbance
from desta2.train.ears import Ears
from desta2.train.features import completed, prepare, sample_taps
from desta2.train.fitting import measured, those_that_fit
from desta2.train.order import Order
from desta2.train.pairset import Found, PairList
from desta2.train.skips import Skips
from desta2.train.words import WordStore

if TYPE_CHECKING:
    from accelerate import PartialState
    from torch import Tensor

    from desta2.model.modeling import Desta2Model
    from desta2.train.config import DataConfig, TrainConfig

UNPACKED = "unpacked"
"""Folder in a run's output for the lines of compressed sets."""


@dataclass
class TrainingData:
    """What the Trainer takes.

    Attributes:
        train, validation: datasets; `validation` is None where none was asked for.
        order: of `train`.
        collator: rows → batch.
        ears: of both datasets.
        skips: what could not be read; None where that is an error.
    """

    train: PairDataset
    validation: PairDataset | None
    order: Order
    collator: Collator
    ears: Ears
    skips: Skips | None

    def completed(self, model: Desta2Model, batch: dict[str, Any]) -> dict[str, Any]:
        """A collated batch, on the device, with whatever of it was still to be encoded."""
        return completed(model, self.ears.cache, batch)

    def sample(self, model: Desta2Model, count: int = 256) -> Tensor:
        """Taps of the first clips, for `Adapter.calibrate`."""
        return sample_taps(model, self.ears, self.train.pairs.clips(), count)


def open_data(config: TrainConfig, found: Found, model: Desta2Model, state: PartialState) -> TrainingData:
    """Make what is to be made before the first step, and the datasets. For all processes.

    Args:
        config: the run.
        found: its pairs.
        model: gives the processor, and its Whisper what clips lack.
        state: the processes.

    Raises:
        ConfigError: no pair is left, or the cache is too small for a model that is sharded.
        AudioError: a clip cannot be read, and `data.missing` is "error".
    """
    data = config.data
    longest = context(model.llm)
    ears, skips = _make_ears(config, model), _skips_of(config)
    _make_ahead(config, model, ears, found, skips, state, taps=data.cache_taps is True)
    if config.run.fsdp and ears.cache is not None and ears.cache.full:
        raise ConfigError(
            f"data.cache_gb={data.cache_gb:g} is too small for all clips, and with run.fsdp none can be "
            "encoded on the way; raise it, or leave data.cache_taps out"
        )
    # DataLoader processes tokenise, and the tokenizers warn of a fork after threads of their own.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    processor = processor_of(model)

    def those_to_use(pairs: PairList, lengths_wanted: bool) -> tuple[PairList, list[int] | None]:
        if data.max_tokens is None and not lengths_wanted:
            return pairs, None
        lengths = measured(pairs, ears, processor, skips, state)
        return (
            (pairs, lengths) if data.max_tokens is None else those_that_fit(pairs, lengths, data.max_tokens)
        )

    train, lengths = those_to_use(found.train, data.group_by_length)
    disturb = _disturbance(data, train, ears, config.run.seed)
    dataset = PairDataset(train, ears, processor, disturb=disturb, skips=skips, longest=longest)
    held_out = None
    if found.validation is not None:
        kept, _ = those_to_use(found.validation, False)
        held_out = PairDataset(kept, ears, processor, skips=skips, longest=longest)
    step = step_size(config.run, state.num_processes)
    grouped = lengths if data.group_by_length else None
    order = Order(train.sets, train.weights, config.run.seed, lengths=grouped, step=step)
    return TrainingData(dataset, held_out, order, Collator(ears.key), ears, skips)


def _cache_folder(config: TrainConfig) -> Path:
    return config.data.cache_dir or config.run.output / "taps"


def _make_ears(config: TrainConfig, model: Desta2Model) -> Ears:
    """Ears with the stores of a run."""
    data, folder, keys = config.data, _cache_folder(config), ClipKeys()
    computed = model.whisper.dtype
    cache = None
    if data.cache_taps:
        cache = TapCache(folder, model.config, keys, data.cache_dtype, data.cache_gb, computed)
    return Ears(processor_of(model), keys, WordStore(folder, model.config, keys, computed), cache)


def _skips_of(config: TrainConfig) -> Skips | None:
    """Where a run notes broken audio; None where that is an error."""
    return Skips(config.run.output / "skipped.jsonl") if config.data.missing == "skip" else None


def _make_ahead(
    config: TrainConfig,
    model: Desta2Model,
    ears: Ears,
    found: Found,
    skips: Skips | None,
    state: PartialState,
    *,
    taps: bool,
) -> int:
    """Transcripts that are missing, and with `taps` all taps; returns how many clips were heard here."""
    count = 0
    for pairs in filter(None, (found.train, found.validation)):
        if taps or any(pairs.untold):
            clips = _wanted(pairs, taps, state.process_index * len(pairs) // state.num_processes)
            if state.is_main_process:
                clips = track(clips, None, "hearing clips" if taps else "transcribing clips")
            count += prepare(model, ears, clips, taps=taps, skips=skips, workers=config.run.workers)
    return count


def _wanted(pairs: PairList, taps: bool, start: int) -> Iterable[tuple[ClipRef, str | None]]:
    return (own for own in pairs.clips(start) if taps or own[1] is None)


def _disturbance(data: DataConfig, pairs: PairList, ears: Ears, seed: int) -> Disturbance | None:
    if not data.transcript_dropout and not data.transcript_mismatch:
        return None
    dropout, mismatch = data.transcript_dropout, data.transcript_mismatch
    return Disturbance(pairs, ears, dropout=dropout, mismatch=mismatch, seed=seed)


def features(config: TrainConfig) -> dict[str, Any]:
    """Make ahead whatever a run would make: transcripts that are missing, and the taps of all clips.

    Several processes, as torchrun starts them, divide the clips among them.

    Returns:
        "clips" in the pairs, how many were "heard" now by all processes, and the "folder" with its "bytes".

    Raises:
        InputError: as in training.
        ConfigError: the run keeps no taps.
    """
    from desta2.train.check import check_run
    from desta2.train.pairset import find_pairs
    from desta2.train.processes import added_up, join, place
    from desta2.train.trainer import build_model

    if not config.data.cache_taps:
        raise ConfigError("data.cache_taps is false, so this run keeps no taps; set it to true")
    check_run(config)
    state = join(sharded=False)
    with state.main_process_first():
        found = find_pairs(config.data, config.run.output / UNPACKED)
    model = build_model(config.model)
    place(model, state.device, whole=False)  # the LLM hears nothing
    ears, skips = _make_ears(config, model), _skips_of(config)
    heard = added_up(torch.tensor(_make_ahead(config, model, ears, found, skips, state, taps=True)), state)
    folder = _cache_folder(config)
    size = bytes_in(folder) if folder.exists() else 0
    return {"clips": found.n_clips, "heard": int(heard), "folder": str(folder), "bytes": size}
