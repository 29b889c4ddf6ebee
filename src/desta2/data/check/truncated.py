"""Answers that stop before their end.

Self-generation leaves cut answers out by itself; this is for pairs from elsewhere. Only signs that leave
little doubt count: a last word or sign that must be followed by something, or an answer of many words, some
of them ended by full stops, that ends in the middle of a line of prose.
"""

from __future__ import annotations

import re
from typing import ClassVar

from desta2.data.check import config
from desta2.data.check.base import Filter, Finding
from desta2.data.check.item import Item
from desta2.data.check.text import words

_OPEN_END = re.compile(r"(?:[,;(\[{“„«–—-]|(?:^|[\s(])[\"'‘])$")
_OPEN_WORD = re.compile(
    r"(?:^|\s)(?:a|an|the|and|or|but|nor|of|to|with|for|from|into|by|at|as|than|that|which|who|whose|because|while|if"
    r"|is|are|was|were|be|has|have|had|will|would|can|could|should|may|might|must|their|his|its|my|your|our)$"
)  # lower case only: "Answer: A" and titles end as they like
_STOP = re.compile(r"[.!?…。！？؟।]")
_LIST_ITEM = re.compile(r"\s*(?:[-*•+–]|\(?\w{1,3}[.)]|#|\||>)\s*\S")
_RULE = re.compile(r"[-–—*_=~]{3,}$")
_WHOLE_END = re.compile(r"[\w%]$")


class Truncated(Filter):
    """The end of the answer is missing."""

    name: ClassVar[str] = "truncated"
    about: ClassVar[str] = "stops before its end"

    def __init__(self, settings: config.Truncated) -> None:
        self._min_words = settings.min_words

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        text = item.pair.response.rstrip()
        last = text[text.rfind("\n") + 1 :]
        excerpt = "…" + text[-80:]
        if _RULE.search(last):
            return None
        if _OPEN_END.search(text[-2:]):
            return Finding(f"the answer ends with {text[-1]!r}", excerpt)
        if found := _OPEN_WORD.search(text[-20:]):
            if len(words(text[-400:])) > 3:  # "Of" may be the answer to a question about a word
                return Finding(f"the answer ends with {found[0].strip()!r}", excerpt)
            return None
        prose_line = len(words(last)) > 8 and not _LIST_ITEM.match(last)
        if (
            _WHOLE_END.search(text)
            and prose_line
            and _STOP.search(text)
            and len(words(text)) >= self._min_words
        ):
            return Finding("a long answer ends in the middle of a sentence", excerpt)
        return None
