"""What a filter is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from desta2.data.check.item import Item


@dataclass(frozen=True)
class Finding:
    """A filter's reason to drop a pair.

    Attributes:
        reason: in words, for whoever reads `dropped.jsonl`.
        excerpt: the part of the answer that it is about, if one is.
    """

    reason: str
    excerpt: str = ""


@dataclass(frozen=True)
class Unchecked:
    """A filter could not look at a pair (which is therefore not dropped by it), and why."""

    reason: str


class Filter:
    """One test over pairs.

    Attributes:
        name: as reports, `--only` and `--without` call it.
        about: what it drops, in a few words.
        last: asked only about pairs that every other filter keeps, because it is costly or compares with the
            pairs that were kept before.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    last: ClassVar[bool] = False

    def find(self, item: Item) -> Finding | Unchecked | None:
        """Give the reason to drop a pair, or that it could not be looked at; None keeps it."""
        raise NotImplementedError

    def remember(self, item: Item) -> None:
        """Take note of a pair that is kept; most filters need not."""
