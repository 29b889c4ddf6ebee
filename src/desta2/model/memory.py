"""The clips that were heard last, so that the later turns of a conversation cost no encoder pass.

What is kept is what the LLM gets (64 vectors of 4,096 floats are 1 MB a window), not the encoder's output,
which is some twenty times as much. It is therefore only good for the adapter that made it: when the weights
change, everything is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desta2.model.hearing import Heard

LIMIT_BYTES = 64 << 20


class Memory:
    """A bounded store of clips; the one used longest ago goes first.

    Args:
        limit_bytes: Of the vectors kept. The default of 64 MiB holds about half an hour of speech for an LLM
            of width 4,096 and 64 queries in float32; they lie where the adapter computes. 0 keeps nothing.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._clips: OrderedDict[Hashable, Heard] = OrderedDict()
        self._state: Hashable = None

    def __len__(self) -> int:
        return len(self._clips)

    def of(self, state: Hashable) -> Memory:
        """This memory, emptied if `state` is another one than the last time."""
        if state != self._state:
            self.clear()
            self._state = state
        return self

    def get(self, key: Hashable) -> Heard | None:
        """The clip that was put under `key`, unless it was forgotten."""
        heard = self._clips.get(key)
        if heard is not None:
            self._clips.move_to_end(key)
        return heard

    def put(self, key: Hashable, heard: Heard) -> None:
        """Keep a clip; a clip that is larger than the whole memory is not kept."""
        self._drop(key)
        if _size(heard) > self.limit_bytes:
            return
        self._clips[key] = heard
        self.used_bytes += _size(heard)
        while self.used_bytes > self.limit_bytes:
            self._drop(next(iter(self._clips)))

    def clear(self) -> None:
        """Forget everything."""
        self._clips.clear()
        self.used_bytes = 0

    def _drop(self, key: Hashable) -> None:
        heard = self._clips.pop(key, None)
        if heard is not None:
            self.used_bytes -= _size(heard)


def _size(heard: Heard) -> int:
    return heard.embeds.nelement() * heard.embeds.element_size()
