"""How an LLM puts what it knows into words: in sentences, or in notes.

The nano LLM speaks in sentences. A second LLM that writes notes is there for one question alone: what an
adapter learns from targets that its own LLM would not say. The trade-off: notes are made of words that both
LLMs know, so the second one shares the tokenizer, and only its manner is foreign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["sentences", "notes"]


@dataclass(frozen=True)
class Phrasing:
    """Patterns of everything that answers say.

    Attributes:
        attribute: of a name and a value.
        quote: of the words.
        number: of how many words there are.
        word: of "first" or "last", and that word.
        rate: of the words per second.
        aside: share of a description's attributes that are said in another sentence, `Aspect.aside`.
        words_first: share of descriptions that begin with the words; others end with them.
    """

    attribute: str
    quote: str
    number: str
    word: str
    rate: str
    aside: float
    words_first: float


SENTENCES = Phrasing(
    attribute="The {} is {}.",
    quote='The speaker says "{}".',
    number="The number of words is {}.",
    word='The {} word is "{}".',
    rate="The number of words per second is {}.",
    aside=0.25,
    words_first=0.8,
)
NOTES = Phrasing(
    attribute="{}: {}.",
    quote='Words: "{}".',
    number="Number of words: {}.",
    word='{} word: "{}".',
    rate="Words per second: {}.",
    aside=0.0,
    words_first=0.0,
)
PHRASINGS: dict[Name, Phrasing] = {"sentences": SENTENCES, "notes": NOTES}


def sentence(pattern: str, *parts: object) -> str:
    """A pattern with its parts, with a capital at its start."""
    text = pattern.format(*parts)
    return text[0].upper() + text[1:]
