import re

import pytest

from desta2.data.attributes import load_scheme
from desta2.nano.aspects import ASPECT, ASPECTS, spoken_value, written_value
from desta2.nano.world import SCHEME

KEYS = [aspect.key for aspect in ASPECTS]


def words_of(text):
    return re.findall(r"[^\W\d_]+", text)


def test_held_out_wordings_are_made_of_trained_words():
    trained = {word for aspect in ASPECTS for question in aspect.trained for word in words_of(question)}
    strange = {
        question: unknown
        for aspect in ASPECTS
        for question in aspect.held_out
        if (unknown := [word for word in words_of(question) if word not in trained])
    }
    assert strange == {}


def test_there_are_many_wordings_and_the_held_out_ones_are_no_trained_ones():
    assert all(len(aspect.trained) >= 25 and len(aspect.held_out) >= 4 for aspect in ASPECTS)
    trained = [question.lower() for aspect in ASPECTS for question in aspect.trained]
    held_out = [question.lower() for aspect in ASPECTS for question in aspect.held_out]
    assert len({*trained, *held_out}) == len(trained) + len(held_out)


def test_no_value_belongs_to_two_attributes():
    """A question may offer values without naming the attribute."""
    options = [option for aspect in ASPECTS for option in aspect.options]
    assert len(set(options)) == len(options)


def test_every_word_of_the_nano_scheme_can_be_said():
    """nano/attributes.yaml and the nano language must agree on what each attribute can be."""
    scheme = {attribute.key: attribute for attribute in load_scheme(SCHEME).attributes}
    binned = {key: scheme[key].words for key in KEYS if scheme[key].words}
    assert set(binned) == {"pitch", "volume", "speaking_speed", "noise_level", "reverberation"}
    for key, words in binned.items():
        assert [spoken_value(key, word) for word in words] == list(ASPECT[key].options)
    for key in KEYS:
        assert ASPECT[key].label == scheme[key].name
    for seconds in range(1, 9):
        spoken = spoken_value("duration", scheme["duration"].word(seconds + 0.2))
        assert spoken in ASPECT["duration"].options
        assert spoken.split()[0] == str(seconds)
    assert [key for key in scheme if key in KEYS] == KEYS  # seeds and descriptions follow the same order


@pytest.mark.parametrize("key", KEYS)
def test_values_are_read_as_they_are_written_whatever_their_case(key):
    for option in ASPECT[key].options:
        assert spoken_value(key, written_value(key, option)) == option
        if key != "duration":
            assert spoken_value(key, option.capitalize()) == spoken_value(key, option.upper()) == option
    assert written_value("duration", "1 second") == "1s"
    assert written_value("speaking_speed", "fast") == "Fast"


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
