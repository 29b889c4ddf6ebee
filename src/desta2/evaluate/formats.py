"""Whether an answer is written as it was asked for, decided by rules alone: no judge, no model, no download.

The trade-off: a rule looks at the form of the whole answer and never at its sense, so an answer can be wrong
and obedient, or right and disobedient; both are worth knowing apart. The rules scan the text once, without
backtracking expressions, because answers of models can be of any length and content.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any

from desta2.errors import InputError

_BULLETS = ("* ", "- ", "• ")


def obeys(name: str, response: str, phrase: str = "") -> bool:
    """Whether `response` is written in the format `name`. White space around it never matters.

    - "capitals", "lower": it has letters, and none in the other case;
    - "json": it is one JSON object and nothing else (NaN and Infinity are not JSON);
    - "bullets": every line that is not empty begins with "* ", "- " or "• ", and there is one;
    - "quotes": it stands between double quotes and is not empty; quotes inside are allowed;
    - "start", "end": it starts or ends with `phrase`, in the same case, runs of white space being equal;
    - "word": it is one word, which may have hyphens and apostrophes inside and a full stop at its end.

    Raises:
        InputError: there is no such format, or "start" or "end" come without a phrase.
    """
    if name not in _RULES:
        raise InputError(f"there is no format {name!r}; expected one of {', '.join(_RULES)}")
    if name in _WITH_PHRASE and not phrase.strip():
        raise InputError(f"the format {name!r} needs the phrase that was asked for, given {phrase!r}")
    return _RULES[name](response.strip(), phrase)


def _capitals(text: str, _: str) -> bool:
    return any(map(str.isalpha, text)) and not any(map(str.islower, text))


def _lower(text: str, _: str) -> bool:
    return any(map(str.isalpha, text)) and not any(c.isupper() or c.istitle() for c in text)


def _json(text: str, _: str) -> bool:
    return is_json(text, dict)


def is_json(text: str, kind: type = object) -> bool:
    """Whether a text is one JSON value of a Python type and nothing else; NaN and Infinity are not JSON."""
    try:
        return isinstance(parse_json(text), kind)
    except ValueError:
        return False


def parse_json(text: str | bytes) -> Any:
    """Parse one JSON value; ValueError where it is none (NaN and Infinity are none), or too deep."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:  # thousands of opening brackets
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _bullets(text: str, _: str) -> bool:
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    return bool(lines) and all(line.startswith(_BULLETS) for line in lines)


def _quotes(text: str, _: str) -> bool:
    wrapped = len(text) > 2 and text[0] == text[-1] == '"'
    return wrapped and any(c != '"' and not c.isspace() for c in text)


def _start(text: str, phrase: str) -> bool:
    return _spaced(text).startswith(_spaced(phrase))


def _end(text: str, phrase: str) -> bool:
    return _spaced(text).endswith(_spaced(phrase))


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _word(text: str, _: str) -> bool:
    word = text.removesuffix(".")
    # Categories L, N and M: letters, digits and the marks that some scripts write vowels with.
    inside = all(unicodedata.category(c)[0] in "LNM" or c in "-'’" for c in word)
    return inside and any(map(str.isalnum, word))


_RULES: dict[str, Callable[[str, str], bool]] = {
    "capitals": _capitals,
    "lower": _lower,
    "json": _json,
    "bullets": _bullets,
    "quotes": _quotes,
    "start": _start,
    "end": _end,
    "word": _word,
}
_WITH_PHRASE = ("start", "end")
