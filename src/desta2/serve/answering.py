"""A chat completion from request to answer: clips, prompt, LLM, and the objects of OpenAI's API.

Source of the objects: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from desta2.model.chat import Question
from desta2.model.hearing import Heard
from desta2.model.sampling import Sampling
from desta2.serve.listening import Listener
from desta2.serve.metrics import Metrics
from desta2.serve.requests import Message, TextPart
from desta2.serve.speaking import Delta, Speaker

DONE = b"data: [DONE]\n\n"


@dataclass
class Completion:
    """What all parts of an answer have in common, and what is counted of it.

    Attributes:
        model: Its name.
        question: What is asked.
        id, created: Of the answer.
        generated: Tokens so far.
        finish: Why it ended; None while it has not.
    """

    model: str
    question: Question
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    generated: int = 0
    finish: str | None = None

    def take(self, delta: Delta) -> None:
        """Count what the answer has grown by."""
        self.generated += delta.tokens
        self.finish = delta.finish

    def whole(self, text: str) -> dict[str, Any]:
        """The object of an answer that was not streamed."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage()}

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        """An event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**self._head("chat.completion.chunk"), "choices": [choice]})

    def usage_chunk(self) -> bytes:
        """The event before the end of a stream that asked for usage."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage()})

    def usage(self) -> dict[str, Any]:
        """Tokens; a clip counts the positions of its vectors as audio, and its transcript as text."""
        prompt = len(self.question.input_ids)
        audio = sum(clip.shape[0] * clip.shape[1] for clip in self.question.embeds)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.generated,
            "total_tokens": prompt + self.generated,
            "prompt_tokens_details": {"audio_tokens": audio, "cached_tokens": 0},
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def event(content: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def ask(messages: Sequence[Message], clips: Sequence[np.ndarray], listener: Listener) -> Question:
    """Hear the clips of messages and write the prompt.

    Raises:
        InputError, RunError: As `Desta2Model.chat`.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(listener.hear(samples)) for samples in clips]
    heard = iter([task.result() for task in tasks])
    return await listener.question([_plain(message, heard) for message in messages])


async def answer(
    completion: Completion, speaker: Speaker, sampling: Sampling, metrics: Metrics, since: float
) -> AsyncGenerator[str, None]:
    """The pieces of an answer, counted; some may be empty."""
    async with aclosing(speaker.speak(completion.question, sampling)) as deltas:
        async for delta in deltas:
            if not completion.generated and delta.tokens:
                metrics.first_token.observe(time.monotonic() - since)
            metrics.tokens.labels("answer").inc(delta.tokens)
            completion.take(delta)
            yield delta.text


async def events(completion: Completion, pieces: AsyncIterator[str], usage: bool) -> AsyncIterator[bytes]:
    """The answer as a stream of server-sent events."""
    yield completion.chunk({"role": "assistant", "content": ""})
    async for piece in pieces:
        if piece:
            yield completion.chunk({"content": piece})
    yield completion.chunk({}, completion.finish)
    if usage:
        yield completion.usage_chunk()
    yield DONE


def _plain(message: Message, heard: Iterator[Heard]) -> dict[str, Any]:
    """A message in a form that our own prompt builder takes, with what was heard in place of its clips."""
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return {"role": role, "content": message.content}
    parts = [
        {"type": "text", "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "audio", "audio": next(heard)}
        for part in message.content
    ]
    return {"role": role, "content": parts}
