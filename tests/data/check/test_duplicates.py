"""Exact and near duplicates: answer and seed both count, the first one stays, shared phrasing is no crime."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data.check.item import Item
from desta2.data.check.near_duplicate import band_keys, jaccard, shingles

STORY = (
    "In this clip we hear a speaker who describes how the old sailor came home after many years at sea, went up "
    "the narrow road to the school, found it closed, and rested there until the evening came and somebody saw him."
)


@pytest.fixture
def ask(a_filter, make_pair):
    """`ask(name, *pairs)`: what a filter says of each pair, remembering those that it keeps."""

    def asked(name, *pairs, **config):
        found, one = [], a_filter(name, **config)
        for number, fields in enumerate(pairs):
            item = Item(make_pair(**({"id": f"p{number}"} | fields)), Path("pairs"))
            found.append(one.find(item))
            if found[-1] is None:
                one.remember(item)
        return [None if f is None else f.reason for f in found]

    return asked


def test_exact_duplicates(ask):
    assert ask(
        "duplicate",
        {"response": "The gender is male."},
        {"response": "the GENDER is   male"},
        {"response": "The gender is female."},
        {"response": "The gender is male.", "seed": '[00:00:00 - 00:00:04] "another one"'},
        {"response": "The gender is male.", "prompt": "Who speaks?"},
        {"response": "The gender is male."},
    ) == [None, "the same answer and seed as 'p0'", None, None, None, "the same answer and seed as 'p0'"]


def test_near_duplicates(ask):
    assert ask(
        "near-duplicate",
        {"response": STORY},
        {"response": STORY.replace("him.", "her.")},
        {"response": STORY.replace("old sailor", "young painter").replace("school", "ship")},
        {"response": STORY, "seed": '[00:00:00 - 00:00:09] "quite another text" (Gender: Female)'},
        {"response": STORY, "prompt": "Who speaks?"},
    ) == [None, "answer 95% and seed 100% like those of 'p0'", None, None, None]


def test_one_other_attribute_is_no_duplicate(ask):
    """The descriptions of two voices with the same words differ in one word: that word is the point."""
    described = STORY + " The pitch is {}."
    seed = f'[00:00:00 - 00:00:30] "{STORY}" (Gender: Male, Pitch: {{}}, Duration: 30s)'
    pairs = [{"response": described.format(p.lower()), "seed": seed.format(p)} for p in ("Low", "High")]
    assert ask("near-duplicate", *pairs) == [None, None]
    loose = ask("near-duplicate", *pairs, near_duplicate={"answer": 0.8, "seed": 0.8})
    assert loose[0] is None
    assert loose[1].endswith("like those of 'p0'")


def test_answers_alone(ask):
    pairs = [{"response": STORY}, {"response": STORY, "seed": '[00:00:00 - 00:00:09] "quite another text"'}]
    assert ask("near-duplicate", *pairs, near_duplicate={"seed": 0})[1].startswith("answer 100%")


@pytest.mark.parametrize("name", ["duplicate", "near-duplicate"])
def test_hostile_pairs(ask, name):
    pairs = [{"response": r, "seed": s} for r in ("", "\x00", "🙂") for s in ("", "\x00")]
    assert ask(name, *pairs)[0] is None
    assert ask(name, {"response": "word " * 200_000}, {"response": "word " * 200_000})[1] is not None


@given(st.lists(st.integers(0, 60), min_size=1), st.lists(st.integers(0, 60), min_size=1))
def test_jaccard_is_that_of_sets(one, other):
    a, b = (np.unique(np.array(x, np.uint32)) for x in (one, other))
    assert jaccard(a, b) == len({*one} & {*other}) / len({*one} | {*other})
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, a) == 1


def test_bands_find_what_is_alike_and_little_else():
    rng = np.random.default_rng(0)

    def shares_a_band(similarity):
        both, own = round(100 * similarity), round(100 * (1 - similarity) / 2)
        numbers = rng.choice(1 << 32, both + 2 * own, replace=False).astype(np.uint32)
        one, other = np.sort(numbers[: both + own]), np.sort(np.delete(numbers, slice(both, both + own)))
        assert jaccard(one, other) == pytest.approx(similarity, abs=0.02)
        return bool(set(band_keys(one, "p")) & set(band_keys(other, "p")))

    rates = {s: np.mean([shares_a_band(s) for _ in range(200)]) for s in (0.3, 0.8, 0.9)}
    # expected 1 - (1 - s^12)^12: 6e-6, 0.57, 0.98
    assert rates[0.3] < 0.02
    assert 0.43 < rates[0.8] < 0.70
    assert rates[0.9] > 0.93


def test_shingles():
    assert len(shingles("a b c d", 3)) == 2
    assert len(shingles("a b", 3)) == len(shingles("", 3)) == 1
    assert np.array_equal(shingles("A, b c!", 3), shingles("a b c", 3))
    assert set(band_keys(shingles("a", 3), "one prompt")).isdisjoint(band_keys(shingles("a", 3), "another"))
