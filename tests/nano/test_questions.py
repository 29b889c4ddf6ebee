import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.nano.aspects import ASPECT, ASPECTS
from desta2.nano.formats import INSTRUCTIONS
from desta2.nano.grammar import WORDS
from desta2.nano.questions import (
    KINDS,
    Facts,
    ask,
    ask_count,
    ask_count_steps,
    ask_follow_up,
    ask_kind,
    ask_options,
    ask_rate,
    ask_steps,
    ask_transcript,
    ask_two,
    ask_word,
    ask_yes_no,
    clues_of,
    describe,
)
from desta2.nano.wordings import ALL_WORDINGS, NOT, OPTIONS, YES_NO

KEYS = [aspect.key for aspect in ASPECTS]


@st.composite
def facts(draw):
    words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
    known = draw(st.sets(st.sampled_from(KEYS)))
    text = ". ".join(draw(st.lists(words, min_size=1, max_size=3)))
    return Facts(text, {key: draw(st.sampled_from(ASPECT[key].options)) for key in sorted(known)})


def words_of(text):
    return re.findall(r"[^\W\d_]+", text)


def test_held_out_wordings_are_new_but_made_of_trained_words():
    questions = [question for aspect in ASPECTS for question in aspect.trained]
    trained = [wording for wordings in ALL_WORDINGS for wording in wordings.trained] + questions
    held_out = [wording for wordings in ALL_WORDINGS for wording in wordings.held_out]
    instructions = [wording for wordings in INSTRUCTIONS.values() for wording in wordings.trained]
    known = {word for wording in trained + instructions for word in words_of(wording)}
    assert {word for wording in held_out for word in words_of(wording)} <= known
    assert not {wording.lower() for wording in held_out} & {wording.lower() for wording in trained}
    assert len(set(trained)) == len(trained)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_asked_in_the_wordings_wanted(kind):
    known = Facts("red fox", {key: ASPECT[key].options[0] for key in KEYS})
    keys = ["pitch", "gender", "accent"]
    asked = [
        {ask_kind(kind, known, keys, Random(i), held_out).question for i in range(900)}
        for held_out in (False, True)
    ]
    assert all(asked)
    assert not asked[0] & asked[1]
    if kind == "attribute":
        assert asked == [set(ASPECT["pitch"].trained), set(ASPECT["pitch"].held_out)]


def test_an_unknown_kind_is_our_mistake():
    with pytest.raises(ValueError, match="no question is of the kind 'riddle'"):
        ask_kind("riddle", Facts("red", {}), KEYS[:3], Random(0))


# Descriptions


