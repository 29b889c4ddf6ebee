"""The order in which training meets the pairs.

It is a function of the seed and the number of the pass alone. An optimiser step takes the next pairs of that
order, however they are divided among processes and accumulated batches, so what a step learns from does not
depend on the hardware, and the place in the data is the number of the step. Steps go on across the end of a
pass: all are of one size, and the last step of a run may reach into a pass more.

transformers can group by length too, but its sampler reads every example beforehand to measure it, which
here would decode all audio, and draws from the global random numbers, so that a resumed run goes on in
another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

_SPAN = 50  # steps that are sorted by length together: enough to save padding, and still a shuffle

Numbers = NDArray[np.int64]


class Order:
    """Numbers for `PairDataset`, pass by pass: pair + visit × pairs, where no visit of a pair comes twice.

    Args:
        sets: the set of each pair.
        weights: of each set. A pair of weight 2.5 comes twice in every pass, and a random half a third time.
        seed: of the run.
        lengths: in tokens; a step is then of pairs of similar lengths, from the longest to the shortest, and
            the longest step is the first: memory that does not suffice fails at once.
        step: pairs in an optimiser step, on all devices; matters with `lengths` alone.
    """

    def __init__(
        self,
        sets: Sequence[int],
        weights: Sequence[float],
        seed: int,
        *,
        lengths: Sequence[int] | None = None,
        step: int = 1,
    ) -> None:
        of_set = np.asarray(sets)
        self._members = [np.flatnonzero(of_set == number) for number in range(len(weights))]
        self._counts = [_visits(len(own), weight) for own, weight in zip(self._members, weights, strict=True)]
        self._seed = seed
        self._lengths = None if lengths is None else np.asarray(lengths)
        self._step = step
        self._pairs = len(of_set)
        # A pair has at most so many visits in a pass.
        shares = zip(self._members, self._counts, strict=True)
        self._most = max((-(-count // len(own)) for own, count in shares if count), default=1)

    def __len__(self) -> int:
        """Visits in a pass."""
        return sum(self._counts)

    def __call__(self, number: int) -> Numbers:
        """The numbers of a pass, which are counted from 0, in their order."""
        rng = np.random.default_rng([self._seed, number])
        parts = [self._drawn(own, count, rng) for own, count in zip(self._members, self._counts, strict=True)]
        numbers: Numbers = rng.permutation(np.concatenate(parts))
        if self._lengths is not None:
            numbers = self._grouped(numbers, self._lengths[numbers % self._pairs], number, rng)
        return numbers + number * self._most * self._pairs

    def _drawn(self, members: Numbers, count: int, rng: np.random.Generator) -> Numbers:
        """The numbers of a set in a pass: all of it as often as goes, and then a random part."""
        if not count:
            return members
        whole, rest = divmod(count, len(members))
        parts = [members + visit * self._pairs for visit in range(whole)]
        return np.concatenate([*parts, rng.permutation(members)[:rest] + whole * self._pairs])

    def _grouped(self, numbers: Numbers, lengths: Numbers, number: int, rng: np.random.Generator) -> Numbers:
        """Sorted by length within spans, the steps of which are then shuffled."""
        head = min(-number * len(self) % self._step, len(numbers))  # they finish the step before this pass
        steps: list[Numbers] = []
        for first in range(head, len(numbers), _SPAN * self._step):
            span = lengths[first : first + _SPAN * self._step]
            places = first + np.argsort(-span, kind="stable")
            steps += np.split(places, range(self._step, len(places), self._step))
        tail = [steps.pop()] if steps and len(steps[-1]) < self._step else []  # goes on in the next pass
        steps = [steps[place] for place in rng.permutation(len(steps))]
        if number == 0 and steps:
            longest = max(range(len(steps)), key=lambda place: int(lengths[steps[place][0]]))
            steps[0], steps[longest] = steps[longest], steps[0]
        return numbers[np.concatenate([np.arange(head), *steps, *tail])]


def _visits(pairs: int, weight: float) -> int:
    """Visits of a set in a pass; at least one, where there is a pair."""
    return max(1, round(weight * pairs)) if pairs else 0


class Passes(Sampler[int]):
    """Pass after pass, until `total` numbers were drawn.

    Args:
        order: of each pass.
        total: how many to draw.
    """

    def __init__(self, order: Order, total: int) -> None:
        self._order = order
        self._total = total

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[int]:
        left, number = self._total, 0
        while left > 0:
            drawn = self._order(number)[:left]
            yield from map(int, drawn)
            left -= len(drawn)
            number += 1
