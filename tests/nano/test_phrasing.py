from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.nano.aspects import ASPECT
from desta2.nano.language import KINDS, Facts, ask_kind, describe
from desta2.nano.phrasing import NOTES, PHRASINGS, SENTENCES
from desta2.nano.tokens import make_tokenizer

VALUES = {"gender": "female", "pitch": "high", "duration": "4 seconds"}
PLAIN = Facts("the red apple", VALUES)
NOTED = Facts("the red apple", VALUES, NOTES)


def test_both_ways_to_put_a_value():
    assert ASPECT["speaking_speed"].say("slow") == "The speaking speed is slow."
    assert ASPECT["speaking_speed"].say("slow", NOTES) == "Speaking speed: slow."
    assert ASPECT["pitch"].say(None, NOTES) == "Pitch: not clear."


@pytest.mark.parametrize(
    ("kind", "plain", "noted"),
    [
        ("transcribe", ['The speaker says "the red apple".'], ['Words: "the red apple".']),
        (
            "count",
            ["1 the 2 red 3 apple.", "The number of words is 3."],
            ["1 the 2 red 3 apple.", "Number of words: 3."],
        ),
        (
            "rate",
            [
                *("Step 1: 1 the 2 red 3 apple.", "Step 2: The number of words is 3."),
                "Step 3: The duration is 4 seconds.",
                "Answer: The number of words per second is 1.",
            ],
            [
                *("Step 1: 1 the 2 red 3 apple.", "Step 2: Number of words: 3."),
                "Step 3: Duration: 4 seconds.",
                "Answer: Words per second: 1.",
            ],
        ),
    ],
)
def test_answers_about_the_words(kind, plain, noted):
    keys = ["pitch", "gender", "duration"]
    assert list(ask_kind(kind, PLAIN, keys, Random(0)).sentences) == plain
    assert list(ask_kind(kind, NOTED, keys, Random(0)).sentences) == noted


@given(st.integers(), st.sampled_from(KINDS))
def test_the_phrasing_changes_no_question(seed, kind):
    keys = ["pitch", "gender", "duration"]
    plain, noted = (ask_kind(kind, facts, keys, Random(seed)) for facts in (PLAIN, NOTED))
    assert (plain.question, plain.keys, plain.kind) == (noted.question, noted.keys, noted.kind)
    assert len(plain.sentences) == len(noted.sentences)


@given(st.integers())
def test_notes_end_with_the_words_and_no_sentence_is_in_both(seed):
    plain, noted = (describe(facts, Random(seed)) for facts in (PLAIN, NOTED))
    assert noted[-1] == 'Words: "the red apple".'
    assert {"Gender: female.", "Pitch: high.", "Duration: 4 seconds."} <= set(noted)
    assert not set(plain) & set(noted)


def test_yes_and_no():
    said = {ask_kind("yes-no", NOTED, ["pitch"], Random(i)).sentences for i in range(30)}
    assert said == {("Yes, pitch: high.",), ("No, pitch: high.",)}


def test_every_word_of_both_is_a_token():
    tokenizer = make_tokenizer()
    for phrasing in PHRASINGS.values():
        facts = Facts("the red apple", VALUES, phrasing)
        answers = [
            ask_kind(kind, facts, list(VALUES), Random(i)).sentences for kind in KINDS for i in range(4)
        ]
        for text in (" ".join(sentences) for sentences in answers):
            tokens = [tokenizer.decode([token]) for token in tokenizer.encode(text, add_special_tokens=False)]
            spelled = [token for token in tokens if len(token.strip()) == 1 and token.strip().isalpha()]
            assert not spelled, text
    assert set(PHRASINGS.values()) == {SENTENCES, NOTES}
