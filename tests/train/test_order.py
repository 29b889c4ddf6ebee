"""The order of pairs: whole, weighted, grouped, and the same whatever the number of processes."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.train.order import Order, Passes


def plain(pairs, seed=0):
    return Order([0] * pairs, [1.0], seed)


@given(st.integers(1, 40), st.integers(1, 100), st.integers(0, 5))
def test_every_pass_has_every_pair_once(pairs, total, seed):
    drawn = list(Passes(plain(pairs, seed), total))
    assert len(drawn) == total == len(Passes(plain(pairs, seed), total))
    assert len(set(drawn)) == total, "every visit has a number of its own"
    for first in range(0, total, pairs):
        part = drawn[first : first + pairs]
        assert {number // pairs for number in part} == {first // pairs}, "the visit tells the pass"
        own = [number % pairs for number in part]
        assert len(set(own)) == len(own) and set(own) <= set(range(pairs))


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=80), st.integers(1, 7), st.integers(0, 3),
    st.sampled_from([[1.0, 1.0], [2.5, 0.5], [0.1, 3.0]]),
)  # fmt: skip
def test_grouping_changes_the_order_alone(lengths, step, number, weights):
    sets = [place % 2 for place in range(len(lengths))]
    grouped = Order(sets, weights, 5, lengths=lengths, step=step)
    own = grouped(number).tolist()
    assert sorted(own) == sorted(Order(sets, weights, 5)(number).tolist())
    assert len(own) == len(grouped) == len(set(own))
    assert grouped(number).tolist() == own


@given(st.integers(1, 40), st.integers(1, 100), st.integers(1, 100))
def test_a_longer_run_begins_like_a_shorter_one(pairs, shorter, more):
    order = plain(pairs, 1)
    assert list(Passes(order, shorter + more))[:shorter] == list(Passes(order, shorter))


def test_passes_and_seeds_have_orders_of_their_own():
    order = plain(50, 1)
    first, second = order(0), order(1) % 50
    assert np.array_equal(first, order(0))
    assert not np.array_equal(first, second) and not np.array_equal(first, plain(50, 2)(0))


def test_weights_are_visits():
    order = Order([0] * 10 + [1] * 20, [2.5, 0.5], 0)
    assert len(order) == 25 + 10
    seen, visits = Counter(), []
    for number in range(40):
        own = order(number).tolist()
        counts = Counter(n % 30 for n in own)
        assert all(counts[pair] in (2, 3) for pair in range(10))
        assert max(counts[pair] for pair in range(10, 30)) == 1
        seen += counts
        visits += own
    assert len(set(visits)) == len(visits) == 40 * 35, "no visit twice"
    assert all(80 < seen[pair] <= 120 for pair in range(10))
    assert all(5 < seen[pair] < 35 for pair in range(10, 30)), "another part of the set in each pass"


def test_a_set_that_lost_all_its_pairs():
    assert sorted(Order([1, 1], [1.0, 1.0], 0)(0).tolist()) == [0, 1]


LENGTHS = [(7 * i) % 101 + 1 for i in range(1003)]


@pytest.mark.parametrize("batch", [8, 2])
def test_grouped_batches_hold_little_padding(batch):
    """In every pass, though none ends with a step; and when a step is divided into smaller batches."""
    padded, long = {}, {}
    for grouped in (False, True):
        order = Order([0] * 1003, [1.0], 3, lengths=LENGTHS if grouped else None, step=8)
        sizes = [LENGTHS[n % 1003] for n in Passes(order, 3 * 1000)]
        batches = [sizes[i : i + batch] for i in range(0, len(sizes), batch)]
        padded[grouped] = sum(max(own) * len(own) for own in batches)
        long[grouped] = batches
    assert padded[True] < 1.1 * 3 * sum(LENGTHS)
    assert padded[True] < (0.75 if batch == 8 else 0.9) * padded[False]
    assert max(long[True][0]) == 101, "the longest first"
    means = [sum(own) / len(own) for own in long[True]]
    assert sorted(means) != means and sorted(means, reverse=True) != means
