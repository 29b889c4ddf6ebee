import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.formats import obeys
from desta2.nano.language import ASPECTS, FORMATS, Facts, ask, ask_two, draw_format, fits

ANY_TEXT = st.text(st.characters(), max_size=80)  # lone surrogates included


@pytest.mark.parametrize(
    ("name", "phrase", "good", "bad"),
    [
        ("capitals", "", ["THE GENDER IS MALE.", "3 SECONDS", "  A\n"], ["THE GENDER is MALE.", "", "3."]),
        ("lower", "", ["the gender is male.", "3 seconds"], ["The gender is male.", "", "3.", "\u01c5"]),
        (
            "json",
            "",
            ['{"gender": "male"}', ' \n{"a": {"b": [1]}}\u00a0', "{}"],
            ["[1]", '"gender"', "{'a': 1}", '{"a": 1} yes', '{"a": NaN}', "", '{"a": 1', "1" * 5000],
        ),
        (
            "bullets",
            "",
            ["* one", "- one\n\n- two", "• one\n  • inside", "* one\r\n* two"],
            ["one", "", "*one", "* ", "* one\ntwo", "\n \n"],
        ),
        (
            "quotes",
            "",
            ['"The gender is male."', ' "The speaker says "red"."\n', '"a"'],
            ['"', '""', '" "', '"""', '"a', 'a"', '"a" he said', "'a'", "“a”", ""],
        ),
        (
            "start",
            "Of course.",
            ["Of course. It is male.", " Of\n course.  It is", "Of course."],
            ["of course. It is", "It is. Of course.", "Of", ""],
        ),
        (
            "end",
            "That is all.",
            ["It is male. That is all.", "Male.\nThat  is all.\n", "That is all."],
            ["That is all. It is male.", "That is all", ""],
        ),
        (
            "word",
            "",
            ["Male.", "male", " 5 ", "well-known", "don't", "हिन्दी"],
            ["It is", "", ".", "Male..", "Male!", "male,female", "-", "{male}", "Male ."],
        ),
    ],
)
def test_rules(name, phrase, good, bad):
    assert [text for text in good if not obeys(name, text, phrase)] == []
    assert [text for text in bad if obeys(name, text, phrase)] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_answer_of_the_nano_language_obeys_its_format_and_plain_answers_do_not(name):
    rng = Random(name)
    for aspect in ASPECTS:
        for known in (Facts("the red fox", {a.key: rng.choice(a.options) for a in ASPECTS}), Facts("", {})):
            for exchange in (ask(known, aspect.key, rng), ask_two(known, (aspect.key, "gender"), rng)):
                if fits(name, exchange):
                    fmt = draw_format(name, rng)
                    assert obeys(name, fmt.apply(exchange, known), fmt.phrase)
                    assert not obeys(name, " ".join(exchange.sentences), fmt.phrase)


@given(ANY_TEXT, st.text(min_size=1).filter(str.strip))
def test_any_text_gets_a_verdict(text, phrase):
    verdicts = {name: obeys(name, text, phrase) for name in FORMATS}
    assert all(isinstance(verdict, bool) for verdict in verdicts.values())
    assert obeys("start", f"{phrase} {text}", phrase)
    assert obeys("end", f"{text} {phrase}", phrase)
    if any(map(str.isascii, filter(str.isalpha, text))):
        assert not (verdicts["capitals"] and verdicts["lower"])


@pytest.mark.parametrize("name", FORMATS)
def test_long_hostile_answers_take_no_time(name):
    started = time.process_time()
    for text in ("[" * 100_000, '{"a":' * 50_000, '"' * 300_000, "* \n" * 100_000, "a-" * 150_000 + "!"):
        obeys(name, text, "x" * 100)
    assert time.process_time() - started < 2.0


def test_errors_name_what_is_known():
    with pytest.raises(InputError, match=r"no format 'haiku'; expected one of capitals, .*word"):
        obeys("haiku", "text")
    with pytest.raises(InputError, match="'end' needs the phrase that was asked for, given ' '"):
        obeys("end", "text", " ")
