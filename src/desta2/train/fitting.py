"""Which pairs fit: the length of each in tokens, and those that are left out whole for theirs.

Measuring tokenises every pair once before the first step, which the processes of a run divide among them.
Only runs that ask for it (`data.max_tokens`, `data.group_by_length`) pay that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from desta2.errors import AudioError, ConfigError
from desta2.progress import track
from desta2.train.dataset import make_example
from desta2.train.pairset import NAMED, PairList
from desta2.train.processes import added_up

if TYPE_CHECKING:
    from accelerate import PartialState

    from desta2.model.processing import Desta2Processor
    from desta2.train.ears import Ears
    from desta2.train.skips import Skips

logger = logging.getLogger(__name__)


def measured(
    pairs: PairList, ears: Ears, processor: Desta2Processor, skips: Skips | None, state: PartialState
) -> list[int]:
    """Tokens of each pair: prompt, audio, transcripts and response. For all processes.

    Args:
        pairs: to measure.
        ears: know how many windows a clip has, and what Whisper wrote.
        processor: of the model.
        skips: notes broken audio, a pair of which is taken to have clips of one window; without it, that
            raises.
        state: the processes.

    Raises:
        AudioError: a clip cannot be read.
    """
    lengths = torch.zeros(len(pairs), dtype=torch.int32)
    for number in _own_share(len(pairs), state):
        pair, clips = pairs[number]
        try:
            texts = [ears.texts(clip, text) for clip, text in clips]
        except AudioError as error:
            if skips is None:
                raise
            skips.note(pairs.name(number), error)
            texts = [text or "" for _, text in clips]
        lengths[number] = len(make_example(pair, [clip for clip, _ in clips], texts, processor).input_ids)
    found: list[int] = added_up(lengths, state).tolist()
    return found


def _own_share(count: int, state: PartialState) -> Iterable[int]:
    mine = range(state.process_index, count, state.num_processes)
    return track(mine, description="measuring pairs") if state.is_main_process else mine


def those_that_fit(pairs: PairList, lengths: list[int], limit: int) -> tuple[PairList, list[int]]:
    """The pairs of at most `limit` tokens, and their lengths; the others are named and counted.

    Raises:
        ConfigError: none is left.
    """
    long = [number for number, length in enumerate(lengths) if length > limit]
    if not long:
        return pairs, lengths
    if len(long) == len(pairs):
        raise ConfigError(
            f"all {len(pairs)} pairs are longer than data.max_tokens={limit}; the shortest has {min(lengths)}"
        )
    for number in long[:NAMED]:
        logger.warning("left out: pair %r: %d tokens", pairs[number][0].id, lengths[number])
    logger.warning("left out: %d pairs: longer than data.max_tokens=%d", len(long), limit)
    return pairs.without(set(long)), [length for length in lengths if length <= limit]
