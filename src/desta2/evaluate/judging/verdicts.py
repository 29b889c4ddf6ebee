"""Reading a judge's words, strictly: what cannot be read is asked again, what is misread is scored."""

from __future__ import annotations

import re

HIGHEST = 10.0
"""The highest mark; the lowest is 0. Judges are asked for 1 to 10, but give 0 to answers that say nothing;
the benchmark's own script takes those too, and leaving them out would favour the systems that earn them."""

_STATED = re.compile(r"result:\W*(yes|no)\b", re.IGNORECASE)
_ALONE = re.compile(r"\A\W*(yes|no)\W*\Z", re.IGNORECASE)
_NUMBER = r"(\d{1,2}(?:\.\d{1,3})?)"
_MARKS = re.compile(rf"(?:(?:scores?|marks?)\s*:?\s*)?{_NUMBER}(?:\s*,\s*|\s+){_NUMBER}\.?", re.IGNORECASE)
_DECORATION = " \t\r*_`"


def read_yes_no(answer: str) -> bool | None:
    """The last "Result: YES" or "Result: NO" of an answer, in any case, or its only word; else None."""
    stated = _STATED.findall(answer) or _ALONE.findall(answer)
    return stated[-1].lower() == "yes" if stated else None


def read_marks(answer: str) -> tuple[float, float] | None:
    """The two marks that stand alone on a line of an answer, such as "7 9", "7.5, 9" or "**Scores: 7 9**".

    None where no line has them, several lines differ, or a mark is above `HIGHEST`.
    """
    lines = (line.strip(_DECORATION) for line in answer.splitlines())
    found = {(float(match[1]), float(match[2])) for line in lines if (match := _MARKS.fullmatch(line))}
    if len(found) != 1:
        return None
    marks = found.pop()
    return marks if max(marks) <= HIGHEST else None
