import time

import numpy as np
import pytest

from desta2.errors import InputError
from desta2.evaluate.stats import Interval, cluster_bootstrap, ratio_bootstrap


def test_value_is_the_mean_over_groups_and_n_counts_items():
    # Group a: 3 of 4 right; group b: 0 of 1. The mean over items would be 0.6.
    score = cluster_bootstrap([1, 1, 1, 0, 0], list("aaaab"), list("stuvw"))
    assert score.value == pytest.approx(0.375)
    assert score.n == 5
    assert score.low <= score.value <= score.high


def test_ratio_is_of_sums_not_the_mean_of_ratios():
    assert ratio_bootstrap([1, 9], [1, 99], ["all"] * 2, ["a", "b"]).value == pytest.approx(0.1)


def test_to_dict_holds_plain_numbers():
    assert Interval(0.5, 0.25, 0.75, 8).to_dict() == {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8}
    found = cluster_bootstrap(np.ones(3, bool), np.zeros(3), np.arange(3)).to_dict()
    assert [type(part) for part in found.values()] == [float, float, float, int]


def test_equals_a_plain_loop_over_resamples():
    """The vectorised sums against drawing clusters one by one, with a group that some resamples lack."""
    rng = np.random.default_rng(3)
    values, groups, clusters = rng.random(60), rng.integers(3, size=60), rng.integers(12, size=60)
    groups[clusters == 0] = 3
    rows = {c: (values[clusters == c], groups[clusters == c]) for c in range(12)}
    means = []
    for _ in range(1000):
        drawn = [rows[c] for c in rng.integers(12, size=12)]
        v, g = (np.concatenate(part) for part in zip(*drawn, strict=True))
        means.append(np.mean([v[g == group].mean() for group in np.unique(g)]))
    found = cluster_bootstrap(values, groups, clusters, resamples=4000)
    # 0.0146 in each tail is what the expansion gives for 12 clusters.
    assert [found.low, found.high] == pytest.approx(list(np.quantile(means, [0.0146, 0.9854])), abs=0.025)


@pytest.mark.parametrize("speakers", [8, 40])
def test_coverage_of_the_95_percent_interval(speakers):
    """Speakers differ in how often they are understood; the truth is the mean over all possible speakers."""
    rng = np.random.default_rng(speakers)
    truth = rng.uniform(0.4, 0.8, size=4)
    groups, clusters = np.tile(np.repeat(np.arange(4), 3), speakers), np.repeat(np.arange(speakers), 12)
    held = 0
    for _ in range(200):
        chances = rng.beta(truth * 2, (1 - truth) * 2, size=(speakers, 4))
        right = rng.random((speakers, 4, 3)) < chances[:, :, None]
        score = cluster_bootstrap(right.ravel(), groups, clusters, resamples=200)
        held += score.low <= truth.mean() <= score.high
    assert 0.90 <= held / 200 <= 0.99


def test_items_of_one_speaker_do_not_count_as_independent():
    rng = np.random.default_rng(1)
    speakers = np.repeat(np.arange(20), 30)
    right = np.repeat(rng.random(20) < 0.5, 30)
    together = cluster_bootstrap(right, np.zeros(600), speakers)
    apart = cluster_bootstrap(right, np.zeros(600), np.arange(600))
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_same_seed_same_interval_whatever_the_names():
    rng = np.random.default_rng(2)
    values, groups, clusters = rng.random(50), rng.integers(3, size=50), rng.integers(9, size=50)
    first = cluster_bootstrap(values, groups, clusters)
    assert cluster_bootstrap(values, [f"g{g}" for g in groups], [f"s{c}" for c in clusters]) == first
    assert cluster_bootstrap(values, groups, clusters, seed=1) != first
    wide, narrow = (cluster_bootstrap(values, groups, clusters, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_cluster_gives_no_width():
    assert cluster_bootstrap([1, 0, 1, 1], list("aabb"), ["only"] * 4) == Interval(0.75, 0.75, 0.75, 4)


def test_where_all_are_right_the_interval_has_a_width():
    """Of 50 right out of 50, the lower end is the rate that gives this in 5 % of cases."""
    score = cluster_bootstrap(np.ones(50))
    assert (score.value, score.high) == (1.0, 1.0)
    assert score.low**50 == pytest.approx(0.05)
    assert cluster_bootstrap(np.zeros(50)) == Interval(0.0, 0.0, pytest.approx(1 - score.low), 50)
    by_speaker = cluster_bootstrap(np.ones(50), None, np.arange(50) // 10)
    assert by_speaker.low**5 == pytest.approx(0.05)


@pytest.mark.parametrize(("chance", "n"), [(0.8, 100), (0.5, 30)])
def test_coverage_for_independent_items(chance, n):
    rng = np.random.default_rng(n)
    scores = [cluster_bootstrap(rng.random(n) < chance, resamples=300) for _ in range(300)]
    assert 0.90 <= sum(score.low <= chance <= score.high for score in scores) / 300 <= 0.99


def test_coverage_of_a_rate_near_one():
    """22 % of such samples hold no failure: without the rule of three their interval would be [1, 1]."""
    rng = np.random.default_rng(3)
    scores = [cluster_bootstrap(rng.random(50) < 0.97, resamples=300) for _ in range(300)]
    assert sum(score.low <= 0.97 <= score.high for score in scores) / 300 >= 0.90


def test_fast_enough_for_a_whole_benchmark():
    rng = np.random.default_rng(0)
    values, groups, clusters = rng.random(8000), rng.integers(8, size=8000), rng.integers(40, size=8000)
    started = time.process_time()
    cluster_bootstrap(values, groups, clusters)
    assert time.process_time() - started < 1.0


def test_errors_say_what_was_given():
    with pytest.raises(InputError, match="no items to score"):
        cluster_bootstrap([], [], [])
    with pytest.raises(
        InputError, match=r"shapes \[\(2,\), \(2,\), \(1,\), \(2,\)\], expected \(n,\) for all"
    ):
        cluster_bootstrap([1, 0], ["a"], ["s", "t"])
    with pytest.raises(InputError, match="not finite"):
        cluster_bootstrap([float("nan")], ["a"], ["s"])
    with pytest.raises(InputError, match="given level=95 and resamples=10"):
        cluster_bootstrap([1], ["a"], ["s"], level=95, resamples=10)
    with pytest.raises(InputError, match="denominators sum to 0"):
        ratio_bootstrap([1, 1], [1, 0], ["a", "b"], ["s", "t"])
