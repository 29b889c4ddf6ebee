"""The order in which training meets the examples.

It is a function of the seed and the number of the pass alone. An optimiser step takes the next examples of
that order, however they are divided among processes and accumulated batches, so what a step learns from does
not depend on the hardware, and the place in the data is the number of the step. Steps go on across the end
of a pass: all are of one size, and the last step of a run may reach into a pass more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

Order = Callable[[int], Sequence[int]]
"""Number of a pass, from 0 → the examples in its order, each once."""


def shuffled(examples: int, seed: int) -> Order:
    """An order of its own for every pass."""

    def order(number: int) -> Sequence[int]:
        return np.random.default_rng([seed, number]).permutation(examples).tolist()

    return order


class Passes(Sampler[int]):
    """Pass after pass, until `total` examples were drawn.

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
            yield from drawn
            left -= len(drawn)
            number += 1
