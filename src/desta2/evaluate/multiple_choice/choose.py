"""Which option an answer chooses, by rule: its letter, or its text.

The trade-off: a rule is free and the same for everyone, and it never guesses. An answer that names two
options, or the letter of one and the text of another, has chosen none; answers in other words than the
option's are lost. Both are counted, so that it shows when the rule and not the model is what fails.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from desta2.evaluate.answers import normalise

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONCLUSION = re.compile(r"\b(?:answer|choice|option)\s*(?:\bis\b\s*:?|:)", re.IGNORECASE)
_BARE = re.compile(r"[\s(\[*_\"']*([A-Za-z])[\s)\].:*_\"']*")
_LINE_START = re.compile(r"^[ \t(\[*_\"'-]*([A-Z])(?:[ \t]*[)\].:*_]|[ \t]*$)", re.MULTILINE)
_MARKED = re.compile(r"\(([A-Za-z])\)|\b[Oo]ption ([A-Z])\b|\*\*([A-Z])(?:\*\*|[.):])")


@dataclass(frozen=True)
class Choice:
    """What an answer chooses.

    Attributes:
        place: of the option, from 0 on; None where none can be told.
        ambiguous: whether that is because it names several.
    """

    place: int | None
    ambiguous: bool = False


def choose(response: str, options: Sequence[str]) -> Choice:
    """The option that a response chooses.

    If it says "the answer is" or "answer:", what follows the last of these decides, unless that names none.
    There, letters count that stand alone, begin a line ("B. Dog"), are in brackets, or follow "option"; and
    options whose text occurs as consecutive whole words, outside of a longer option that holds them. One
    letter decides, unless other options are named by their text and its own is not; without a letter, one
    text does.

    Args:
        response: the answer.
        options: as they were shown, at most 26; the first is "A".
    """
    *_, concluded = _CONCLUSION.split(response)
    found = _choose(concluded, options) if concluded != response else Choice(None)
    return found if found.place is not None or found.ambiguous else _choose(response, options)


def _choose(text: str, options: Sequence[str]) -> Choice:
    letters, named = _letters(text, len(options)), named_options(text, options)
    if len(letters) > 1:
        return Choice(None, ambiguous=True)
    if letters and named and not letters & named:
        return Choice(None, ambiguous=True)
    stated = letters or named
    return Choice(min(stated)) if len(stated) == 1 else Choice(None, ambiguous=bool(stated))


def _letters(text: str, count: int) -> set[int]:
    """Places of the options that are named by their letters."""
    if bare := _BARE.fullmatch(text):
        found = {bare[1].upper()}
    else:
        found = {match[1] for match in _LINE_START.finditer(text)}
        found |= {(match[1] or match[2] or match[3]).upper() for match in _MARKED.finditer(text)}
    return {place for letter in found if (place := LETTERS.index(letter)) < count}


def named_options(text: str, options: Sequence[str]) -> set[int]:
    """Places of the options whose words stand in a text one after another, without case and punctuation.

    An option within a longer one that is named does not count for that: "dog barking" does not name "dog".
    """
    words, found = f" {normalise(text)} ", set()
    spoken = {place: normalise(option) for place, option in enumerate(options)}
    for place in sorted(spoken, key=lambda place: -len(spoken[place])):
        while spoken[place] and f" {spoken[place]} " in words:
            found.add(place)
            words = words.replace(f" {spoken[place]} ", " | ")
    return found
