"""Three filters that look for phrases: refusals, denials of hearing, leaks of the seed's form."""

from __future__ import annotations

import re
from typing import ClassVar

from desta2.data.check.base import Filter, Finding
from desta2.data.check.item import Item
from desta2.data.check.lexicon import Lexicon
from desta2.data.check.text import shown

_OPENING = 2  # sentences in which a refusal comes; later on it belongs to a story
_STAMP = re.compile(r"\[(?:\d{1,3}:)?\d{1,2}:\d{2}(?:\.\d{1,3})?(?:\]| ?[-–—] ?(?:\d{1,3}:)?\d{1,2}:\d{2})")


class Refusal(Filter):
    """The LLM declines to answer."""

    name: ClassVar[str] = "refusal"
    about: ClassVar[str] = "refuses to answer"

    def __init__(self, lexicon: Lexicon) -> None:
        self._pattern = lexicon.compiled(lexicon.refusal)

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        return _search(self._pattern, item.sentences[:_OPENING], "the answer refuses")


class Denial(Filter):
    """The LLM says that it cannot hear: true of the text LLM, never to be learnt by the one that hears."""

    name: ClassVar[str] = "denial"
    about: ClassVar[str] = "denies hearing"

    def __init__(self, lexicon: Lexicon) -> None:
        self._pattern = lexicon.compiled(lexicon.denial)

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        return _search(self._pattern, item.sentences, "the answer denies hearing")


class Markup(Filter):
    """The answer shows the seed's form: its times, its parentheses, or talk about metadata."""

    name: ClassVar[str] = "markup"
    about: ClassVar[str] = "leaks the form of the seed"

    def __init__(self, lexicon: Lexicon) -> None:
        self._pattern = lexicon.compiled(lexicon.markup)
        names = [name for words in lexicon.attributes.values() for name in (*words.names, *words.names)]
        listed = "|".join(sorted({*map(re.escape, names), "duration", "intent"}, key=len, reverse=True))
        self._attributes = re.compile(rf"(?i)[(\[](?:{listed}) ?: ?[^()\[\]\n]{{1,200}}[)\],]")

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        spoken = "\n".join(item.transcripts)
        for pattern in (_STAMP, self._attributes):
            for match in pattern.finditer(item.pair.response):
                if match[0] not in spoken:
                    return Finding(
                        f"the answer holds {shown(match[0], 60)!r}, as only the seed has it", shown(match[0])
                    )
        return _search(self._pattern, item.sentences, "the answer talks about the seed")


def _search(pattern: re.Pattern[str], sentences: list[str], reason: str) -> Finding | None:
    for sentence in sentences:
        if match := pattern.search(sentence):
            around = sentence[max(0, match.start() - 60) : match.end() + 60]
            return Finding(f"{reason}: {shown(match[0], 60)!r}", shown(around))
    return None
