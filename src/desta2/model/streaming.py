"""Answers as they are written.

transformers' `generate` runs to its end once called, so it runs in a thread of its own. Thread and consumer
take turns: while a piece is being looked at, nothing is computed. That costs the overlap of the two, and buys
that leaving early stops the work at once, that an error arises where the pieces are read, that no queue can
grow, and that the consumer's own random numbers do not mix with the sampling.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from desta2.model.stopping import before_stop

Item = TypeVar("Item")
Result = TypeVar("Result")

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # how SentencePiece-like vocabularies name single bytes


class Pieces:
    """Token ids, one after another → text that no later token can change or stop.

    What may still change is held back: the bytes of an unfinished character, and what may be the beginning of
    a stop text.

    Args:
        tokenizer: The LLM's.
        decode: Token ids → text.
        stops: Texts before which the answer ends.

    Attributes:
        sent: All text that was given out.
    """

    def __init__(self, tokenizer: Any, decode: Callable[[list[int]], str], stops: Sequence[str]) -> None:
        self.sent = ""
        self._tokenizer, self._decode, self._stops = tokenizer, decode, stops
        self._ids: list[int] = []

    def push(self, token_id: int) -> str:
        """The text that is certain now and was not before."""
        self._ids.append(token_id)
        text = self._decode(self._ids[: self._finished()]).rstrip("\ufffd")
        if (certain := before_stop(text, self._stops)) == text:
            certain = text[: len(text) - _overlap(text, self._stops)]
        return self._send(certain)

    def rest(self, text: str) -> str:
        """What is left of the whole text of the answer."""
        return self._send(text)

    def _send(self, text: str) -> str:
        if not text.startswith(self.sent):  # shorter, while a character is unfinished
            return ""
        piece = text[len(self.sent) :]
        self.sent = text
        return piece

    def _finished(self) -> int:
        """Number of ids before a run of single bytes at the end."""
        length = len(self._ids)
        while length and _BYTE.fullmatch(str(self._tokenizer.convert_ids_to_tokens(self._ids[length - 1]))):
            length -= 1
        return length


class TokenStreamer(BaseStreamer):
    """Hands each new token of a batch of one to a function; `generate` calls it."""

    def __init__(self, take: Callable[[int], None]) -> None:
        self._take = take
        self._prompt_is_past = False

    def put(self, value: Tensor) -> None:
        """The prompt first, then one token a time, on the CPU."""
        if self._prompt_is_past:
            self._take(int(value.item()))
        self._prompt_is_past = True

    def end(self) -> None:
        """Nothing is held here."""


class _Left(BaseException):
    """The consumer left. No Exception, so that nothing on the way out takes it for an error of its own."""


def in_turns(work: Callable[[Callable[[Item], None]], Result]) -> Generator[Item, None, Result]:
    """Run `work(give)` in a thread; yield what it gives, return what it returns, raise what it raises.

    The thread stands still from one `give` until the next item is asked for. When the generator is closed,
    `give` does not return but unwinds `work`, and the thread ends.
    """
    mine, theirs = threading.Semaphore(0), threading.Semaphore(0)
    items: list[Item] = []
    results: list[Result] = []
    errors: list[BaseException] = []
    left = False

    def give(item: Item) -> None:
        items.append(item)
        mine.release()
        theirs.acquire()
        if left:
            raise _Left

    def run() -> None:
        try:
            results.append(work(give))
        except BaseException as error:  # for the consumer to see, whatever it is
            errors.append(error)
        finally:
            mine.release()

    # A daemon: a generator that nobody closes must not keep the process from ending.
    thread = threading.Thread(target=run, name="desta2-stream", daemon=True)
    thread.start()
    try:
        mine.acquire()
        while items:
            yield items.pop()
            theirs.release()
            mine.acquire()
    finally:
        left = True
        theirs.release()
        thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _overlap(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of `text` with which one of `stops` begins."""
    longest = max(map(len, stops), default=1) - 1
    lengths = range(min(longest, len(text)), 0, -1)
    return next((n for n in lengths if any(stop.startswith(text[-n:]) for stop in stops)), 0)
