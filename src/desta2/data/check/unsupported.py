"""Answers that state a value of an attribute that the seed does not have: it is made up, or guessed."""

from __future__ import annotations

from typing import ClassVar

from desta2.data.check import config
from desta2.data.check.base import Filter, Finding, Unchecked
from desta2.data.check.claims import ClaimReader
from desta2.data.check.item import Item


class Unsupported(Filter):
    """No Emotion in the seed, and "The speaker sounds happy." in the answer."""

    name: ClassVar[str] = "unsupported"
    about: ClassVar[str] = "states an attribute that the seed lacks"

    def __init__(self, reader: ClaimReader, settings: config.Attributes) -> None:
        self._reader = reader
        self._settings = settings

    def find(self, item: Item) -> Finding | Unchecked | None:
        """See `Filter`."""
        if item.turns is None:
            return Unchecked("no seed that can be read")
        known = self._reader.known(item)
        for claim in self._reader.claims(item):
            if self._settings.looks_at(claim.attribute) and claim.attribute not in known:
                return Finding(
                    f"{claim.attribute}: the answer says {claim.word!r}, the seed nothing", claim.excerpt
                )
        return None
