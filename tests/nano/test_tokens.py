import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.nano.aspects import ASPECTS
from desta2.nano.formats import INSTRUCTIONS
from desta2.nano.grammar import WORDS
from desta2.nano.language import vocabulary
from desta2.nano.tokens import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_every_word_is_one_token_in_each_of_its_cases(tokenizer):
    templates = {word.lower() for text in vocabulary() for word in re.findall(r"[^\W\d_]+", text)}
    forms = {form for word in {*WORDS, *templates} for form in (word, word.upper())}
    forms |= {word.capitalize() for word in templates}
    forms |= {"American", "Step", "JSON", "SCOTTISH", "echoing", "Caribbean", "TEACHER", "afraid", "WARNING"}
    broken = [
        space + form
        for form in sorted(forms)
        for space in ("", " ")
        if len(ids_of(tokenizer, space + form)) != 1
    ]
    assert broken == []
    assert len(forms) > 700


def test_held_out_wordings_are_in_the_vocabulary(tokenizer):
    texts = [text for aspect in ASPECTS for text in aspect.held_out]
    texts += [text for each in INSTRUCTIONS.values() for text in each.held_out]
    for text in texts:
        words = re.findall(r"[^\W\d_]+", text)
        assert len(ids_of(tokenizer, text)) <= 2 * len(words) + 2, text


def test_full_stops_between_sentences_are_tokens_of_their_own(tokenizer):
    tokens = [tokenizer.decode([i]) for i in ids_of(tokenizer, f"{WORDS[0]}. {WORDS[1]} {WORDS[2]}")]
    assert tokens == [WORDS[0], ".", f" {WORDS[1]}", f" {WORDS[2]}"]


def test_the_tokenizer_is_the_same_whenever_it_is_made(tokenizer):
    assert make_tokenizer().backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=200)
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(ids_of(tokenizer, text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "a . b , c ! don't",
        "  two  spaces \n\n\n x ",
        "<|eot_id|> x <|begin_of_text|>",
        "",
        "日本語 \U0001f98a é",
    ],
)
def test_nothing_is_tidied_up(tokenizer, text):
    assert tokenizer.decode(ids_of(tokenizer, text)) == text
