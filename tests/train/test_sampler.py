"""The order of an epoch: whole, weighted, grouped, and a function of seed and epoch alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.train.sampler import EpochSampler


def epoch(sampler, number):
    sampler.set_epoch(number)
    return list(sampler)


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=80), st.integers(1, 7), st.booleans(), st.integers(0, 3)
)
def test_an_epoch_is_every_pair_once(lengths, batch, grouped, number):
    sampler = EpochSampler([0] * len(lengths), [1.0], 5, lengths=lengths if grouped else None, batch=batch)
    own = epoch(sampler, number)
    assert len(own) == len(sampler)
    assert sorted(n % len(lengths) for n in own) == list(range(len(lengths)))
    assert {n // len(lengths) for n in own} == {number}, "the visit tells the epoch"
    assert epoch(sampler, number) == own


def test_epochs_and_seeds_differ_and_follow_each_other():
    one, other = (EpochSampler([0] * 50, [1.0], seed) for seed in (1, 2))
    first, second = [n % 50 for n in one], [n % 50 for n in one]
    assert first != second and first != [n % 50 for n in other]
    assert [n % 50 for n in epoch(one, 1)] == second


def test_weights_are_visits():
    sampler = EpochSampler([0] * 10 + [1] * 20, [2.5, 0.5], 0)
    assert len(sampler) == 25 + 10
    seen = Counter()
    for number in range(40):
        own = epoch(sampler, number)
        assert len(set(own)) == 35, "no visit twice"
        counts = Counter(n % 30 for n in own)
        assert all(counts[pair] in (2, 3) for pair in range(10))
        assert max(counts[pair] for pair in range(10, 30)) == 1
        seen += counts
    assert all(80 < seen[pair] <= 120 for pair in range(10))
    assert all(5 < seen[pair] < 35 for pair in range(10, 30)), "another part of the set in each epoch"
    visits = [n // 30 for number in range(2) for n in epoch(sampler, number) if n % 30 == 0]
    assert len(set(visits)) == len(visits)


def test_grouped_batches_hold_little_padding():
    lengths = [(7 * i) % 101 + 1 for i in range(1003)]
    batches = {}
    for grouped in (False, True):
        order = epoch(EpochSampler([0] * 1003, [1.0], 3, lengths=lengths if grouped else None, batch=8), 2)
        sizes = [lengths[n % 1003] for n in order]
        batches[grouped] = [sizes[i : i + 8] for i in range(0, 1003, 8)]
    padded = {key: sum(max(own) * len(own) for own in value) for key, value in batches.items()}
    assert padded[True] < 1.1 * sum(lengths) < 0.75 * padded[False]
    assert max(batches[True][0]) == 101, "the longest first"
    assert len(batches[True][-1]) == 3
    means = [sum(own) / len(own) for own in batches[True]]
    assert sorted(means) != means and sorted(means, reverse=True) != means


@pytest.mark.parametrize("resumed", [0, 3])
def test_accelerate_skips_to_the_same_batches(resumed):
    """As the Trainer resumes: it skips batches, then tells the epoch."""
    from accelerate.data_loader import prepare_data_loader, skip_first_batches
    from torch.utils.data import DataLoader

    def loader():
        sampler = EpochSampler([0] * 20, [1.0], 3, lengths=list(range(20)), batch=4)
        return prepare_data_loader(DataLoader(range(100), batch_size=4, sampler=sampler), num_processes=1)

    whole = loader()
    whole.set_epoch(2)
    expected = [own.tolist() for own in whole]
    skipped = skip_first_batches(loader(), resumed)
    skipped.set_epoch(2)
    assert [own.tolist() for own in skipped] == expected[resumed:]
