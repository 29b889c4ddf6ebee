"""What the page's chat does, without the page: its history → messages, and answers piece by piece.

One model serves all visitors, one answer at a time: who asks meanwhile waits. For many at once there is
`desta2 serve`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from desta2.data.audio import load_audio
from desta2.errors import InputError
from desta2.inspection import Inspection, inspect_clip

if TYPE_CHECKING:
    from desta2.data.attributes import Scheme
    from desta2.model.modeling import Desta2Model


@dataclass(frozen=True)
class Both:
    """The answers to one question with the adapter and from the transcript alone."""

    heard: str
    read: str


class Chat:
    """A model that answers the page.

    Args:
        model: With a processor.
        scheme: Attributes of inspected clips.
    """

    def __init__(self, model: Desta2Model, scheme: Scheme) -> None:
        self._model, self._scheme = model, scheme
        self._turn = threading.Lock()

    def answer(
        self, history: Sequence[dict[str, Any]], asked: dict[str, Any], temperature: float, longest: int
    ) -> Iterator[str]:
        """Answer; gives all of the text that there is so far, again and again.

        Args:
            history: Of the page: messages with `role` and `content`.
            asked: The new message: `text`, and the paths of its clips under `files`.
            temperature: 0 takes the likeliest token each time.
            longest: Tokens.

        Raises:
            InputError, AudioError: There is no question, or a clip cannot be used.
        """
        text, files = asked.get("text", "").strip(), asked.get("files", [])
        if not text:
            raise InputError("Please write a question, such as: What can you hear from the audio?")
        new = {"role": "user", "content": [*map(_clip, files), {"type": "text", "text": text}]}
        messages = [*messages_of(history), new]
        options: dict[str, Any] = {"max_new_tokens": int(longest), "do_sample": temperature > 0}
        if temperature > 0:
            options["temperature"] = float(temperature)
        said = ""
        with self._turn:
            for piece in self._model.stream(messages, **options):
                said += piece
                yield said

    def inspect(self, path: str) -> Inspection:
        """Look at a clip.

        Raises:
            AudioError, InputError: It cannot be used.
        """
        samples = load_audio(path)
        with self._turn:
            return inspect_clip(samples, self._model, self._scheme)

    def both(self, path: str, question: str) -> Both:
        """Ask about a clip with the adapter, and from its transcript alone.

        Raises:
            AudioError, InputError: The clip or the question cannot be used.
        """
        if not question.strip():
            raise InputError("Please write a question about the clip.")
        clip = load_audio(path)
        with self._turn:
            heard, read = (
                self._model.chat(clip, question, use_audio=use, do_sample=False).text for use in (True, False)
            )
        return Both(heard, read)


def messages_of(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The page's history in a form that the model takes."""
    return [{"role": turn["role"], "content": _content(turn["role"], turn["content"])} for turn in history]


def _content(role: str, content: Any) -> Any:
    parts = content if isinstance(content, list) else [content]
    if role != "user":
        return "".join(_text(part) for part in parts)
    return [
        _clip(part["file"]["path"])
        if isinstance(part, dict) and part.get("type") == "file"
        else {"type": "text", "text": _text(part)}
        for part in parts
    ]


def _text(part: Any) -> str:
    return str(part["text"]) if isinstance(part, dict) else str(part)


def _clip(path: str) -> dict[str, str]:
    return {"type": "audio", "audio": path}
