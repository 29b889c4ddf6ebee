"""Requests → answers, within the limits: what the routes share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from desta2.serve.answering import Completion, answer, ask, events
from desta2.serve.clips import Clips
from desta2.serve.fetch import FetchRules
from desta2.serve.gate import Gate
from desta2.serve.keys import Keys
from desta2.serve.listening import Listener
from desta2.serve.metrics import Metrics
from desta2.serve.problems import Problem
from desta2.serve.requests import ChatRequest, sampling_of
from desta2.serve.settings import Limits
from desta2.serve.speaking import Speaker
from desta2.serve.transcriptions import Transcription

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


@dataclass(frozen=True)
class Backend:
    """What hears and what speaks.

    Attributes:
        model: Hears.
        speaker: Makes the LLM that answers, in a running event loop.
    """

    model: Desta2Model
    speaker: Callable[[], Speaker]


@dataclass(frozen=True)
class Settings:
    """What a server is told.

    Attributes:
        name: Of the model, in `/v1/models` and in answers.
        limits: Of requests.
        keys: Who may ask; None lets everybody.
        rules: What may be fetched by URL.
        hosts: Names under which the server may be addressed; empty for any. Against web pages that point a
            name of their own at this machine.
    """

    name: str
    limits: Limits = field(default_factory=Limits)
    keys: Keys | None = None
    rules: FetchRules = field(default_factory=FetchRules)
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Parts:
    """What there is only while the server runs."""

    listener: Listener
    speaker: Speaker
    clips: Clips


class Service:
    """Answers requests while it is `running`.

    Attributes:
        name: Of the model.
        metrics: What it did.
    """

    def __init__(self, backend: Backend, settings: Settings) -> None:
        limits = settings.limits
        self.name = settings.name
        self.metrics = Metrics()
        self._backend, self._settings = backend, settings
        self._gate = Gate(limits.answers_at_once, limits.queue, limits.per_client)
        self._created = int(time.time())
        self._parts: _Parts | None = None
        self.metrics.watch("desta2_answering", "Requests worked on", lambda: self._gate.taken)
        self.metrics.watch("desta2_waiting", "Requests that wait", lambda: self._gate.waiting)
        memory = backend.model.memory
        self.metrics.watch("desta2_remembered_bytes", "Clips kept", lambda: memory.used_bytes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside the block requests are answered."""
        parts = _Parts(
            Listener(self._backend.model),
            self._backend.speaker(),
            Clips(self._settings.limits, self._settings.rules),
        )
        self._parts = parts
        try:
            yield
        finally:
            self._parts = None
            await parts.speaker.close()
            parts.listener.close()
            parts.clips.close()

    def check_ready(self) -> None:
        """Whether requests are taken.

        Raises:
            Problem: 503.
        """
        self._running()
        if self._gate.is_full():
            raise Problem(503, "the server is full", code="overloaded", headers={"Retry-After": "1"})

    def check_model(self, name: str) -> None:
        """Whether a model is the one that is served.

        Raises:
            Problem: 404.
        """
        if name != self.name:
            message = f"The model {name[:100]!r} does not exist; this server has {self.name!r}"
            raise Problem(404, message, "model", "model_not_found")

    def card(self) -> dict[str, Any]:
        """The model, as `/v1/models` shows it."""
        return {"id": self.name, "object": "model", "created": self._created, "owned_by": "desta2"}

    async def completion(self, request: ChatRequest, client: str) -> dict[str, Any]:
        """A whole answer.

        Raises:
            Problem, Desta2Error, TimeoutError: The request is not answered.
        """
        async with self._answering(request, client) as (completion, pieces):
            text = "".join([piece async for piece in pieces])
        return completion.whole(text)

    @asynccontextmanager
    async def events(self, request: ChatRequest, client: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The events of a streamed answer; what is wrong with the request is raised on entering."""
        usage = request.stream_options is not None and request.stream_options.include_usage
        async with self._answering(request, client) as (completion, pieces):
            yield events(completion, pieces, usage)

    async def transcript(self, request: Transcription, client: str) -> str:
        """What is said in a clip.

        Raises:
            Problem, Desta2Error, TimeoutError: The request is not answered.
        """
        parts = self._running()
        async with self._gate.place(client), asyncio.timeout(self._settings.limits.seconds):
            samples = await parts.clips.decode(request.data, "file")
            heard = await parts.listener.hear(samples, request.language)
        self.metrics.clips.inc()
        return heard.transcript.strip()

    @asynccontextmanager
    async def _answering(
        self, request: ChatRequest, client: str
    ) -> AsyncIterator[tuple[Completion, AsyncGenerator[str, None]]]:
        """Hear and ask; gives the pieces of the answer."""
        parts, limits, since = self._running(), self._settings.limits, time.monotonic()
        sampling = sampling_of(request, limits.answer_tokens)
        if len(request.messages) > limits.messages:
            message = f"{len(request.messages)} messages; this server takes at most {limits.messages}"
            raise Problem(400, message, "messages", "too_many_messages")
        async with self._gate.place(client), asyncio.timeout(limits.seconds):
            clips = await parts.clips.of(request.messages)
            completion = Completion(self.name, await ask(request.messages, clips, parts.listener))
            self.metrics.clips.inc(len(clips))
            self.metrics.tokens.labels("prompt").inc(len(completion.question.input_ids))
            async with aclosing(answer(completion, parts.speaker, sampling, self.metrics, since)) as pieces:
                yield completion, pieces

    def _running(self) -> _Parts:
        if self._parts is None:
            raise Problem(
                503, "the server is starting or stopping", code="not_ready", headers={"Retry-After": "1"}
            )
        return self._parts
