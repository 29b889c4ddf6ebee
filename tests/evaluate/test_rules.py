"""What is right: by a rule for each task that a reader can check."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.answers import UNMENTIONED, conclusion, quoted, read_description
from desta2.evaluate.kind_tasks import combination_question, kind_questions, label_of_kind
from desta2.evaluate.rules import is_item_right, is_obeyed
from desta2.nano.language import ASPECT, UNKNOWN, Facts, Format, combine, describe
from desta2.records import Prediction

KEYS = [key for key in ASPECT if key != "age"]


@st.composite
def facts(draw):
    words = st.lists(st.sampled_from(["fox", "teacher", "seven", "slept", "no"]), min_size=1, max_size=6)
    text = ". ".join(draw(st.lists(words.map(" ".join), min_size=1, max_size=3)))
    known = draw(st.sets(st.sampled_from(KEYS), min_size=3))
    return Facts(text, {key: draw(st.sampled_from(ASPECT[key].options)) for key in sorted(known)})


def item(task, label, response, **extra):
    fields = {"id": "i", "task": task, "instruction": "?", "label": label, "response": response}
    return Prediction.model_validate({**fields, **extra})


@given(facts(), st.integers())
@settings(max_examples=40)
def test_the_answers_of_the_language_are_right_in_all_kinds(known, seed):
    for kind, exchange, first in kind_questions(known, Random(seed)):
        key, label = label_of_kind(kind, exchange, known)
        answer = " ".join(exchange.sentences)
        assert is_item_right(item(f"kind/{kind}", label, answer, key=key)), (kind, label, answer)
        assert not is_item_right(item(f"kind/{kind}", label, "It is not clear.", key=key))
        assert bool(first) == (kind == "follow-up")


@given(facts(), st.integers())
@settings(max_examples=40)
def test_so_are_those_in_formats_that_were_held_out(known, seed):
    name, exchange, _, _, phrase = combination_question(known, Random(seed))
    kind, _, fmt = name.partition("+")
    key, label = label_of_kind(kind, exchange, known)
    _, answer = combine(exchange, Format(fmt, "Do so.", phrase), known, Random(0))
    given_item = item(f"combination/{name}", label, answer, key=key, phrase=phrase)
    assert is_item_right(given_item), (name, label, answer)
    assert is_obeyed(given_item), (name, answer)


@given(facts(), st.integers(), st.sampled_from(KEYS))
@settings(max_examples=40)
def test_descriptions_are_read_attribute_by_attribute(known, seed, key):
    text = " ".join(describe(known, Random(seed)))
    said = read_description(key, text)
    if key in known.values:
        assert said == known.values[key]
    else:
        assert said == (UNKNOWN if ASPECT[key].say(None) in text else UNMENTIONED)


@pytest.mark.parametrize(
    ("task", "label", "response", "key", "right"),
    [
        ("kind/two", "male and low", "The gender is male. The pitch is low.", "gender,pitch", True),
        ("kind/two", "male and low", "The gender is male.", "gender,pitch", False),
        ("kind/two", "male and low", "The gender is male. The pitch is high.", "gender,pitch", False),
        ("kind/yes-no", "yes", "Yes, the pitch is low.", "pitch", True),
        ("kind/yes-no", "yes", "No, the pitch is low.", "pitch", False),
        ("kind/negation", "no", "Yes and no.", "pitch", False),
        ("kind/negation", "no", "not at all", "pitch", False),
        ("kind/transcribe", "the fox. it slept", 'The speaker says "The fox it slept".', "", True),
        ("kind/transcribe", "the fox slept", "The fox slept.", "", True),
        ("kind/transcribe", "the fox slept", 'The speaker says "the fox".', "", False),
        ("kind/transcribe", "the fox", "The speaker says the fox.", "", False),
        ("kind/count", "7", "The number of words is 7.", "", True),
        ("kind/count", "7", "1 red 2 fox. The number of words is 7.", "", True),
        ("kind/count", "7", "1 red 7 fox. The number of words is 8.", "", False),
        ("kind/count", "7", "17", "", False),
        ("kind/count", "7", "", "", False),
        ("kind/count", "7", "7 or 8", "", False),
        ("kind/count", "7", "7.5", "", False),
        ("kind/word", "fox", 'The last word is "fox".', "", True),
        ("kind/word", "fox", "Fox.", "", True),
        ("kind/word", "fox", 'The last word is "foxes".', "", False),
        ("kind/steps", "low", "Step 1: The volume is loud. Answer: The pitch is low.", "pitch", True),
        ("kind/steps", "low", "Step 1: The pitch is low. Answer: The pitch is high.", "pitch", False),
        ("kind/rate", "2", "Step 1: The number of words is 7. Answer: It is 2.", "", True),
        ("kind/rate", "2", "Step 1: It is 2. Answer: The number is 3.", "", False),
        ("kind/count-steps", "2", "answer: 2", "", True),
        ("unknown/age", "not clear", "The age is not clear.", "age", True),
        ("unknown/age", "not clear", "The age is adult.", "age", False),
        ("unknown/age", "not clear", "It is not clear, but elderly.", "age", False),
        ("unseen/pitch", "Low", "low", "", True),
        ("describe/pitch", "low", 'The speaker says "so low".', "", False),
        ("describe/pitch", "low", "The pitch is low. The pitch is high.", "", False),
        ("forced/pitch", "low", "The pitch is low.", "", True),
    ],
)
def test_what_is_right(task, label, response, key, right):
    assert is_item_right(item(task, label, response, key=key)) is right


@pytest.mark.parametrize(
    ("task", "label", "key", "message"),
    [
        ("riddle/pitch", "low", "pitch", "'i' has the task 'riddle/pitch'; expected NAME behind one of attr"),
        ("kind/", "low", "pitch", "expected NAME behind one of"),
        ("kind/riddle", "low", "pitch", "'i' is of the kind 'riddle'; expected one of two, options, yes-no"),
        ("kind/two", "low", "pitch,gender", "has the keys .* and the labels .*; expected as many of each"),
        ("kind/options", "odd", "pitch", "given the label 'odd', but pitch is one of low, medium, high"),
        ("unknown/age", "ancient", "age", "given the label 'ancient', but age is one of child"),
        ("kind/two", None, "pitch", "'i' has no label; items of the nano benchmark need one"),
    ],
)
def test_items_of_other_kinds_are_refused(task, label, key, message):
    with pytest.raises(InputError, match=message):
        is_item_right(item(task, label, "low", key=key))


@given(st.text())
def test_any_text_can_be_read(text):
    assert conclusion(f"{text} ANSWER: fox") == " fox"
    assert quoted(f'say "{text}"') == quoted(f'"{text}"')
    assert read_description("pitch", text) in (*ASPECT["pitch"].options, UNKNOWN, UNMENTIONED, "other")
