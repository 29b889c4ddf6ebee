"""Answers that state another value of an attribute than the seed does."""

from __future__ import annotations

from typing import ClassVar

from desta2.data.check import config
from desta2.data.check.base import Filter, Finding, Unchecked
from desta2.data.check.claims import ClaimReader
from desta2.data.check.durations import duration_claims, known_seconds
from desta2.data.check.item import Item
from desta2.data.check.text import shown


class Contradiction(Filter):
    """The seed says Low, the answer says high; see `claims` for what counts as saying."""

    name: ClassVar[str] = "contradiction"
    about: ClassVar[str] = "states a value that contradicts the seed"

    def __init__(self, reader: ClaimReader, settings: config.Contradiction) -> None:
        self._reader = reader
        self._settings = settings

    def find(self, item: Item) -> Finding | Unchecked | None:
        """See `Filter`."""
        if item.turns is None:
            return Unchecked("no seed that can be read")
        known = self._reader.known(item)
        for claim in self._reader.claims(item):
            seed = known.get(claim.attribute)
            if seed is None or seed.values is None or not self._settings.looks_at(claim.attribute):
                continue
            if not self._reader.agrees(claim, seed.values):
                written = shown(", ".join(seed.written), 60)
                return Finding(
                    f"{claim.attribute}: the answer says {claim.word!r}, the seed {written!r}", claim.excerpt
                )
        return self._duration(item) if self._settings.looks_at("duration") else None

    def _duration(self, item: Item) -> Finding | None:
        lengths = known_seconds(item)
        for seconds, claim in duration_claims(item) if lengths else ():
            if not any(self._is_near(seconds, length) for length in lengths or ()):
                said = ", ".join(f"{length:g} s" for length in (lengths or [])[:4])
                return Finding(f"duration: the answer says {seconds:g} s, the seed {said}", claim.excerpt)
        return None

    def _is_near(self, seconds: float, length: float) -> bool:
        most = self._settings.duration_seconds + self._settings.duration_share * length
        return abs(seconds - length) <= most
