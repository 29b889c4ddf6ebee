"""Syllables of texts in several languages, and the speed that they give."""

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data import speed
from desta2.data.speed import count_syllables, speaking_rate, spoken_text, syllables_of
from desta2.records import Clip


@pytest.mark.parametrize(
    ("word", "syllables"),
    [
        ("home", 1), ("table", 2), ("called", 1), ("wanted", 2), ("horses", 2), ("apples", 2), ("the", 1),
        ("rhythm", 1), ("watches", 2), ("makes", 1), ("played", 1), ("yesterday", 3), ("don't", 1),
        ("bottle", 2), ("hmm", 1),
    ],
)  # fmt: skip
def test_syllables_of_words(word, syllables):
    assert count_syllables(word) == syllables
    assert count_syllables(word.upper() + "!") == syllables


@given(st.lists(st.sampled_from(["red", "yellow", "candle", "hospital"])))
def test_syllables_add_up_over_words(words):
    assert count_syllables(" ".join(words)) == sum(count_syllables(word) for word in words)


@pytest.mark.parametrize("language", ["en", "en-GB", "EN_us", "eng", "English"])
def test_english_has_its_own_rule(language):
    assert syllables_of("the red fox runs home", language) == 5


@pytest.mark.parametrize(
    ("text", "language", "syllables"),
    [
        ("今天天气很好。", "zh", 6),
        ("今天天气很好", "zh-CN", 6),
        ("안녕하세요, 여러분!", "ko", 8),
        ("我用 Python", "zh", None),  # how that word is read, the text does not say
        ("", "zh", 0),
    ],
)
def test_chinese_and_korean_write_a_syllable_a_character(text, language, syllables):
    assert syllables_of(text, language) == syllables


@pytest.mark.parametrize(
    ("text", "language", "syllables"),
    [
        ("Einst stritten sich Nordwind und Sonne, wer von ihnen beiden wohl der Stärkere wäre", "de", 22),
        ("Einst stritten sich Nordwind und Sonne, wer von ihnen beiden wohl der Stärkere wäre", "de-AT", 22),
        ("El viento norte y el sol porfiaban sobre cuál de ellos era el más fuerte", "es", 23),
        ("Si bisticciavano un giorno il vento di tramontana e il sole", "it-IT", 21),
        ("De noordenwind en de zon hadden een discussie over de vraag", "nl", 17),
        ("La bise et le soleil se disputaient, chacun assurant qu'il était le plus fort", "fr", 20),
    ],
)
def test_hyphenation_serves_other_languages(text, language, syllables):
    pytest.importorskip("pyphen", reason="needs the extra 'languages'")
    assert syllables_of(text, language) == pytest.approx(syllables, rel=0.1)


def test_a_language_without_a_dictionary_is_left_out_and_named_once(caplog):
    pytest.importorskip("pyphen", reason="needs the extra 'languages'")
    speed._hyphenator.cache_clear()
    with caplog.at_level(logging.WARNING, "desta2"):
        assert [syllables_of(text, "tlh") for text in ("nuqneH", "Qapla")] == [None, None]
    assert [record.getMessage() for record in caplog.records] == [
        "speaking speed in language 'tlh' is left out: its syllables cannot be counted"
    ]


def test_without_the_package_it_is_said_what_to_install(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pyphen", None)
    speed._hyphenator.cache_clear()
    with caplog.at_level(logging.WARNING, "desta2"):
        assert syllables_of("salut", "fr") is None
    speed._hyphenator.cache_clear()
    assert "language 'fr' is left out: pip install 'desta2[languages]' to have it counted" in caplog.text
    assert syllables_of("hello", "en") == 2


@pytest.mark.parametrize(("text", "language"), [("in 1984", "en"), ("salut", None), ("在1984年", "zh")])
def test_what_is_not_read_as_it_is_written_is_not_guessed(text, language):
    assert syllables_of(text, language) is None


def test_speaking_rate():
    assert speaking_rate(5, 2.0) == 2.5


@pytest.mark.parametrize(("syllables", "seconds"), [(0, 2.0), (1, 0.1), (30, 2.0)])
def test_speaking_rate_is_not_guessed(syllables, seconds):
    assert speaking_rate(syllables, seconds) is None


def test_the_text_of_a_clip_is_its_own_or_that_of_all_its_segments():
    def clip(**fields):
        return Clip.model_validate({"id": "a", "audio": "a"} | fields)

    halves = [{"start": 0, "end": 1, "text": "one"}, {"start": 1, "end": 2, "text": "two"}]
    assert spoken_text(clip(text="all", segments=halves)) == "all"
    assert spoken_text(clip(segments=halves)) == "one two"
    assert spoken_text(clip(segments=[halves[0], {"start": 1, "end": 2}])) is None
    assert spoken_text(clip()) is None
