import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.speech_ifeval.checkers import CHECKERS, CLOSED, CREATIVE, check

ANY_TEXT = st.text(st.characters(), max_size=200)  # lone surrogates included
CASES = {
    "detectable_format:json_format": (
        {},
        [
            '{"a": 1}',
            " [1, 2]\n",
            '```json\n{"a": "b"}\n```',
            "```JSON {}```",
            "```\n[]\n```",
            '"words"',
            "12",
        ],
        [
            'Here: {"a": 1}',
            '{"a": 4s}',
            '{"a": 1',
            "{'a': 1}",
            "NaN",
            "```yaml\n{}\n```",
            "[" * 100_000,
            "1" * 5000,
        ],
    ),
    "change_case:english_capital": ({}, ["SAD.", "3 SECONDS, Ü"], ["SAD, /iː/", "Sad", "3.", "दुखी"]),
    "change_case:english_lowercase": ({}, ["sad.", "3 seconds, ü"], ["Sad", "sAd", "3."]),
    "startend:quotation": ({}, [' "Sad."\n', '""', '"a" or "b"'], ['"', '"Sad', 'Sad"', "“Sad”", '"Sad".']),
    "detectable_format:title": (
        {},
        ["<<sad>>", "It is <<sad>>.", "one\n  <<a>> and <<b>>", "<<<sad>>>", ">> <<sad>>"],
        ["<sad>", "[sad]", "<<>>", "<< >>", "<<<<>>>>", "<<sad\n>>", ">>sad<<", "<<>", "<<sad>"],
    ),
    "combination:repeat_prompt": (
        {"prompt_to_repeat": "The answer is: "},
        ["The answer is: sad", "\n the ANSWER is:"],
        ["Sad. The answer is:", '"The answer is: sad"', "The answer"],
    ),
    "startend:end_checker": (
        {"end_phrase": " Have a great day!"},
        ["Sad. Have a great day!", '"have a GREAT day!"\n', 'He said "Have a great day!"'],
        ["Have a great day! Sad.", "Have a great day", "**Have a great day!**"],
    ),
    "detectable_format:number_bullet_lists": (
        {"num_bullets": 2},
        [
            "* one\n* two",
            "Here:\n\n• one\n\t+ inside\n• two",
            "1. one\n2. two",
            "  - one\n-two",
            "**Title**\n*one\n*two",
            "* one\n• two",
        ],
        ["* one", "* one\n* two\n* three", "one\ntwo", "**one**\n**two**", "1.5 m\n2.5 m", "1) one\n2) two"],
    ),
    "length_constraints:number_sentences": (
        {"num_sentences": 2, "relation": "at least"},
        ["One. Two.", "One! two", "Who? Me. You."],
        ["One.", "one two", "Mr. Two."],
    ),
    "length_constraints:number_words": (
        {"num_words": 3, "relation": "less than"},
        ["one two", "one-two!", "don't"],
        ["one two three", "one, don't", "a b c"],
    ),
    "length_constraints:number_paragraphs": (
        {"num_paragraphs": 2},
        ["one\n\ntwo", "one\ntwo\n", "\n one \n \n\n two"],
        ["one", "one\n\ntwo\n\nthree", "one *** two"],
    ),
    "keywords:existence": (
        {"keywords": ["sad", "Mrs. Hay"]},
        ["Sad mrs. hay", "Mrs. Haywood's SADNESS"],
        ["sad", "Mrs. Hay", "sad Mrsx Hay"],
    ),
    "keywords:forbidden_words": (
        {"forbidden_words": ["key", "a.b"]},
        ["Keyboards, monkeys", "a-b", "aab", "key_s", "keyé"],
        ["the KEY.", "key", "-a.b-", 'the "key"'],
    ),
}


def test_every_rule_has_its_cases():
    assert CASES.keys() == CHECKERS.keys()
    assert len(CHECKERS) == 13
    assert {checker.part for checker in CHECKERS.values()} == {CLOSED, CREATIVE}


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    arguments, follow, fail = CASES[name]
    assert {text: check(name, text, arguments) for text in follow} == dict.fromkeys(follow, True)
    assert {text: check(name, text, arguments) for text in fail} == dict.fromkeys(fail, False)