@given(facts(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_descriptions_say_the_words_and_all_that_is_known_and_of_the_rest_that_it_is_unclear(known, rng):
    sentences = describe(known, rng)
    assert len(set(sentences)) == len(sentences)
    assert f'The speaker says "{known.text}".' in (sentences[0], sentences[-1])
    rest = set(sentences)
    for key, value in known.values.items():
        said = {ASPECT[key].say(value), ASPECT[key].aside.format(value)} & rest
        assert len(said) == 1
        rest -= said
    rest.remove(f'The speaker says "{known.text}".')
    assert rest <= {ASPECT[key].say(None) for key in KEYS if key not in known.values}


def test_a_description_mentions_some_of_what_is_not_known():
    known = Facts("red", {})
    mentioned = [len(describe(known, Random(i))) - 1 for i in range(100)]
    assert 0.2 < sum(mentioned) / (100 * len(KEYS)) < 0.4


def test_descriptions_have_a_usual_order():
    known = Facts("red", {key: ASPECT[key].options[0] for key in KEYS})
    drawn = [describe(known, Random(i)) for i in range(50)]
    plain = ['The speaker says "red".', *(known.say(key) for key in KEYS)]
    assert len(set(drawn)) > 20
    usual = [
        d for d in drawn if d[0] == plain[0] and [s.split()[-1] for s in d] == [s.split()[-1] for s in plain]
    ]
    assert len(usual) > 10


# Attributes


@given(st.sampled_from(KEYS), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=60)
def test_what_is_not_given_is_not_clear(key, rng, held_out):
    known = Facts("red", {})
    unclear = f"The {ASPECT[key].name} is not clear."
    assert known.say(key) == unclear
    for one in (ask, ask_follow_up, ask_options, ask_yes_no):
        assert one(known, key, rng, held_out).sentences == (unclear,)
    assert ask_yes_no(known, key, rng, held_out, negated=True).sentences == (unclear,)
    other = "pitch" if key != "pitch" else "gender"
    assert unclear in ask_two(known, (key, other), rng, held_out).sentences
    assert ask_steps(known, key, rng, held_out).sentences[-1] == f"Answer: {unclear}"


@given(facts(), st.sampled_from(KEYS), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=100)
def test_yes_and_no_are_true(known, key, rng, negated):
    exchange = ask_yes_no(known, key, rng, negated=negated)
    value = known.values.get(key)
    if value is None:
        return
    patterns = (NOT if negated else YES_NO).trained
    guesses = [
        option for option in ASPECT[key].options for pattern in patterns
        if pattern.format(ASPECT[key].name, option) == exchange.question
    ]  # fmt: skip
    assert len(guesses) == 1
    true = (guesses[0] == value) != negated
    assert exchange.sentences == (f"{'Yes' if true else 'No'}, the {ASPECT[key].name} is {value}.",)


@pytest.mark.parametrize("negated", [False, True])
def test_yes_is_as_frequent_as_no(negated):
    rng, known = Random(0), Facts("red", {"pitch": "low"})
    said = [ask_yes_no(known, "pitch", rng, negated=negated).sentences[0].split(",")[0] for _ in range(1_000)]
    assert said.count("No") / 1_000 == pytest.approx(0.5, abs=0.06)


@given(facts(), st.sampled_from(KEYS), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_options_hold_the_right_one_once_and_no_other_attributes(known, key, rng):
    exchange = ask_options(known, key, rng)
    shown = re.split(
        r"[:,?] |^Is it |^Is the [a-z ]*? (?=\S+(?:,| second| or))|, | or |[?.]", exchange.question
    )
    offered = [part.strip() for part in shown if part.strip() in ASPECT[key].options]
    assert 2 <= len(offered) <= 4
    assert len(set(offered)) == len(offered)
    assert known.values.get(key, offered[0]) in offered
    assert exchange.sentences == (known.say(key),)


def test_the_right_option_stands_anywhere():
    rng, known = Random(0), Facts("red", {"emotion": "sad"})
    questions = [ask_options(known, "emotion", rng).question for _ in range(300)]
    last = sum(bool(re.search(r" or sad[.?]$", question)) for question in questions)
    assert 50 < last < 200
    assert {question.split(" ")[0] for question in questions} == {
        pattern.split(" ")[0] for pattern in OPTIONS.trained
    }


def test_several_attributes_are_answered_in_the_order_asked():
    known = Facts("red", {"pitch": "low", "gender": "male", "accent": "British"})
    two = ask_two(known, ("pitch", "gender"), Random(0))
    assert two.sentences == ("The pitch is low.", "The gender is male.")
    assert two.question.index("pitch") < two.question.index("gender")


def test_steps_go_by_way_of_the_next_two_attributes():
    assert clues_of("pitch") == ["volume", "speaking_speed"]
    assert clues_of(KEYS[-1]) == KEYS[:2]
    known = Facts("red", {"pitch": "low", "volume": "loud"})
    steps = ask_steps(known, "pitch", Random(0))
    assert steps.sentences == (
        "Step 1: The volume is loud.",
        "Step 2: The speaking speed is not clear.",
        "Answer: The pitch is low.",
    )
    assert steps.keys == ("pitch",)
    assert any(steps.question.startswith(question) for question in ASPECT["pitch"].trained)


def test_a_follow_up_names_the_attribute():
    known = Facts("red", {"speaking_speed": "fast"})
    asked = {ask_follow_up(known, "speaking_speed", Random(i)).question for i in range(50)}
    assert "And the speaking speed?" in asked
    assert ask_follow_up(known, "speaking_speed", Random(0)).sentences == ("The speaking speed is fast.",)


# Words


@given(facts(), st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=80)
def test_questions_about_the_words_are_answered_truly(known, rng, held_out):
    words = known.text.replace(". ", " ").split(" ")
    assert known.words == words
    assert ask_transcript(known, rng, held_out).sentences == (f'The speaker says "{known.text}".',)
    aloud = " ".join(f"{i + 1} {word}" for i, word in enumerate(words)) + "."
    assert ask_count(known, rng, held_out).sentences == (aloud, f"The number of words is {len(words)}.")
    word = ask_word(known, rng, held_out)
    which = "first" if "first" in word.question else "last"
    assert word.sentences == (f'The {which} word is "{words[0 if which == "first" else -1]}".',)
    assert ask_count_steps(known, rng, held_out).sentences == (
        f"Step 1: {aloud}",
        f"Answer: The number of words is {len(words)}.",
    )


@pytest.mark.parametrize(
    ("words", "duration", "rate"),
    [(8, "4 seconds", 2), (5, "2 seconds", 3), (4, "3 seconds", 1), (7, "1 second", 7), (1, "8 seconds", 0)],
)
def test_words_per_second_are_rounded_halves_up(words, duration, rate):
    known = Facts(" ".join(["red"] * words), {"duration": duration})
    assert ask_rate(known, Random(0)).sentences[1:] == (
        f"Step 2: The number of words is {words}.",
        f"Step 3: The duration is {duration}.",
        f"Answer: The number of words per second is {rate}.",
    )


def test_words_per_second_are_not_clear_without_a_duration():
    assert ask_rate(Facts("red", {}), Random(0)).sentences == (
        "Step 1: 1 red.",
        "Step 2: The number of words is 1.",
        "Step 3: The duration is not clear.",
        "Answer: The number of words per second is not clear.",
    )
