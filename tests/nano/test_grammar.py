import ctypes
import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data.attributes import load_scheme
from desta2.nano.espeak import synthesiser
from desta2.nano.grammar import INTENTS, SPLITS, WORDS, draw_sentence, draw_sentences, split_of
from desta2.nano.styles import STYLES
from desta2.nano.voices import ACCENTS, GENDERS
from desta2.nano.world import SCHEME

ANY = st.integers(0, 10**9).map(Random)


def test_there_are_more_than_400_words():
    assert len(WORDS) == len(set(WORDS)) >= 400
    assert all(re.fullmatch("[a-z]+", word) for word in WORDS)


@pytest.mark.parametrize("accent", ACCENTS)
def test_no_two_words_sound_alike(accent):
    engine = synthesiser()
    engine.speak("red", ACCENTS[accent], 200, 50)  # sets the voice
    translate = engine._lib.espeak_TextToPhonemes
    translate.restype = ctypes.c_char_p

    def sound(word):
        return translate(ctypes.pointer(ctypes.c_char_p(word.encode())), 1, 0)

    sounds = Counter(map(sound, WORDS))
    assert [word for word in WORDS if sounds[sound(word)] > 1] == []


def test_no_word_is_the_value_of_an_attribute():
    """A value in a description must come from the voice, never from the words."""
    words = {word.lower() for attribute in load_scheme(SCHEME).attributes for word in attribute.words}
    words |= {*GENDERS, *STYLES, *INTENTS, *(accent.lower() for accent in ACCENTS)}
    assert not words & set(WORDS)


@given(ANY, st.sampled_from(SPLITS), st.sampled_from(INTENTS), st.integers(5, 10))
def test_sentences_are_as_asked_for_and_made_of_the_words(rng, split, intent, max_words):
    sentence = draw_sentence(rng, split, max_words, intent)
    words = sentence.split(" ")
    assert 4 <= len(words) <= max_words
    assert set(words) <= set(WORDS)
    assert split_of(sentence) == split


def test_every_word_is_said():
    rng = Random(0)
    said = {word for _ in range(12_000) for word in draw_sentence(rng).split()}
    assert set(WORDS) - said == set()


def test_no_first_word_gives_the_intent_away():
    """Someone who knows the first word alone is often wrong; and the sentences of an intent are its own."""
    rng = Random(0)
    drawn = [(intent, draw_sentence(rng, intent=intent)) for intent in INTENTS for _ in range(500)]
    by_first: dict[str, Counter] = {}
    for intent, sentence in drawn:
        by_first.setdefault(sentence.split()[0], Counter())[intent] += 1
    guessed = sum(counts.most_common(1)[0][1] for counts in by_first.values()) / len(drawn)
    assert guessed < 0.8
    for intent in INTENTS:
        assert sum(intent in counts for counts in by_first.values()) >= 5
    intents = {}
    for intent, sentence in drawn:
        assert intents.setdefault(sentence, intent) == intent


def test_most_sentences_are_for_training():
    rng = Random(0)
    shares = Counter(split_of(draw_sentence(rng)) for _ in range(2_000))
    assert shares["train"] / 2_000 == pytest.approx(0.8, abs=0.04)
    assert shares["val"] / 2_000 == pytest.approx(0.1, abs=0.03)


def test_a_quarter_of_the_clips_say_several_sentences():
    rng = Random(0)
    drawn = [draw_sentences(rng, "test") for _ in range(2_000)]
    counts = Counter(map(len, drawn))
    assert counts.keys() == {1, 2, 3}
    assert 1 - counts[1] / 2_000 == pytest.approx(0.25, abs=0.03)
    assert {split_of(sentence) for sentences in drawn for sentence in sentences} == {"test"}
    assert max(len(s.split()) for sentences in drawn if len(sentences) > 1 for s in sentences) == 7
