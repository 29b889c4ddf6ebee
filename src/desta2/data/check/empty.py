"""Answers without a word."""

from __future__ import annotations

from typing import ClassVar

from desta2.data.check.base import Filter, Finding
from desta2.data.check.item import Item
from desta2.data.check.text import shown


class Empty(Filter):
    """Nothing in the answer is a letter or digit of any script."""

    name: ClassVar[str] = "empty"
    about: ClassVar[str] = "has no word"

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        if any(character.isalnum() for character in item.pair.response):
            return None
        return Finding("the answer has no letter or digit", shown(item.pair.response))
