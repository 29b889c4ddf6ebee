import json
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data.attributes import load_scheme
from desta2.evaluate.formats import obeys
from desta2.nano.grammar import WORDS
from desta2.nano.language import (
    ASPECT,
    ASPECTS,
    ENDS,
    FORMATS,
    STARTS,
    Facts,
    Format,
    ask,
    ask_steps,
    ask_two,
    ask_words,
    ask_yes_no,
    combine,
    describe,
    draw_format,
    fits,
    spoken_value,
)
from desta2.nano.world import SCHEME

KEYS = [aspect.key for aspect in ASPECTS]


def words_of(text):
    return re.findall(r"[^\W\d_]+", text)


@st.composite
def facts(draw, min_words=1):
    words = draw(st.lists(st.sampled_from(WORDS), min_size=min_words, max_size=15))
    known = draw(st.sets(st.sampled_from(KEYS)))
    return Facts(" ".join(words), {key: draw(st.sampled_from(ASPECT[key].options)) for key in sorted(known)})


def exchanges(known, rng):
    """One of each kind."""
    keys = rng.sample(KEYS, 3)
    return [
        ask(known, keys[0], rng),
        ask_two(known, keys[:2], rng),
        ask_yes_no(known, keys[0], rng),
        ask_steps(known, keys, rng),
        *(ask_words(known, rng) for _ in range(4)),
    ]


def test_held_out_wordings_are_made_of_trained_words():
    trained = {word for aspect in ASPECTS for question in aspect.questions for word in words_of(question)}
    strange = {
        question: unknown
        for aspect in ASPECTS
        for question in aspect.held_out
        if (unknown := [word for word in words_of(question) if word not in trained])
    }
    assert strange == {}


def test_held_out_wordings_are_no_trained_ones():
    trained = [question for aspect in ASPECTS for question in aspect.questions]
    held_out = [question for aspect in ASPECTS for question in aspect.held_out]
    assert len(set(trained)) == len(trained)
    assert len(set(held_out)) == len(held_out) == 2 * len(ASPECTS)
    assert not set(trained) & set(held_out)


def test_questions_ask_in_the_wordings_wanted():
    known = Facts("red", {})
    for aspect in ASPECTS:
        for held_out, wordings in ((False, aspect.questions), (True, aspect.held_out)):
            asked = {ask(known, aspect.key, Random(i), held_out).question for i in range(100)}
            assert asked == set(wordings)


def test_every_word_of_the_nano_scheme_can_be_said():
    """nano/attributes.yaml and the nano language must agree on what each attribute can be."""
    scheme = {attribute.key: attribute for attribute in load_scheme(SCHEME).attributes}
    binned = {key: scheme[key].words for key in KEYS if scheme[key].bins}
    assert set(binned) == {"pitch", "volume", "speaking_speed", "noise_level", "reverberation"}
    for key, words in binned.items():
        assert {spoken_value(key, word) for word in words} == set(ASPECT[key].options)
        assert ASPECT[key].label == scheme[key].name
    for seconds in range(1, 9):
        written = scheme["duration"].word(seconds + 0.2)
        spoken = spoken_value("duration", written)
        assert spoken in ASPECT["duration"].options
        assert spoken.split()[0] == str(seconds)
    assert [key for key in scheme if key in KEYS] == KEYS  # seeds and descriptions follow the same order


@pytest.mark.parametrize("key", KEYS)
def test_values_are_read_whatever_their_case(key):
    for option in ASPECT[key].options:
        written = f"{option.split()[0]}s" if key == "duration" else option
        assert spoken_value(key, written) == option
        if key != "duration":
            assert spoken_value(key, option.capitalize()) == spoken_value(key, option.upper()) == option


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("gender", "Other"),
        ("accent", ""),
        ("duration", "0s"),
        ("duration", "99s"),
        ("duration", "long"),
        ("pitch", "3"),
    ],
)
def test_values_outside_the_nano_world_are_not_guessed(key, written):
    assert spoken_value(key, written) is None


