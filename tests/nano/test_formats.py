import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.evaluate.formats import obeys
from desta2.nano.aspects import ASPECT, ASPECTS
from desta2.nano.formats import (
    ENDS,
    FORMATS,
    HELD_OUT_COMBINATIONS,
    INSTRUCTIONS,
    STARTS,
    Format,
    combine,
    draw_format,
    fits,
)
from desta2.nano.questions import KINDS, Facts, ask, ask_kind, ask_two, ask_yes_no

KEYS = [aspect.key for aspect in ASPECTS]
ALL = {key: ASPECT[key].options[0] for key in KEYS}
ASKED = {ask_kind(kind, Facts("red fox", ALL), KEYS[:3], Random(0)).kind for kind in KINDS}


@given(
    st.dictionaries(st.sampled_from(KEYS), st.integers(0, 1)),
    st.sampled_from(KINDS), st.randoms(use_true_random=False), st.booleans(),
)  # fmt: skip
@settings(max_examples=80)
def test_every_format_is_obeyed_on_every_exchange(chosen, kind, rng, held_out):
    known = Facts("the old fox. red", {key: ASPECT[key].options[i] for key, i in chosen.items()})
    exchange = ask_kind(kind, known, rng.sample(KEYS, 3), rng)
    for name in FORMATS:
        if not fits(name, exchange):
            continue
        fmt = draw_format(name, rng, held_out)
        question, answer = combine(exchange, fmt, known, rng)
        assert obeys(name, answer, fmt.phrase), (exchange, fmt, answer)
        assert question in (
            f"{exchange.question} {fmt.instruction}",
            f"{fmt.instruction} {exchange.question}",
        )
        if fmt.phrase:
            assert fmt.phrase in fmt.instruction
            assert fmt.phrase in (STARTS if name == "start" else ENDS)


def test_values_and_what_is_not_clear_as_json_and_in_one_word():
    known = Facts("red", {"pitch": "low", "gender": "male"})
    rng = Random(0)
    two = ask_two(known, ("pitch", "gender"), rng)
    assert json.loads(Format("json", "").apply(two, known)) == {"pitch": "low", "gender": "male"}
    assert Format("bullets", "").apply(two, known) == "* The pitch is low.\n* The gender is male."
    accent = ask(known, "accent", rng)
    assert json.loads(Format("json", "").apply(accent, known)) == {"accent": "not clear"}
    assert Format("word", "").apply(accent, known) == "Unclear."
    assert Format("word", "").apply(ask(known, "pitch", rng), known) == "Low."


def test_yes_and_no_in_one_word():
    rng, known = Random(0), Facts("red", {"pitch": "low"})
    for _ in range(20):
        exchange = ask_yes_no(known, "pitch", rng)
        assert Format("word", "").apply(exchange, known) == f"{exchange.sentences[0].split(',')[0]}."
    assert Format("word", "").apply(ask_yes_no(known, "gender", rng), known) == "Unclear."


def test_json_and_one_word_are_asked_for_only_where_they_make_sense():
    known, rng = Facts("red fox", ALL), Random(0)
    keys = ["pitch", "gender", "accent"]
    suited = {kind: {n for n in FORMATS if fits(n, ask_kind(kind, known, keys, rng))} for kind in KINDS}
    everywhere = set(FORMATS) - {"json", "word"}
    for kind in KINDS:
        also = {
            "attribute": {"json", "word"}, "follow-up": {"json", "word"}, "options": {"json", "word"},
            "two": {"json"}, "yes-no": {"word"}, "negation": {"word"},
        }  # fmt: skip
        assert suited[kind] == everywhere | also.get(kind, set())
    assert {n for n in FORMATS if fits(n, ask(known, "duration", rng))} == everywhere | {"json"}


def test_held_out_combinations_are_possible_and_either_part_occurs_elsewhere():
    for kind, name in HELD_OUT_COMBINATIONS:
        assert kind in ASKED
        assert name in FORMATS
        assert any((other, name) not in HELD_OUT_COMBINATIONS for other in ASKED)
        assert any((kind, other) not in HELD_OUT_COMBINATIONS for other in FORMATS)
    possible = {
        (exchange.kind, name)
        for kind in KINDS
        for name in FORMATS
        if fits(name, exchange := ask_kind(kind, Facts("red", ALL), KEYS[:3], Random(0)))
    }
    assert possible >= HELD_OUT_COMBINATIONS
    assert {kind for kind, _ in HELD_OUT_COMBINATIONS} >= ASKED - {"attribute"}


def test_held_out_instructions_are_new_but_made_of_trained_words():
    trained = [text for each in INSTRUCTIONS.values() for text in each.trained]
    held_out = [text for each in INSTRUCTIONS.values() for text in each.held_out]
    assert not set(trained) & set(held_out)

    def words(texts):
        return {word for text in texts for word in text.replace(".", "").split()}

    assert words(held_out) <= words(trained)


def test_an_unknown_format_is_our_mistake():
    with pytest.raises(ValueError, match="no format is called 'haiku'"):
        Format("haiku", "").apply(ask(Facts("red", {}), "pitch", Random(0)), Facts("red", {}))
