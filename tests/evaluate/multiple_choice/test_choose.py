"""The option that an answer chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.evaluate.multiple_choice.choose import LETTERS, Choice, choose, named_options

ANIMALS = ("dog", "cat", "dog barking", "a bird")


@pytest.mark.parametrize(
    ("response", "place"),
    [
        ("A", 0),
        ("b", 1),
        (" (B). ", 1),
        ("**C**", 2),
        ("B. cat", 1),
        ("(C) dog barking", 2),
        ("C) dog barking\nI hear a dog.", 2),
        ("Option B", 1),
        ("The cat.", 1),
        ("I hear dog barking.", 2),
        ("A bird.", 3),
        ("The answer is (B).", 1),
        ("It is no dog and no bird. Answer: cat", 1),
        ("(A) is wrong, (B) is wrong. The answer is C", 2),
        ("The answer is B, because of (A).\nSo the answer is: D", 3),
        ("The answer is clear to me: (B)", 1),
        ("I think about the answer: hm. (B) cat", 1),
    ],
)
def test_one_option(response, place):
    assert choose(response, ANIMALS) == Choice(place)


@pytest.mark.parametrize(
    "response",
    [
        "A or B: (A) or (B)",
        "A. dog\nB. cat\nC. dog barking",
        "a dog and a cat",
        "(B) dog",
        "The answer is dog or cat.",
        "dog barking dog",
    ],
)
def test_several_options(response):
    assert choose(response, ANIMALS) == Choice(None, ambiguous=True)


@pytest.mark.parametrize("response", ["", "  ", "I cannot tell.", "E", "(Z)", "A horse", "hotdogs", "42"])
def test_no_option(response):
    assert choose(response, ANIMALS) == Choice(None)


def test_names_within_names():
    assert named_options("dog barking, dog barking dog barking", ANIMALS) == {2}
    assert named_options("The dog is barking", ANIMALS) == {0}
    assert named_options("anything", ("?", "-")) == set()


@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=26))
def test_any_answer_gives_a_choice(response, options):
    found = choose(response, options)
    assert found.place is None or (0 <= found.place < len(options) and not found.ambiguous)


@given(st.lists(st.from_regex(r"[b-z]{3,6}", fullmatch=True), min_size=2, max_size=8, unique=True), st.data())
def test_every_usual_form_of_every_option_is_read(options, data):
    place = data.draw(st.integers(0, len(options) - 1))
    letter, text = LETTERS[place], options[place]
    forms = (letter, f"({letter})", f"{letter}. {text}", f"({letter}) {text}", text, f"{text.upper()}!")
    for form in (*forms, f"The answer is {letter}.", f"Answer: {text}"):
        if not any(option in ("answer", "the") for option in options):
            assert choose(form, options) == Choice(place), form