@pytest.mark.parametrize("name", CASES)
def test_a_blank_response_follows_nothing(name):
    assert not any(check(name, blank, CASES[name][0]) for blank in ("", " \n\t"))


@pytest.mark.parametrize("name", ["length_constraints:number_words", "length_constraints:number_sentences"])
def test_relations_are_opposites(name):
    key = name.replace("length_constraints:", "").replace("number", "num")
    for text in ("One. Two.", "One two.", "One. Two. Three."):
        at_least, less = (check(name, text, {key: 2, "relation": r}) for r in ("at least", "less than"))
        assert at_least != less


def test_arguments_that_a_rule_does_not_need_are_not_looked_at():
    assert check("startend:quotation", '"a"', {"num_words": None, "relation": 5})


@given(ANY_TEXT, ANY_TEXT.filter(str.strip), st.integers(0, 9))
def test_any_text_gets_a_verdict(text, word, count):
    for name, checker in CHECKERS.items():
        values = {"count": count, "text": word, "relation": "less than", "words": [word]}
        arguments = {key: values[kind] for key, kind in checker.needs.items()}
        assert check(name, text, arguments) in (True, False)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | ANY_TEXT, st.lists, max_leaves=9),
    st.sampled_from(["", "json", "JSON"]),
)
def test_whatever_json_writes_is_json(value, tag):
    written = json.dumps(value)
    assert check("detectable_format:json_format", written, {})
    assert check("detectable_format:json_format", f"```{tag}\n{written}\n```", {})


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1), min_size=1))
def test_laws_of_counting(words):
    assert check(
        "length_constraints:number_words", " ".join(words), {"num_words": len(words), "relation": "at least"}
    )
    assert check("length_constraints:number_paragraphs", "\n\n".join(words), {"num_paragraphs": len(words)})
    assert check(
        "detectable_format:number_bullet_lists",
        "".join(f"• {w}\n" for w in words),
        {"num_bullets": len(words)},
    )
    assert check("keywords:existence", " ".join(words), {"keywords": words})
    assert not check("keywords:forbidden_words", " ".join(words), {"forbidden_words": words[-1:]})


@pytest.mark.parametrize(
    "unit",
    [
        "<<",
        ">>",
        "<< >",
        '"',
        "`",
        "* ",
        "*",
        "1.",
        ". ",
        '."',
        "... ",
        "?!",
        "\n",
        " ",
        "a",
        "A. ",
        "{[",
        "Dr.",
        "\ud800",
    ],
)
def test_time_grows_with_length_alone(unit):
    text = unit * (500_000 // len(unit))
    started = time.process_time()
    for name, (arguments, _, _) in CASES.items():
        check(name, text, arguments)
    assert time.process_time() - started < 5.0  # about 0.3 s; anything quadratic takes hours


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("punctuation:no_comma", {}, "there is no instruction 'punctuation:no_comma'; known are detectable_format:json_format, "),
        ("combination:repeat_prompt", {}, "combination:repeat_prompt: given prompt_to_repeat=None, expected a text that is not blank"),
        ("startend:end_checker", {"end_phrase": " "}, "given end_phrase=' ', expected a text that is not blank"),
        ("detectable_format:number_bullet_lists", {"num_bullets": True}, "given num_bullets=True, expected a whole number from 0"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": "2"}, "given num_paragraphs='2', expected a whole number"),
        ("length_constraints:number_words", {"num_words": 2, "relation": "about"}, "given relation='about', expected \"at least\" or \"less than\""),
        ("keywords:existence", {"keywords": "sad"}, "given keywords='sad', expected a list of one or more texts"),
        ("keywords:forbidden_words", {"forbidden_words": []}, "given forbidden_words=[], expected a list of one or more texts"),
    ],
)  # fmt: skip
def test_errors_say_what_was_expected(name, arguments, message):
    with pytest.raises(InputError) as error:
        check(name, "", arguments)
    assert message in str(error.value)
