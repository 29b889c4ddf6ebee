"""Caches that are joined and thinned hold what they held."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache, Gemma2Config, LlamaConfig

from desta2.serve.caches import can_be_joined, joined, thinned

HEADS, WIDTH, LAYERS = 2, 3, 2


def cache(rows, length):
    made = DynamicCache()
    for layer in range(LAYERS):
        keys, values = torch.randn(2, rows, HEADS, length, WIDTH)
        made.update(keys, values, layer)
    return made


def row(made, number, length):
    """The last positions of a row: all layers, keys and values."""
    return [own[number, :, -length:] for layer in made.layers for own in (layer.keys, layer.values)]


sizes = st.tuples(st.integers(1, 3), st.integers(1, 4))


@given(sizes, sizes)
def test_joined_rows_are_the_rows_of_both(one, other):
    first, second = cache(*one), cache(*other)
    both = joined(first, second)
    assert both.get_seq_length() == max(one[1], other[1])
    for number in range(one[0]):
        for mine, theirs in zip(row(both, number, one[1]), row(first, number, one[1]), strict=True):
            assert torch.equal(mine, theirs)
    for number in range(other[0]):
        for mine, theirs in zip(
            row(both, one[0] + number, other[1]), row(second, number, other[1]), strict=True
        ):
            assert torch.equal(mine, theirs)
    padding = both.layers[0].keys[: one[0], :, : both.get_seq_length() - one[1]]
    assert not padding.any()


@given(st.integers(1, 4), st.integers(2, 5), st.data())
def test_thinned_caches_keep_rows_and_what_is_not_padding(rows, length, data):
    made = cache(rows, length)
    kept = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, unique=True))
    first = data.draw(st.integers(0, length - 1))
    thin = thinned(made, kept, first)
    for place, number in enumerate(kept):
        for mine, theirs in zip(
            row(thin, place, length - first), row(made, number, length - first), strict=True
        ):
            assert torch.equal(mine, theirs)
    assert thin.get_seq_length() == length - first


def test_only_caches_of_all_positions_are_joined():
    assert can_be_joined(DynamicCache(config=LlamaConfig(num_hidden_layers=2)))
    assert not can_be_joined(DynamicCache(config=Gemma2Config(num_hidden_layers=2)))
