"""What an answer states, read by rule: an attribute's value, a number, a transcript, or that it is not clear.

The label must stand in the answer as consecutive whole words, as in the Dynamic-SUPERB scores of the DeSTA
papers (Lu et al., 2024), and no other option of the attribute may. The trade-off: a rule is free, the same
for everyone and never persuaded, but it takes "not female" for "female" and knows no synonyms. It fits
questions whose options are known, which is all that is asked in the nano benchmark.
"""

from __future__ import annotations

import re
from functools import cache

from desta2.errors import InputError
from desta2.nano.language import ASPECT, UNKNOWN

OTHER = "other"  # an answer that states no option, or several
UNMENTIONED = "not mentioned"
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+")  # "3.5" is one word, or "3.5 seconds" would hold "5 seconds"


def normalise(text: str) -> str:
    """The words of a text alone: no case, no punctuation, single spaces."""
    return " ".join(_WORD.findall(re.sub("['’]", "", text.casefold())))


def read_answer(key: str, response: str) -> str:
    """The option of the attribute `key` that a response states, `UNKNOWN` if it says so, or else `OTHER`.

    Raises:
        InputError: there is no such attribute.
    """
    words = f" {normalise(response)} "
    stated = _stated(key, words)
    if len(stated) == 1:
        return stated[0]
    return UNKNOWN if _says_unknown(words) and not stated else OTHER


def read_description(key: str, response: str) -> str:
    """What a description says of the attribute `key`.

    Quoted words are what the speaker says, and tell nothing. A value belongs to one attribute only, so it
    counts wherever it stands; "not clear" counts in a sentence that names the attribute.

    Returns:
        as `read_answer`; `UNMENTIONED` where it states no value, and does not say that it is not clear.

    Raises:
        InputError: there is no such attribute.
    """
    start, end = response.find('"'), response.rfind('"')
    told = response if start == end else f"{response[:start]}. {response[end + 1 :]}"
    words = f" {normalise(told)} "
    if _stated(key, words):
        return read_answer(key, told)
    name = f" {ASPECT[key].name} "
    sentences = [f" {normalise(sentence)} " for sentence in told.split(".")]
    return UNKNOWN if any(name in each and _says_unknown(each) for each in sentences) else UNMENTIONED


def is_right(key: str, label: str, response: str) -> bool:
    """Whether a response states the label and no other option of the attribute `key`.

    Raises:
        InputError: there is no such attribute, or the label is none of its options.
    """
    return read_answer(key, response) == check_label(key, label)


def quoted(response: str) -> str:
    """The words between the first and the last double quote of a response, or all of them without quotes."""
    start, end = response.find('"'), response.rfind('"')
    return normalise(response if start == end else response[start + 1 : end])


def conclusion(response: str) -> str:
    """What stands behind the last "Answer:" of a response; all of it, where there is none."""
    return re.split("answer:", response, flags=re.IGNORECASE)[-1]


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """How many words of a hypothesis are wrong, missing or too many, and how many words the reference has."""
    import jiwer

    out = jiwer.process_words(normalise(reference), normalise(hypothesis))
    return out.substitutions + out.deletions + out.insertions, out.hits + out.substitutions + out.deletions


def options_of(key: str) -> tuple[str, ...]:
    """The values of an attribute as answers write them.

    Raises:
        InputError: there is no such attribute.
    """
    if key not in ASPECT:
        raise InputError(f"there is no attribute {key!r}; expected one of {', '.join(ASPECT)}")
    return ASPECT[key].options


def check_label(key: str, label: str) -> str:
    """The label as the attribute's options write it.

    Raises:
        InputError: it is none of them.
    """
    for option in options_of(key):
        if option.casefold() == label.casefold():
            return option
    raise InputError(f"given the label {label!r}, but {key} is one of {', '.join(options_of(key))}")


@cache
def _spoken(key: str) -> dict[str, str]:
    """The options of an attribute as `normalise` writes them, between spaces."""
    return {option: f" {normalise(option)} " for option in options_of(key)}


def _stated(key: str, words: str) -> list[str]:
    """The options that stand in normalised words with a space at both ends."""
    return [option for option, spoken in _spoken(key).items() if spoken in words]


def _says_unknown(words: str) -> bool:
    return f" {UNKNOWN} " in words or " unclear " in words
