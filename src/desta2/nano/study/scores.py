"""Scores over several seeds, and differences of two variants, each with an interval.

A variant's score is the mean over its seeds. Two things make it uncertain: who was tested (the same
speakers at every seed) and which seeds were trained. Both are resampled at once, and apart from each other:
speakers with replacement, the same ones for all seeds, as in `stats`; and seeds with replacement, their
deviations from the mean enlarged by √(S/(S−1)) for S seeds, since S draws from S seeds scatter too little
by that factor (Rao & Wu, "Resampling Inference with Complex Survey Data", 1988). Differences are taken item
by item and seed by seed first.

The trade-off: three seeds say little about a fourth, and no interval makes up for that. The scores of each
seed stand beside the mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from desta2.errors import InputError
from desta2.evaluate.rows import Entry, Kind, Row
from desta2.evaluate.stats import Interval, Score, expanded_tail, mean_of_ratios, with_width

RESAMPLES = 2000
LEVEL = 0.95
_LIMITS: dict[Kind, tuple[float, float]] = {"rate": (0.0, 1.0), "error": (0.0, math.inf)}


class SeedScore(Score):
    """A score over seeds: `n` items at each; `by_seed` has each seed's own score, its speakers resampled."""

    level: int
    kind: Kind
    by_seed: dict[str, Score]


def score_rows(seeds: Mapping[int, Sequence[Row]]) -> dict[str, SeedScore]:
    """Every row that all seeds have, by name.

    Args:
        seeds: seed → its table.

    Raises:
        InputError: the seeds do not have the same items.
    """
    tables = {seed: {row.name: row for row in rows} for seed, rows in seeds.items()}
    first = next(iter(tables.values()))
    return {
        name: score_row({seed: table[name] for seed, table in tables.items()})
        for name in first
        if all(name in table for table in tables.values())
    }


def score_row(rows: Mapping[int, Row]) -> SeedScore:
    """One row of all seeds.

    Raises:
        InputError: the seeds do not have the same items.
    """
    some = next(iter(rows.values()))
    found = over_seeds([row.entries for row in rows.values()])
    if some.kind == "rate":
        values = [entry.value for row in rows.values() for entry in row.entries]
        clusters = [entry.cluster for row in rows.values() for entry in row.entries]
        found = with_width(found, values, clusters, LEVEL)
    low, high = _LIMITS.get(some.kind, (-math.inf, math.inf))
    return {
        "value": found.value,
        "low": max(low, found.low),
        "high": min(high, found.high),
        "n": some.n,
        "level": some.level,
        "kind": some.kind,
        "by_seed": {str(seed): row.score().to_dict() for seed, row in rows.items()},
    }


def differences(
    ones: Mapping[int, Sequence[Row]], others: Mapping[int, Sequence[Row]]
) -> dict[str, SeedScore]:
    """How much higher the first of two variants scores, item by item, over the seeds of both.

    Raises:
        InputError: they were not asked the same.
    """
    both = [seed for seed in ones if seed in others]
    return score_rows({seed: list(_gains(ones[seed], others[seed])) for seed in both}) if both else {}


def _gains(ones: Sequence[Row], others: Sequence[Row]) -> list[Row]:
    theirs = {row.name: row for row in others}
    return [gain(row, theirs[row.name]) for row in ones if row.name in theirs]


def gain(one: Row, other: Row) -> Row:
    """A row of the differences of two rows of the same items.

    Raises:
        InputError: they do not have the same items.
    """
    theirs = {(entry.id, entry.group): entry.value for entry in other.entries}
    if {(entry.id, entry.group) for entry in one.entries} != theirs.keys():
        raise InputError(
            f"two runs were asked different things ({one.name}): expected predictions about the same clips; "
            "delete the evaluation of one of them, and run the study again"
        )
    entries = [entry._replace(value=entry.value - theirs[entry.id, entry.group]) for entry in one.entries]
    return Row(one.name, one.level, "gain", entries)


def over_seeds(seeds: Sequence[Sequence[Entry]]) -> Interval:
    """The mean over seeds of the mean over groups of Σ value ÷ Σ size.

    Args:
        seeds: of each seed the entries; the same items in any order.

    Raises:
        InputError: the seeds do not have the same items.
    """
    if len({frozenset((entry.id, entry.group) for entry in entries) for entries in seeds}) > 1:
        raise InputError("given seeds that were asked different things; expected the same items for all")
    sums, sizes = _cells(seeds)  # (seeds, clusters, groups) each
    count, clusters, _ = sums.shape
    rng = np.random.default_rng(0)
    speakers = rng.multinomial(clusters, np.full(clusters, 1 / clusters), RESAMPLES)  # (resamples, clusters)
    scores = np.stack([mean_of_ratios(speakers @ sums[s], speakers @ sizes[s]) for s in range(count)], axis=1)
    drawn = np.nansum(scores * _seed_weights(count, rng), axis=1)  # (resamples,)
    drawn = drawn[~np.isnan(scores).any(axis=1)]
    value = float(np.mean(mean_of_ratios(sums.sum(axis=1), sizes.sum(axis=1))))
    tail = expanded_tail(1 - LEVEL, clusters)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, min(value, float(low)), max(value, float(high)), len(seeds[0]))


def _cells(seeds: Sequence[Sequence[Entry]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    clusters = {name: i for i, name in enumerate(sorted({entry.cluster for entry in seeds[0]}))}
    groups = {name: i for i, name in enumerate(sorted({entry.group for entry in seeds[0]}))}
    sums = np.zeros((len(seeds), len(clusters), len(groups)))
    sizes = np.zeros_like(sums)
    for seed, entries in enumerate(seeds):
        for entry in entries:
            place = seed, clusters[entry.cluster], groups[entry.group]
            sums[place] += entry.value
            sizes[place] += entry.size
    return sums, sizes


def _seed_weights(seeds: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much each seed counts in each resample: (resamples, seeds), 1 in sum."""
    shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    enlarged = 1.0 if seeds == 1 else math.sqrt(seeds / (seeds - 1))
    weights: NDArray[np.float64] = 1 / seeds + enlarged * (shares - 1 / seeds)
    return weights
