"""The nano language: every name that the rest of desta2 uses of it, and all of its words.

What can be asked about is in `aspects`, how it is asked in `wordings`, questions and answers are in
`questions`, ways to write an answer in `formats`. Held out of everything are `Aspect.held_out`,
`Wordings.held_out` and `HELD_OUT_COMBINATIONS`.
"""

from __future__ import annotations

from desta2.nano.aspects import ASPECT, ASPECTS, UNKNOWN, Aspect, spoken_value, written_value
from desta2.nano.formats import (
    ENDS,
    FORMATS,
    HELD_OUT_COMBINATIONS,
    INSTRUCTIONS,
    STARTS,
    Format,
    combine,
    draw_format,
    fits,
)
from desta2.nano.questions import KINDS, Exchange, Facts, ask, ask_kind, ask_two, describe
from desta2.nano.wordings import ALL_WORDINGS, DESCRIBE, DESCRIBE_ALSO, NUMBER, REPEAT, Wordings

__all__ = [
    "ASPECT",
    "ASPECTS",
    "DESCRIBE",
    "DESCRIBE_ALSO",
    "ENDS",
    "FORMATS",
    "HELD_OUT_COMBINATIONS",
    "INSTRUCTIONS",
    "KINDS",
    "NUMBER",
    "REPEAT",
    "STARTS",
    "UNKNOWN",
    "Aspect",
    "Exchange",
    "Facts",
    "Format",
    "ask",
    "ask_kind",
    "ask_two",
    "combine",
    "describe",
    "draw_format",
    "fits",
    "spoken_value",
    "vocabulary",
    "written_value",
]

# Words of answers that no wording above holds.
_ANSWERED = "Yes No Step Answer unclear says number words per second first last word is not clear seconds"


def vocabulary() -> list[str]:
    """Every instruction and answer pattern, for the tokenizer: each word of them becomes a token."""
    texts = [DESCRIBE, *DESCRIBE_ALSO, *REPEAT, *NUMBER, *STARTS, *ENDS, _ANSWERED]
    wordings: list[Wordings] = [*ALL_WORDINGS, *INSTRUCTIONS.values()]
    texts += [text for each in wordings for text in (*each.trained, *each.held_out)]
    for aspect in ASPECTS:
        texts += [*aspect.trained, *aspect.held_out, aspect.aside, aspect.label, aspect.name]
        texts += [aspect.say(option) for option in aspect.options]
    return texts