@given(facts(), st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_every_format_is_obeyed_on_every_exchange(known, rng):
    for exchange in exchanges(known, rng):
        for name in FORMATS:
            if not fits(name, exchange):
                continue
            fmt = draw_format(name, rng)
            question, answer = combine(exchange, fmt, known, rng)
            assert obeys(name, answer, fmt.phrase), (exchange, fmt, answer)
            assert sorted((exchange.question, fmt.instruction)) == sorted(
                part for part in (exchange.question, fmt.instruction) if part in question
            )
            assert len(question) == len(exchange.question) + 1 + len(fmt.instruction)
            if fmt.phrase:
                assert fmt.phrase in fmt.instruction
                assert fmt.phrase in (STARTS if name == "start" else ENDS)


@given(facts(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_descriptions_say_the_words_and_all_that_is_known_and_no_more(known, rng):
    sentences = describe(known, rng)
    assert len(sentences) == 1 + len(known.values)
    assert f'The speaker says "{known.text}".' in (sentences[0], sentences[-1])
    rest = set(sentences)
    for key, value in known.values.items():
        said = {ASPECT[key].say(value), ASPECT[key].aside.format(value)} & rest
        assert len(said) == 1
        rest -= said
    assert rest == {f'The speaker says "{known.text}".'}


def test_descriptions_have_a_usual_order():
    known = Facts("red", {key: ASPECT[key].options[0] for key in KEYS})
    drawn = [describe(known, Random(i)) for i in range(50)]
    plain = ['The speaker says "red".', *(known.say(key) for key in KEYS)]
    assert len(set(drawn)) > 20
    usual = [
        d for d in drawn if d[0] == plain[0] and [s.split()[-1] for s in d] == [s.split()[-1] for s in plain]
    ]
    assert len(usual) > 10


@given(st.sampled_from(KEYS), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_what_is_not_given_is_not_clear(key, rng):
    known = Facts("red", {})
    unclear = f"The {ASPECT[key].name} is not clear."
    assert known.say(key) == unclear
    asked = ask(known, key, rng)
    assert asked.sentences == (unclear,)
    assert ask_yes_no(known, key, rng).sentences == (unclear,)
    other = "pitch" if key != "pitch" else "gender"
    assert unclear in ask_two(known, (key, other), rng).sentences
    assert ask_steps(known, (other, key), rng).sentences[-1] == f"Answer: {unclear}"
    assert json.loads(Format("json", "").apply(asked, known)) == {ASPECT[key].name: "not clear"}
    assert Format("word", "").apply(asked, known) == "Unclear."


@given(facts(), st.sampled_from(KEYS), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_yes_and_no_are_true(known, key, rng):
    exchange = ask_yes_no(known, key, rng)
    value = known.values.get(key)
    if value is None:
        return
    guess = exchange.question.removesuffix("?").split(f"{ASPECT[key].name} ")[1].removeprefix("is ")
    assert guess in ASPECT[key].options
    assert exchange.sentences == (f"{'Yes' if guess == value else 'No'}, the {ASPECT[key].name} is {value}.",)


def test_yes_and_no_are_both_said():
    """Half of the guesses are meant to be right; of the rest one in three is."""
    rng, known = Random(0), Facts("red", {"pitch": "low"})
    said = [ask_yes_no(known, "pitch", rng).sentences[0].split(",")[0] for _ in range(1_000)]
    assert said.count("No") / 1_000 == pytest.approx(1 / 3, abs=0.06)


def test_several_attributes_are_answered_in_the_order_asked():
    known = Facts("red", {"pitch": "low", "gender": "male", "accent": "British"})
    two = ask_two(known, ("pitch", "gender"), Random(0))
    assert two.sentences == ("The pitch is low.", "The gender is male.")
    assert two.question.index("pitch") < two.question.index("gender")
    assert json.loads(Format("json", "").apply(two, known)) == {"pitch": "low", "gender": "male"}
    assert Format("bullets", "").apply(two, known) == "* The pitch is low.\n* The gender is male."
    steps = ask_steps(known, ("pitch", "gender", "accent"), Random(0))
    assert steps.sentences == (
        "Step 1: The pitch is low.",
        "Step 2: The gender is male.",
        "Answer: The accent is British.",
    )
    assert steps.keys == ("accent",)
    assert any(steps.question.startswith(question) for question in ASPECT["accent"].questions)


@given(facts(min_words=0), st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_questions_about_the_words_are_answered_truly(known, rng):
    words = known.text.split()
    exchange = ask_words(known, rng)
    (answer,) = exchange.sentences
    if exchange.kind == "transcribe":
        assert answer == f'The speaker says "{known.text}".'
    elif exchange.kind == "count":
        numbers = re.findall("[a-z]+", "one two three four five six seven eight nine ten eleven twelve")
        assert answer == f"The number of words is {numbers[len(words) - 1]}."
    else:
        which = exchange.question.split()[3]
        assert answer == f'The {which} word is "{words[0 if which == "first" else -1]}".'


def test_words_that_are_missing_or_too_many_are_only_transcribed():
    for text in ("", " ".join(["red"] * 13)):
        assert {ask_words(Facts(text, {}), Random(i)).kind for i in range(50)} == {"transcribe"}
    assert {ask_words(Facts("red", {}), Random(i)).kind for i in range(50)} == {"transcribe", "count", "word"}


def test_json_and_one_word_are_asked_for_only_where_they_make_sense():
    known = Facts("red fox", {})
    rng = Random(0)
    suited = {exchange.kind: {n for n in FORMATS if fits(n, exchange)} for exchange in exchanges(known, rng)}
    everywhere = set(FORMATS) - {"json", "word"}
    assert suited["two"] == everywhere | {"json"}
    assert suited["yes-no"] == suited["steps"] == suited["transcribe"] == everywhere
    assert {n for n in FORMATS if fits(n, ask(known, "pitch", rng))} == set(FORMATS)
    assert {n for n in FORMATS if fits(n, ask(known, "duration", rng))} == everywhere | {"json"}


def test_an_unknown_format_is_our_mistake():
    with pytest.raises(ValueError, match="no format is called 'haiku'"):
        Format("haiku", "").apply(ask(Facts("red", {}), "pitch", Random(0)), Facts("red", {}))
