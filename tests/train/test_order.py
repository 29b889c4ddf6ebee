"""The order of examples: each once a pass, and the same whatever the number of processes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from desta2.train.order import Passes, shuffled


@given(st.integers(1, 40), st.integers(1, 100), st.integers(0, 5))
def test_every_pass_has_every_example_once(examples, total, seed):
    drawn = list(Passes(shuffled(examples, seed), total))
    assert len(drawn) == total == len(Passes(shuffled(examples, seed), total))
    for first in range(0, total, examples):
        part = drawn[first : first + examples]
        assert len(set(part)) == len(part) and set(part) <= set(range(examples))
    assert max(Counter(drawn).values()) - min(Counter(drawn)[i] for i in range(examples)) <= 1


@given(st.integers(1, 40), st.integers(1, 100), st.integers(1, 100))
def test_a_longer_run_begins_like_a_shorter_one(examples, shorter, more):
    order = shuffled(examples, 1)
    assert list(Passes(order, shorter + more))[:shorter] == list(Passes(order, shorter))


def test_passes_and_seeds_have_orders_of_their_own():
    order = shuffled(50, 1)
    assert order(0) == order(0) != order(1) != shuffled(50, 2)(1)
