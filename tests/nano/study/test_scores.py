"""Means over seeds, differences, and intervals that know of speakers and of seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.rows import Entry, Row
from desta2.nano.study.scores import differences, gain, over_seeds, score_row, score_rows

SPEAKERS, ITEMS = 20, 10


def entries(rates, seed=0, group=""):
    """Items of speakers, right with the probability of their speaker."""
    rng = np.random.default_rng(seed)
    return [
        Entry(f"{speaker}/{i}", float(rng.random() < rate), f"s{speaker}", group)
        for speaker, rate in enumerate(rates)
        for i in range(ITEMS)
    ]


def row(some, name="accuracy", level=0, kind="rate"):
    return Row(name, level, kind, some)


def spread(interval):
    return interval.high - interval.low


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6), st.integers(1, 4))
def test_the_mean_over_seeds(rates, seeds):
    given_ = [entries(rates, seed) for seed in range(seeds)]
    found = over_seeds(given_)
    assert found.value == pytest.approx(np.mean([[entry.value for entry in own] for own in given_]))
    assert found.low <= found.value <= found.high
    assert found.n == len(rates) * ITEMS
    assert found == over_seeds(given_), "the same interval each time"


def test_one_seed_is_the_score_of_its_row():
    own = entries(np.linspace(0.2, 0.9, SPEAKERS))
    found, alone = over_seeds([own]), row(own).score()
    assert found.value == pytest.approx(alone.value)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_groups_count_alike_and_sizes_divide():
    own = [
        Entry("a", 1, "s0", "x"),
        Entry("b", 0, "s1", "y"),
        Entry("c", 0, "s2", "y"),
        Entry("d", 0, "s3", "y"),
    ]
    assert over_seeds([own]).value == pytest.approx(0.5)
    words = [Entry("a", 2, "s0", "", 10), Entry("b", 1, "s1", "", 20)]
    assert over_seeds([words]).value == pytest.approx(0.1)


def test_seeds_that_differ_widen_the_interval():
    """Three seeds that agree leave only the speakers; three that do not are less certain than any one of them."""
    middle = np.full(SPEAKERS, 0.5)
    agreeing = over_seeds([entries(middle, 1)] * 3)
    differing = over_seeds([entries(middle + shift, 1) for shift in (-0.3, 0.0, 0.3)])
    assert agreeing.value == pytest.approx(differing.value, abs=0.03)
    assert spread(differing) > 2 * spread(agreeing)


def test_the_interval_covers_a_fourth_kind_of_truth():
    """Simulated: seeds scatter by 0.05 around 0.6, speakers by 0.1; 95 % should hold the truth in most trials."""
    hits = 0
    for trial in range(60):
        rng = np.random.default_rng(trial)
        speakers = rng.normal(0, 0.1, SPEAKERS)
        seeds = [
            entries(np.clip(0.6 + rng.normal(0, 0.05) + speakers, 0, 1), 10 * trial + s) for s in range(3)
        ]
        found = over_seeds(seeds)
        hits += found.low <= 0.6 <= found.high
    assert hits >= 60 * 0.8


def test_a_row_has_its_seeds_beside_it():
    found = score_row({seed: row(entries([0.5] * SPEAKERS, seed)) for seed in (1, 2)})
    assert found["by_seed"].keys() == {"1", "2"}
    assert found["value"] == pytest.approx(np.mean([own["value"] for own in found["by_seed"].values()]))
    assert (found["n"], found["level"], found["kind"]) == (SPEAKERS * ITEMS, 0, "rate")
    sure = score_row({seed: row(entries([1.0] * SPEAKERS)) for seed in (1, 2)})
    assert (sure["value"], sure["high"]) == (1, 1)
    assert 0.8 < sure["low"] < 0.9, "nothing wrong among twenty speakers is not certainty"


def test_only_rows_of_all_seeds_are_scored():
    whole, part = row(entries([0.5] * 4)), row(entries([0.5] * 4), "part", 1)
    assert score_rows({1: [whole, part], 2: [whole]}).keys() == {"accuracy"}


def test_a_difference_is_taken_item_by_item():
    better, worse = entries([1.0] * SPEAKERS), entries([0.0] * SPEAKERS)
    found = differences(
        {1: [row(better)], 2: [row(better)], 3: [row(better)]}, {1: [row(worse)], 2: [row(worse)]}
    )
    score = found["accuracy"]
    assert [score[end] for end in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    assert score["kind"] == "gain"
    assert score["by_seed"].keys() == {"1", "2"}, "seeds of both"
    same = entries([0.5] * SPEAKERS)
    turned = list(reversed(same))
    assert differences({1: [row(same)]}, {1: [row(turned)]})["accuracy"]["value"] == 0
    assert differences({1: [row(same)]}, {2: [row(same)]}) == {}


def test_different_questions_are_refused():
    one, other = entries([0.5] * 3), entries([0.5] * 4)
    with pytest.raises(InputError, match=r"two runs were asked different things \(accuracy\)"):
        gain(row(one), row(other))
    with pytest.raises(InputError, match="given seeds that were asked different things"):
        over_seeds([one, other])
