"""The text of an answer while its token ids arrive: what is certain of it, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desta2.model.stopping import before_stop, until_end
from desta2.model.streaming import Pieces
from desta2.serve.speaking import Delta, Finish

if TYPE_CHECKING:
    from desta2.model.processing import Desta2Processor


class Writing:
    """An answer's text.

    Args:
        processor: The model's.
        ends: Ids that end an answer.
        stops: Texts before which the answer ends.
        longest: Tokens at most.

    Attributes:
        ids: Generated so far.
    """

    def __init__(
        self, processor: Desta2Processor, ends: Sequence[int], stops: tuple[str, ...], longest: int
    ) -> None:
        self.ids: list[int] = []
        self._decode, self._stops, self._longest = processor.decode, stops, longest
        self._ends = ends
        self._pieces = Pieces(processor.tokenizer, processor.decode, stops)

    def take(self, token: int) -> Delta:
        """Go on with a token."""
        self.ids.append(token)
        finish = self._finish(token)
        if finish is None:
            return Delta(self._pieces.push(token), 1)
        return Delta(self.rest(), 1, finish)

    def rest(self) -> str:
        """What was held back of the text, once no token follows."""
        return self._pieces.rest(before_stop(self._decode(until_end(self.ids, self._ends)), self._stops))

    def _finish(self, token: int) -> Finish | None:
        if token in self._ends:
            return "stop"
        if self._stops and any(stop in self._decode(self.ids) for stop in self._stops):
            return "stop"
        return "length" if len(self.ids) >= self._longest else None
