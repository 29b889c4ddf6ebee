"""The order of pairs in an epoch, where it is more than a shuffle: weights, lengths, visits.

transformers can group by length (`train_sampling_strategy`), but its sampler reads every example beforehand
to measure it, which here would decode all audio, and draws from the global random numbers, so that a run
that is resumed in the middle of an epoch goes on in another order. This one is a function of seed and epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback

_GROUPED = 50  # batches that are sorted by length together: enough to save padding, and still a shuffle


class EpochSampler(Sampler[int]):
    """Numbers for `PairDataset`: pair + visit × pairs.

    Args:
        sets: the set of each pair.
        weights: of each set. A pair of weight 2.5 comes twice in every epoch, and a random half a third time.
        seed: of the run.
        lengths: in tokens; batches are then of similar lengths, the longest first: memory that does not
            suffice fails at once.
        batch: pairs that are in one step at the same time, on all devices.
    """

    def __init__(
        self,
        sets: Sequence[int],
        weights: Sequence[float],
        seed: int,
        *,
        lengths: Sequence[int] | None = None,
        batch: int = 1,
    ) -> None:
        of_set = torch.tensor(sets)
        self._members = [(of_set == number).nonzero().flatten() for number in range(len(weights))]
        self._weights = weights
        self._seed = seed
        self._lengths = None if lengths is None else torch.tensor(lengths)
        self._batch = batch
        self._pairs = len(sets)
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return sum(self._count(*own) for own in zip(self._members, self._weights, strict=True))

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self._seed << 20) + self._epoch)
        numbers = torch.cat(
            [self._visits(*own, generator) for own in zip(self._members, self._weights, strict=True)]
        )
        numbers = numbers[torch.randperm(len(numbers), generator=generator)]
        if self._lengths is not None:
            numbers = self._grouped(numbers, self._lengths[numbers % self._pairs], generator)
        most = max(-int(-weight // 1) for weight in self._weights)  # visits of a pair in an epoch
        yield from (numbers + self._epoch * most * self._pairs).tolist()
        self._epoch += 1

    @staticmethod
    def _count(members: torch.Tensor, weight: float) -> int:
        return max(1, round(weight * len(members))) if len(members) else 0

    def _visits(self, members: torch.Tensor, weight: float, generator: torch.Generator) -> torch.Tensor:
        """The numbers of a set in an epoch: all of it as often as goes, and then a random part."""
        if not len(members):
            return members
        visits, rest = divmod(self._count(members, weight), len(members))
        part = members[torch.randperm(len(members), generator=generator)[:rest]]
        whole = [members + visit * self._pairs for visit in range(visits)]
        return torch.cat([*whole, part + visits * self._pairs])

    def _grouped(
        self, numbers: torch.Tensor, lengths: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        span = _GROUPED * self._batch
        batches: list[torch.Tensor] = []
        for first in range(0, len(numbers), span):
            order = lengths[first : first + span].argsort(descending=True, stable=True)
            batches += numbers[first : first + span][order].split(self._batch)
        last = [batches.pop()] if len(batches[-1]) < self._batch else []  # a short one would shift the others
        order_of_batches = torch.randperm(len(batches), generator=generator).tolist()
        batches = [batches[place] for place in order_of_batches]
        if batches:
            longest = max(range(len(batches)), key=lambda i: int(self._longest(batches[i])))
            batches[0], batches[longest] = batches[longest], batches[0]
        return torch.cat([*batches, *last])

    def _longest(self, numbers: torch.Tensor) -> torch.Tensor:
        assert self._lengths is not None
        return self._lengths[numbers % self._pairs].max()


class EpochTold(TrainerCallback):
    """Tells the sampler its epoch: on several devices, a run that is resumed does not reach it otherwise."""

    def __init__(self, sampler: EpochSampler) -> None:
        self._sampler = sampler

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The Trainer's epoch is a fraction where a run is resumed in the middle of one."""
        self._sampler.set_epoch(int((state.epoch or 0) + 1e-6))
