"""Text as filters compare it: quoted words masked, sentences cut, letters made equal.

Answers come from sampling and may be anything, a megabyte of quotation marks included: every pattern here is
linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MASK = "…"
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_QUOTED = re.compile(
    r'"[^"\n]*"'
    r"|“[^“”\n]*”"
    r"|„[^„“”\n]*[“”]"
    r"|«[^«»\n]*»"
    r"|「[^「」\n]*」"
    r"|‘(?:[^‘’\n]|(?<=\w)’(?=\w))*’(?!\w)"
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w))*'(?!\w)"
    r"|`[^`\n]*`"
)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+|;\s")
_LONGEST_SENTENCE = 1000  # characters; what has no end is cut, so that patterns meet no endless sentence
_REPEATED_WORDS = 3  # so many words in a row that the transcript has too are a quotation without its marks


def words(text: str) -> list[str]:
    """The words of a text, letters made equal, punctuation left out."""
    return [match[0].replace("’", "'") for match in _WORD.finditer(normal(text))]


def normal(text: str) -> str:
    """Compatible characters made equal (NFKC), without case."""
    return unicodedata.normalize("NFKC", text).casefold()


def plain(text: str) -> str:
    """Words joined by single spaces: what two texts have in common when they say the same."""
    return " ".join(words(text))


def count_letters(text: str) -> int:
    """Letters and digits, of any script."""
    return sum(character.isalnum() for character in text)


def mask_quotations(text: str, transcript: Iterable[str]) -> str:
    """Put `MASK` in place of what is quoted, and of words in a row that the transcript has too.

    Args:
        text: an answer.
        transcript: words of what is spoken, see `words`.
    """
    text = _QUOTED.sub(MASK, text)
    spoken = list(transcript)
    n = min(_REPEATED_WORDS, len(spoken))
    if n == 0:
        return text
    known = {tuple(spoken[i : i + n]) for i in range(len(spoken) - n + 1)}
    found = list(_WORD.finditer(text))
    same = [normal(match[0]).replace("’", "'") for match in found]
    repeated = [False] * len(found)
    for i in range(len(found) - n + 1):
        if tuple(same[i : i + n]) in known:
            repeated[i : i + n] = [True] * n
    pieces, end = [], 0
    for match, is_repeated in zip(found, repeated, strict=True):
        if is_repeated:
            pieces += [text[end : match.start()], MASK]
            end = match.end()
    return "".join(pieces) + text[end:]


def sentences(text: str) -> list[str]:
    """The sentences of a text in lower case: straight apostrophes, single spaces, no Markdown emphasis."""
    found = []
    for sentence in _SENTENCE_END.split(text.replace("*", "").replace("’", "'")):
        tidy = " ".join(sentence.lower().split())
        found += [tidy[i : i + _LONGEST_SENTENCE] for i in range(0, len(tidy), _LONGEST_SENTENCE)]
    return found


def shown(text: str, longest: int = 160) -> str:
    """A text as reports show it: one line, shortened, nothing in it that a terminal would obey."""
    short = " ".join(text[: longest + 1].split())
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in short)
    return safe if len(text) <= longest else safe[: longest - 1] + MASK
