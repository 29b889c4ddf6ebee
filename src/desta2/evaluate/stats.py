"""How sure a score is: means with bootstrap intervals that respect who spoke.

Items of one speaker succeed or fail together, so an interval that takes them for independent is too narrow.
Whole clusters (speakers, or clips) are therefore resampled with replacement: Efron & Tibshirani, "An
Introduction to the Bootstrap" (1993), ch. 13, for the percentile interval; Davison & Hinkley, "Bootstrap
Methods and their Application" (1997), §3.8, for clusters.

The trade-off: percentile intervals are simple and stay inside the range of the score, but with few clusters
they are too narrow (simulated with 5 speakers, 95 % covered 85 %). The tails are therefore moved outwards as
in Hesterberg, "What Teachers Should Know About the Bootstrap" (2015), "expanded percentile interval": the
quantile Φ(−√(C/(C−1))·t) for C clusters, t being Student's quantile with C−1 degrees of freedom (then 92 %).
What no resampling can show is what the sample does not hold: where all clusters score the same, and so also
where there is only one cluster, the interval has no width. One such case is common and has a known
answer: where every item is right, or none, the interval reaches to the rate that gives this in 5 % of samples
of as many items as there are clusters, the "rule of three" (Hanley & Lippman-Hand, "If Nothing Goes Wrong, Is
Everything All Right?", 1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from desta2.errors import InputError

_Floats: TypeAlias = NDArray[np.float64]
_DRAWS_AT_ONCE = 1 << 20  # draws of clusters held in memory at a time: 8 MB


class Score(TypedDict):
    """An `Interval` in JSON."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Interval:
    """A score with its confidence interval.

    Attributes:
        value: the score on all items.
        low: the interval's lower end.
        high: its upper end.
        n: the number of items scored.
    """

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> Score:
        """The four as plain values for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}


def cluster_bootstrap(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The mean over groups of the groups' means, so that each group counts alike, with its interval.

    Args:
        values: (n,) the items' scores, such as right or wrong.
        groups: (n,) what each item belongs to for the mean, such as its attribute; None for a plain mean.
        clusters: (n,) what is resampled, such as the speaker; None where items are independent.
        resamples: how often.
        level: of confidence, between 0 and 1.
        seed: the same seed gives the same interval.

    Raises:
        InputError: nothing to score, lengths that differ, or values that are not finite.
    """
    groups = np.zeros(np.shape(values)) if groups is None else groups
    clusters = np.arange(np.size(values)) if clusters is None else clusters
    found = ratio_bootstrap(
        values, np.ones(np.shape(values)), groups, clusters, resamples=resamples, level=level, seed=seed
    )
    return with_width(found, values, clusters, level)


def with_width(found: Interval, values: ArrayLike, clusters: ArrayLike, level: float = 0.95) -> Interval:
    """Give rates of exactly 0 and 1 the interval of the rule of three; others are returned as they are.

    Args:
        found: the interval of a bootstrap, which has no width where all values are equal.
        values: (n,) the items' scores.
        clusters: (n,) what was resampled.
        level: of confidence.
    """
    reach = (1 - level) ** (1 / len(np.unique(np.asarray(clusters))))
    if (np.asarray(values) == 1).all():
        return replace(found, low=float(reach))
    if (np.asarray(values) == 0).all():
        return replace(found, high=float(1 - reach))
    return found


def ratio_bootstrap(
    numerators: ArrayLike,
    denominators: ArrayLike,
    groups: ArrayLike,
    clusters: ArrayLike,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Like `cluster_bootstrap`, but each group's score is a ratio of sums, as errors ÷ words.

    A group without a positive denominator in a resample is left out of that resample's mean, and the rare
    resample without any group is left out of the interval.

    Args:
        numerators: (n,).
        denominators: (n,) none negative; their sum in each group positive.
        groups: (n,).
        clusters: (n,).
        resamples: see `cluster_bootstrap`.
        level: see `cluster_bootstrap`.
        seed: see `cluster_bootstrap`.

    Raises:
        InputError: nothing to score, lengths that differ, values that are not finite, or a sum of
            denominators that is not positive.
    """
    if not 0 < level < 1 or resamples < 1:
        given = f"level={level} and resamples={resamples}"
        raise InputError(f"given {given}, expected 0 < level < 1 and resamples ≥ 1")
    above, below = _checked(numerators, denominators, groups, clusters)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    shape = (int(cluster.max()) + 1, int(group.max()) + 1)
    cell, cells = np.ravel_multi_index((cluster, group), shape), math.prod(shape)
    sums: _Floats = np.bincount(cell, above, cells).astype(np.float64).reshape(shape)  # (clusters, groups)
    sizes: _Floats = np.bincount(cell, below, cells).astype(np.float64).reshape(shape)
    if not (sizes.sum(axis=0) > 0).all():
        raise InputError("cannot score a group whose denominators sum to 0: it has nothing to be divided by")
    value = float(mean_of_ratios(sums.sum(axis=0)[None], sizes.sum(axis=0)[None])[0])
    drawn = _resample(sums, sizes, resamples, np.random.default_rng(seed))
    tail = expanded_tail(1 - level, shape[0])
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high), len(above))


def _checked(
    numerators: ArrayLike, denominators: ArrayLike, groups: ArrayLike, clusters: ArrayLike
) -> tuple[_Floats, _Floats]:
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    shapes = [above.shape, below.shape, np.shape(groups), np.shape(clusters)]
    if above.ndim != 1 or len(set(shapes)) > 1:
        raise InputError(f"given values, groups and clusters of the shapes {shapes}, expected (n,) for all")
    if not above.size:
        raise InputError("there are no items to score: a mean needs at least one")
    if not (np.isfinite(above).all() and np.isfinite(below).all() and (below >= 0).all()):
        raise InputError(
            "given scores that are not finite, or negative denominators; expected finite numbers"
        )
    return above, below


def _resample(sums: _Floats, sizes: _Floats, resamples: int, rng: np.random.Generator) -> _Floats:
    """Scores of resampled clusters: (clusters, groups) twice → (resamples,).

    A resample is a count for each cluster, how often it was drawn: one product gives all its sums.
    """
    clusters = len(sums)
    scores = []
    for start in range(0, resamples, step := max(1, _DRAWS_AT_ONCE // clusters)):
        rows = min(step, resamples - start)
        # rng.multinomial has the same distribution, but is several times slower with thousands of clusters.
        draws = rng.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        weights = np.bincount(draws.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        scores.append(mean_of_ratios(weights @ sums, weights @ sizes))
    return np.concatenate(scores)


def mean_of_ratios(sums: _Floats, sizes: _Floats) -> _Floats:
    """Mean over the groups that are there of sum ÷ size: (rows, groups) twice → (rows,), NaN for none."""
    there = sizes > 0
    ratios = np.divide(sums, sizes, out=np.zeros_like(sums), where=there)
    groups = there.sum(axis=1)
    means: _Floats = np.divide(ratios.sum(axis=1), groups, out=np.full(len(sums), np.nan), where=groups > 0)
    return means


def expanded_tail(both_tails: float, clusters: int) -> float:
    """The share of resamples to cut off at each end, smaller the fewer clusters there are."""
    from scipy.special import ndtr, stdtrit

    if clusters == 1:
        return both_tails / 2  # Student's t has no degree of freedom; all resamples are equal anyway
    student = stdtrit(clusters - 1, both_tails / 2)  # negative
    return float(ndtr(math.sqrt(clusters / (clusters - 1)) * student))
