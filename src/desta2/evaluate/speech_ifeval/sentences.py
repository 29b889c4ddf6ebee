"""How many sentences a text has, for instructions such as "in less than three sentences".

IFEval counts them with a tokeniser that was trained on English news (Punkt: Kiss & Strunk, "Unsupervised
Multilingual Sentence Boundary Detection", 2006), whose parameters are a download. Here are rules of the same
kind, written down: marks that end sentences, words that end in a period without ending a sentence, and
whether the next word is capitalised.

The trade-off: a list of abbreviations is never complete, but it can be read, needs no data, and gives the
published verdict on all published responses. As there, line ends alone do not end sentences, and the "1." of
a numbered list counts as one.
"""

from __future__ import annotations

import re

_MARK = re.compile(r"[.!?]+")
_CLOSING = frozenset("\"'”’»)]}*_`")
_OPENING = "\"'“‘«([{*_`"
_BEFORE_NAMES = frozenset("mr mrs ms mx dr prof st mt lt col gen capt sgt rev hon gov sen rep vs".split())
_ABBREVIATIONS = frozenset("jr sr inc ltd co corp dept approx etc e.g i.e a.m p.m u.s u.k d.c ph.d".split())
_LONGEST = 12  # characters looked at before a period: more than any abbreviation has
_WORD_BEFORE = re.compile(r"[^\W\d_](?:\.?[^\W\d_])*\Z")


def count_sentences(text: str) -> int:
    """Count the sentences of a text: 0 if it is blank, otherwise at least 1.

    A sentence ends at a full stop, question or exclamation mark, or a run of them, and the quotes and
    brackets that close after it, where more text follows after a space (or follows directly, if it is no
    letter or digit). A full stop does not end one after "Mr." and its like or an initial ("J. Smith"); nor
    does it after another abbreviation ("etc."), or do several in a row ("..."), unless a capital letter
    follows.
    """
    text = text.strip()
    return bool(text) + sum(_ends_sentence(text, mark.start(), mark.end()) for mark in _MARK.finditer(text))


def _ends_sentence(text: str, start: int, end: int) -> bool:
    """Whether the marks `text[start:end]` end a sentence that another follows."""
    after = end
    while after < len(text) and text[after] in _CLOSING:
        after += 1
    if after == len(text) or text[after].isalnum() or (after == end and not text[after].isspace()):
        return False
    marks = text[start:end]
    if marks.strip("."):
        return True  # a question or exclamation mark
    word = _WORD_BEFORE.search(text[max(0, start - _LONGEST) : start])
    if len(marks) > 1 or (word and word[0].lower() in _ABBREVIATIONS):
        return _capital_follows(text, after)
    return not (word and (word[0].lower() in _BEFORE_NAMES or _is_initial(word[0])))


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.isupper() and word != "I"


def _capital_follows(text: str, place: int) -> bool:
    while place < len(text) and (text[place].isspace() or text[place] in _OPENING):
        place += 1
    return text[place : place + 1].isupper()
