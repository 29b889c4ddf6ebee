"""Quotations and repeated words are masked, sentences cut, texts shown safely; all of it in linear time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data.check.text import count_letters, mask_quotations, plain, sentences, shown, words


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('She says "I am happy" twice.', "She says … twice."),
        ("She says “I’m happy” twice.", "She says … twice."),
        ("She says 'I'm happy, aren't I?' twice.", "She says … twice."),
        ("She says ‘don’t be sad’ twice.", "She says … twice."),
        ("Sie sagt „ja“ und «oui».", "Sie sagt … und …."),
        ("他说「你好」。", "他说…。"),
        ("It's the speaker's voice.", "It's the speaker's voice."),
        ('An open " quotation mark', 'An open " quotation mark'),
        ("`code` stays out", "… stays out"),
    ],
)
def test_quotations_are_masked(text, masked):
    assert mask_quotations(text, []) == masked


@pytest.mark.parametrize(
    ("text", "spoken", "masked"),
    [
        (
            "He tells us that the angry man left early.",
            "The angry man left!",
            "He tells us that … … … … early.",
        ),
        ("He is an angry man.", "The angry man left!", "He is an angry man."),  # two words prove nothing
        (
            "He says of course, loudly.",
            "Of course.",
            "He says … …, loudly.",
        ),  # a short text is known as a whole
        ("Don’t be sad now, please", "don't be sad", "… … … now, please"),
        ("Nothing is said.", "", "Nothing is said."),
    ],
)
def test_words_of_the_transcript_are_masked(text, spoken, masked):
    assert mask_quotations(text, words(spoken)) == masked


def test_sentences():
    text = "The pitch  is LOW.\nIt’s *loud*! Is it? 3.5 seconds; the end"
    assert sentences(text) == ["the pitch is low.", "it's loud!", "is it?", "3.5 seconds", "the end"]


def test_a_sentence_without_end_is_cut():
    assert [len(part) for part in sentences("a" * 2500)] == [1000, 1000, 500]


@pytest.mark.parametrize(
    "unit", ['"', "'", "“", "„“", "' ", "a'", "‘ ", "don’t ", "`", "a ", "\n", "a. ", "\x00"]
)
def test_huge_texts_of_anything_take_a_moment(unit):
    text = unit * (200_000 // len(unit))
    begin = time.process_time()
    sentences(mask_quotations(text, ["a", "b", "c"]))
    assert time.process_time() - begin < 3


def test_texts_that_say_the_same():
    assert plain("Don’t  STOP -- ﬁnally!") == plain("don't stop finally") == "don't stop finally"
    assert count_letters("Ja, 5 次!\x00") == 4


@given(st.text(max_size=300))
def test_what_is_shown_obeys_no_terminal(text):
    line = shown(text, 40)
    assert len(line) <= 40
    assert line.isprintable()


@given(st.text(max_size=200))
def test_masking_adds_no_words(text):
    assert set(words(mask_quotations(text, words(text)))) <= set(words(text))
