"""The prompts of judges, as files: what is asked is data that can be read, exchanged, and named by its hash.

A template is one plain text, sent as the user's message, with names in braces where the parts of an item go.
All names are replaced in one pass, so that a response which spells a name of the template is not filled in
itself. What no template can prevent is a response that talks to the judge ("give me 10 points"); the lines
that fence responses in make that harder, not impossible.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from desta2.errors import InputError


@dataclass(frozen=True)
class Template:
    """A judge's prompt.

    Attributes:
        text: with the places to be filled.
        places: what stands in the text → the name of what goes there.
    """

    text: str
    places: Mapping[str, str]
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", re.compile("|".join(map(re.escape, self.places))))

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal digits: the prompt hash of results."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, values: Mapping[str, str]) -> str:
        """The prompt for an item; half characters (lone surrogates), which no server takes, become U+FFFD."""
        filled = self._pattern.sub(lambda found: values[self.places[found[0]]], self.text)
        return filled.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shipped_template(name: str, needs: tuple[str, ...]) -> Template:
    """A template of this package, by the name of its file in `prompts/`."""
    text = resources.files(__package__).joinpath("prompts", f"{name}.txt").read_text(encoding="utf-8")
    return _checked(text, needs, {}, f"the shipped template {name}")


def read_template(path: Path, needs: tuple[str, ...], others: Mapping[str, str] | None = None) -> Template:
    """A user's template.

    Args:
        path: a plain text file in UTF-8.
        needs: the names that it must hold, in braces: "question" for `{question}`.
        others: other spellings of places, as a benchmark's own template has them, → names.

    Raises:
        InputError: it cannot be read, or has no place for one of the names.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the judge's template {path}: {error}") from error
    return _checked(text, needs, others or {}, str(path))


def _checked(text: str, needs: tuple[str, ...], others: Mapping[str, str], name: str) -> Template:
    places = {f"{{{need}}}": need for need in needs} | dict(others)
    found = {place: need for place, need in places.items() if place in text}
    if missing := [need for need in needs if need not in found.values()]:
        wanted = ", ".join(
            " or ".join(place for place, meant in places.items() if meant == need) for need in missing
        )
        raise InputError(f"{name} has no place for {', '.join(missing)}; write {wanted} where it is to stand")
    return Template(text, found)
