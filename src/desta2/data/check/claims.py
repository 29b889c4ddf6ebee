"""What an answer says about the attributes of a clip, and what the seed says about them.

Trade-off: precision over recall. Only sentences of known form count as claims ("The gender is male", "a male
voice"); quotations are masked; a claim that is denied, doubted, asked or compared is none, and neither is one
whose word is spoken in the clip, since then the answer may speak about the words. What the lexicon does not
know (a value of the corpus's own, a number) is not judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from desta2.data.check.item import Item
from desta2.data.check.lexicon import Lexicon
from desta2.data.check.text import shown, words

_CLAUSE_START = re.compile(r"(?:[,:;]| but | however | while | although | whereas )(?=[^,:;]*$)")
_LISTED = re.compile(r"(?:,? (or|to|and|but|yet)|/)(?: (?:a|an|very|slightly|even))* ?")
_BESIDE = 60  # characters of the sentence to both sides of a claim, in excerpts
_PART = re.compile(r"[/,;&|]| and | or ")


@dataclass(frozen=True)
class Claim:
    """An answer's statement: of which attribute, which values it may mean, and the words around it."""

    attribute: str
    values: frozenset[str]
    word: str
    excerpt: str


@dataclass(frozen=True)
class Known:
    """What a seed has of an attribute: as written, and the lexicon's values; None where it knows none."""

    written: tuple[str, ...]
    values: frozenset[str] | None


class ClaimReader:
    """Finds claims by the patterns of a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._words = {key: lexicon.words_of(key) for key in lexicon.attributes}
        self._claims = {key: lexicon.claims_of(key) for key in lexicon.attributes}
        self._phrases = {key: lexicon.phrases_of(key) for key in lexicon.attributes}
        self._not_claimed = lexicon.compiled(lexicon.not_claimed)
        self._not_claimed_after = lexicon.compiled(lexicon.not_claimed_after)
        self._hedges = lexicon.compiled(lexicon.hedges)
        self._any_word = {
            key: re.compile("|".join(rf"\b(?:{p.pattern})\b" for p in of_value.values()))
            for key, of_value in self._words.items()
        }
        self._meanings = lru_cache(10_000)(self._find_meanings)
        self._latest: tuple[Item, list[Claim]] | None = None

    def claims(self, item: Item) -> list[Claim]:
        """All claims of an answer, in the order of its sentences."""
        if self._latest is None or self._latest[0] is not item:
            spoken = set(item.spoken_words)
            found = [c for s in item.sentences if not s.endswith("?") for c in self._in(s, spoken)]
            self._latest = item, found
        return self._latest[1]

    def known(self, item: Item) -> dict[str, Known]:
        """What the seed has, by attribute; empty without a seed that can be read."""
        written: dict[str, dict[str, None]] = {}
        for turn in item.turns or ():
            for name, value in turn.attributes.items():
                if attribute := self._lexicon.attribute_of(name):
                    written.setdefault(attribute, {})[value] = None
        return {key: Known(tuple(found), self._values(key, found)) for key, found in written.items()}

    def agrees(self, claim: Claim, known: frozenset[str]) -> bool:
        """Whether a claim may be true, given all values that the seed has of its attribute."""
        wider = self._lexicon.attributes[claim.attribute].wider
        return any(value in known or known.intersection(wider.get(value, ())) for value in claim.values)

    def _values(self, attribute: str, written: dict[str, None]) -> frozenset[str] | None:
        found: set[str] = set()
        for text in written:
            for part in _PART.split(text.lower()):
                means = self._meanings(attribute, part.strip())
                if not means:
                    return None
                found |= means
        return frozenset(found)

    def _find_meanings(self, attribute: str, word: str) -> frozenset[str]:
        of_value = self._words[attribute].items()
        return frozenset(value for value, pattern in of_value if pattern.fullmatch(word))

    def _in(self, sentence: str, spoken: set[str]) -> list[Claim]:
        found = []
        for attribute in self._lexicon.attributes:
            for value, pattern in self._phrases[attribute].items():
                for match in pattern.finditer(sentence):
                    if not self._is_denied(sentence, match.start()):
                        found.append(Claim(attribute, frozenset([value]), match[0], _around(sentence, match)))
            if not self._any_word[attribute].search(sentence):
                continue
            for pattern in self._claims[attribute]:
                for match in pattern.finditer(sentence):
                    if claim := self._claim(attribute, sentence, match, spoken):
                        found.append(claim)
        return found

    def _claim(self, attribute: str, sentence: str, match: re.Match[str], spoken: set[str]) -> Claim | None:
        word = match["value"]
        if self._is_denied(sentence, match.start()) or spoken.intersection(words(word)):
            return None
        start, end = match.span("value")
        if self._hedges.search(sentence[max(0, start - 20) : start]):
            return None
        if self._not_claimed_after.search(sentence[match.end() : match.end() + 60]):
            return None
        values = set(self._meanings(attribute, word))
        if listed := _LISTED.match(sentence, end):  # "calm and happy": either may be what is meant
            following = re.match(self._any_word[attribute], sentence[listed.end() : listed.end() + 40])
            if following and listed[1] in ("or", "to", None):
                return None
            if following:
                values |= self._meanings(attribute, following[0])
        return Claim(attribute, frozenset(values), word, _around(sentence, match))

    def _is_denied(self, sentence: str, position: int) -> bool:
        before = sentence[:position]
        if clause := _CLAUSE_START.search(before):
            before = before[clause.end() :]
        return bool(self._not_claimed.search(before))


def _around(sentence: str, match: re.Match[str]) -> str:
    return shown(sentence[max(0, match.start() - _BESIDE) : match.end() + _BESIDE])
