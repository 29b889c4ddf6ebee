"""Whether one system is better than another on the same items, or only luckier.

Both systems answered the same items, so items are compared one by one: what makes an item hard cancels out,
and the interval of the difference is narrower than the two scores' own intervals suggest. The p-value is that
of approximate randomisation: if the systems were equal, their answers could as well be swapped, cluster by
cluster; it is the share of random swaps that give a difference at least as large (Noreen, "Computer-Intensive
Methods for Testing Hypotheses", 1989; for language systems Yeh, "More accurate tests for the statistical
significance of result differences", 2000).

The trade-off: swapping assumes nothing about the scores, but the smallest possible p-value is 1 ÷ (swaps +
1), and with few clusters it is 2 ÷ 2^clusters: five speakers can never show a difference at p < 0.05.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from desta2.errors import InputError
from desta2.evaluate.stats import ratio_bootstrap

_SIGNS_AT_ONCE = 1 << 20  # random signs held in memory at a time: 8 MB
_ROUNDING = 1e-12  # sums of the same values in another order may differ by this


class Difference(TypedDict):
    """A `Comparison` in JSON."""

    difference: float
    low: float
    high: float
    p_value: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """How much better the first of two systems is.

    Attributes:
        difference: its score minus the other's.
        low: lower end of the difference's confidence interval.
        high: its upper end.
        p_value: two-sided, of the hypothesis that the systems are equal.
        n: the number of items that both answered.
        level: of confidence.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    level: float = 0.95

    @property
    def within_noise(self) -> bool:
        """Whether equal systems would show such a difference too: by the interval, or by the p-value."""
        return self.low <= 0 <= self.high or self.p_value > 1 - self.level

    def to_dict(self) -> Difference:
        """The plain values for JSON."""
        return {
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
            "n": self.n,
        }


def compare_paired(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    sizes: ArrayLike | None = None,
    resamples: int = 2000,
    swaps: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare the scores of two systems on the same items, in the same order.

    Args:
        first: (n,) the items' scores of one system, such as right or wrong.
        second: (n,) those of the other.
        groups: (n,) see `cluster_bootstrap`: the compared score is the mean over groups of their means.
        clusters: (n,) what is resampled and swapped as a whole; None where items are independent.
        sizes: (n,) what the items' scores are divided by together, such as words by which errors are
            divided; None for a mean.
        resamples: how often, for the interval.
        swaps: how often, for the p-value.
        level: of confidence, between 0 and 1.
        seed: the same seed gives the same result.

    Raises:
        InputError: nothing to compare, lengths that differ, or values that are not finite.
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != other.shape:
        raise InputError(
            f"given scores of {one.size} and {other.size} items, expected both systems' on the same items"
        )
    if swaps < 1:
        raise InputError(f"given swaps={swaps}, expected 1 or more")
    gains = one - other
    groups = np.zeros(gains.shape) if groups is None else groups
    clusters = np.arange(gains.size) if clusters is None else clusters
    below = np.ones(gains.shape) if sizes is None else np.asarray(sizes, dtype=np.float64)
    found = ratio_bootstrap(gains, below, groups, clusters, resamples=resamples, level=level, seed=seed)
    p_value = _swapped(gains, below, groups, clusters, swaps, np.random.default_rng(seed))
    return Comparison(found.value, found.low, found.high, p_value, found.n, level)


def _swapped(
    gains: NDArray[np.float64],
    sizes: NDArray[np.float64],
    groups: ArrayLike,
    clusters: ArrayLike,
    swaps: int,
    rng: np.random.Generator,
) -> float:
    """The p-value of approximate randomisation: swapping the systems in a cluster turns its gains' sign."""
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    totals = np.bincount(group, sizes)
    shares = np.bincount(cluster, gains / totals[group] / len(totals))  # (clusters,) of the score
    shown = abs(shares.sum()) - _ROUNDING
    as_large = 0
    for start in range(0, swaps, step := max(1, _SIGNS_AT_ONCE // len(shares))):
        rows = min(step, swaps - start)
        signs = rng.integers(2, size=(rows, len(shares)), dtype=np.int8) * 2 - 1
        as_large += int((abs(signs @ shares) >= shown).sum())
    return (as_large + 1) / (swaps + 1)
