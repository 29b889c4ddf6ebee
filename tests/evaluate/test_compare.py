import numpy as np
import pytest

from desta2.errors import InputError
from desta2.evaluate.compare import Comparison, compare_paired


def test_difference_of_means_over_groups():
    found = compare_paired([1, 1, 1, 0], [0, 1, 1, 1], ["a", "b", "b", "b"])
    assert found.difference == pytest.approx((1 - 1 / 3) / 2)
    assert found.n == 4
    assert found.to_dict() == {
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "n": 4,
    }


def test_equal_systems():
    assert compare_paired([1, 0, 1], [1, 0, 1]) == Comparison(0.0, 0.0, 0.0, 1.0, 3)
    assert compare_paired([1, 0, 1], [1, 0, 1]).within_noise


def test_turned_round():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 50))
    there, back = compare_paired(one, other), compare_paired(other, one)
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high, abs=0.02)
    assert there.p_value == pytest.approx(back.p_value)


def test_p_value_is_that_of_the_sign_test():
    """Of 10 items that differ, 9 favour the first: both tails of the binomial hold 22 of 1024 outcomes."""
    found = compare_paired([1] * 9 + [0] + [1] * 30, [0] * 9 + [1] + [1] * 30, swaps=40_000)
    assert found.p_value == pytest.approx(22 / 1024, abs=0.003)
    assert not found.within_noise


def test_few_clusters_show_nothing():
    clusters = np.repeat(np.arange(4), 25)
    found = compare_paired(np.ones(100), np.zeros(100), None, clusters)
    assert found.p_value == pytest.approx(2 / 16, abs=0.02)
    assert found.within_noise
    assert not compare_paired(np.ones(100), np.zeros(100)).within_noise


def test_pairing_is_narrower_than_two_scores():
    rng = np.random.default_rng(1)
    hard = rng.random(400)
    one = (hard > 0.5).astype(float)
    other = one.copy()
    other[:12] = 0
    found = compare_paired(one, other)
    assert found.low > 0
    assert found.high - found.low < 0.04  # each score's own interval is about 0.1 wide


def test_true_difference_is_covered_and_false_alarms_are_rare():
    rng = np.random.default_rng(2)
    covered = alarms = 0
    for _ in range(200):
        ease = rng.beta(2, 1, size=30)[:, None]  # clips differ
        one, other = rng.random((2, 30, 4)) < ease
        clusters = np.repeat(np.arange(30), 4)
        equal = compare_paired(one.ravel(), other.ravel(), None, clusters, resamples=300, swaps=300)
        alarms += equal.p_value <= 0.05
        worse = rng.random((30, 4)) < ease * 0.8
        found = compare_paired(one.ravel(), worse.ravel(), None, clusters, resamples=300, swaps=1)
        covered += found.low <= 0.2 * 2 / 3 <= found.high
    assert 0.90 <= covered / 200 <= 0.99
    assert alarms / 200 <= 0.10


def test_errors_say_what_was_given():
    with pytest.raises(
        InputError, match="given scores of 2 and 1 items, expected both systems' on the same items"
    ):
        compare_paired([1, 0], [1])
    with pytest.raises(InputError, match="given swaps=0, expected 1 or more"):
        compare_paired([1], [1], swaps=0)
    with pytest.raises(InputError, match="no items to score"):
        compare_paired([], [])
    with pytest.raises(InputError, match="not finite"):
        compare_paired([float("nan")], [1])
