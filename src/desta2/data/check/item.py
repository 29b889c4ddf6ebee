"""A pair as the filters see it: its parts are worked out once, when a filter first asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from desta2.data.check.text import mask_quotations, sentences, words
from desta2.data.seed import Turn, parse_seed
from desta2.errors import InputError
from desta2.records import Pair


@dataclass
class Item:
    """A pair with where it came from.

    Attributes:
        pair: the record.
        folder: the file or folder of parts that it stands in: relative audio paths are looked for beside it.
    """

    pair: Pair
    folder: Path

    @cached_property
    def turns(self) -> list[Turn] | None:
        """The seed's turns; None where there is no seed that can be read."""
        try:
            return parse_seed(self.pair.seed, self.pair.provenance.seed_format or "v2")
        except InputError:
            return None

    @cached_property
    def clips(self) -> list[dict[str, Any]]:
        """The entries of `audios`, of all messages; what is no object is left out."""
        listed = [message.get("audios") for message in self.pair.messages]
        entries = [entry for audios in listed if isinstance(audios, list) for entry in audios]
        return [entry for entry in entries if isinstance(entry, dict)]

    @cached_property
    def transcripts(self) -> list[str]:
        """What is spoken: the texts of the seed's turns, and those that the pair gives with its clips."""
        given = [entry.get("text") for entry in self.clips]
        found = [turn.text for turn in self.turns or ()] + [text for text in given if isinstance(text, str)]
        return [text for text in dict.fromkeys(found) if text.strip()]

    @cached_property
    def spoken_words(self) -> list[str]:
        """The words of all transcripts, one after the other."""
        return [word for text in self.transcripts for word in words(text)]

    @cached_property
    def prose(self) -> str:
        """The answer in the LLM's own words: what it quotes or repeats from the transcript is masked."""
        return mask_quotations(self.pair.response, self.spoken_words)

    @cached_property
    def sentences(self) -> list[str]:
        """The sentences of `prose`, in lower case."""
        return sentences(self.prose)
