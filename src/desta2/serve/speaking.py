"""What the server knows of the LLM that answers: a question goes in, pieces of the answer come out.

There are two speakers: `local`, the LLM in this process, and `remote`, an engine elsewhere by URL. Both get a
`Question`, whose clips have been heard here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Protocol

from desta2.model.chat import Question
from desta2.model.sampling import Sampling

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Delta:
    """What an answer has grown by.

    Attributes:
        text: May be empty: while a character is unfinished, or at the end.
        tokens: Generated since the last one.
        finish: Why the answer is over; None while it is not.
    """

    text: str
    tokens: int
    finish: Finish | None = None


class Speaker(Protocol):
    """An LLM that answers several questions at the same time."""

    def speak(self, question: Question, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        """Answer a question; the last delta, and no other, has a `finish`.

        Closing the generator before its end stops the work on the answer.

        Raises:
            RunError: The LLM failed.
        """
        ...

    async def close(self) -> None:
        """Free what is held; questions that are being answered fail."""
        ...
