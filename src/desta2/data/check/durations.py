"""Durations: what an answer says in numbers, and what the seed's times and its Duration say.

Only whole statements about the clip count ("The audio lasts 3 seconds"), not any number of seconds; ranges,
minutes and "less than" are not judged.
"""

from __future__ import annotations

import re

from desta2.data.attributes import key_of
from desta2.data.check.claims import Claim
from desta2.data.check.item import Item
from desta2.data.check.text import shown

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
)
_NUMBERS = {word: float(number) for number, word in enumerate(_UNITS)}
_NUMBERS |= {"twenty": 20.0, "thirty": 30.0}
_N = rf"(?P<n>\d{{1,6}}(?:\.\d{{1,6}})?|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_CLIP = "(?:audio|clip|recording|sample|sound file|file)"
_LASTS = "(?: clip| recording| file| itself)? (?:lasts?|lasted|runs?|is|was)"
_ABOUT = "(?: (?:a|about|approximately|around|roughly|exactly|only|just|for|total|of|in|estimated|at))*"
_SECONDS = rf"{_ABOUT} {_N}[ -]?(?:seconds?|secs?|s)\b"
_OF = r"(?: of (?:the |this )?[\w-]+(?: [\w-]+)?)?"
_NOT_LATER = "(?! (?:in|into|of|before|after|later))"
_CLAIMS = [
    re.compile(rf"\b(?:duration|length){_OF}(?::| is| was){_SECONDS}"),
    re.compile(rf"\bduration of{_SECONDS}"),
    re.compile(rf"\b{_CLIP}{_LASTS}{_SECONDS}{_NOT_LATER}"),
    re.compile(rf"\b(?:a|an|the|this) {_N}[ -]seconds?(?:[ -]long)? {_CLIP}\b"),
]  # fmt: skip
_NOT_JUDGED = re.compile(
    r"minute|hour|\b(?:less|more|fewer|under|over|than|between|at (?:least|most)|up to|not)\b|n't\b"
)
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?) ?(?:s|secs?|seconds?)?")


def duration_claims(item: Item) -> list[tuple[float, Claim]]:
    """The seconds that an answer states, each with its sentence."""
    spoken = set(item.spoken_words)
    found = []
    for sentence in item.sentences:
        for pattern in _CLAIMS:
            match = pattern.search(sentence)
            if match is None or _NOT_JUDGED.search(sentence) or match["n"] in spoken:
                continue
            seconds = _NUMBERS.get(match["n"]) or float(match["n"] if match["n"][0].isdigit() else 0)
            found.append((seconds, Claim("duration", frozenset(), match["n"], shown(sentence))))
            break
    return found


def known_seconds(item: Item) -> list[float] | None:
    """Every length that the seed states; None where it has none, or one that is not written in seconds."""
    turns = item.turns
    if not turns:
        return None
    lengths = [turn.end - turn.start for turn in turns] + [max(turn.end for turn in turns)]
    for turn in turns:
        for name, value in turn.attributes.items():
            if key_of(name) in ("duration", "length"):
                written = _WRITTEN.fullmatch(value.strip().lower())
                if written is None:
                    return None
                lengths.append(float(written[1]))
    return list(dict.fromkeys(lengths))
