"""The LLM elsewhere, by URL: clips are heard and prompts written here, answers come from a vLLM.

vLLM is started with `--enable-prompt-embeds` and the LLM of the adapter; what is said to it and what it says
is in `completions`. Here a prompt takes a request each, whose connection is closed when nobody waits for the
answer any more, upon which vLLM stops writing it. Nothing is tried again: an answer may have begun, and who
asks can ask again. Which weights answer cannot be seen by URL; their name is compared.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2

from desta2.data.backbone import same_name
from desta2.data.completions import NoAnswer, ServedModel, excerpt
from desta2.data.pacing import asked_pause
from desta2.data.served import checked_url, find_model
from desta2.data.session import CONNECT_SECONDS, named
from desta2.errors import RunError
from desta2.model.chat import Question
from desta2.model.hearing import processor_of
from desta2.model.sampling import Sampling
from desta2.model.stopping import end_ids
from desta2.serve.completions import PENALTY, Event, Events, parameters, prompt_embeds, request_body
from desta2.serve.gate import Overloaded
from desta2.serve.options import OptionsFinder
from desta2.serve.speaking import Delta
from desta2.serve.writing import Writing

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

log = logging.getLogger(__name__)

_KEEP_SECONDS = 2.0  # idle connections; uvicorn, which vLLM runs on, closes them after 5
_ERROR_BYTES = 1 << 16
_ADVICE = {
    400: "was vLLM started with --enable-prompt-embeds, and with the LLM of this model?",
    401: "is the API key right?",
    403: "is the API key right?",
    404: "does it still serve that LLM?",
    413: "something before the engine takes smaller requests only; a prompt by embeddings has megabytes",
}


@dataclass(frozen=True)
class Engine:
    """Where an LLM answers.

    Attributes:
        url: Of its API, ending in `/v1`.
        served: The LLM, as the engine names it.
        headers: Of requests.
    """

    url: str
    served: ServedModel
    headers: dict[str, str] = field(repr=False)  # with the key


def find_engine(url: str, name: str | None = None, api_key: str | None = None) -> Engine:
    """Ask an engine what it serves.

    Args:
        url: Of the API, mostly ending in `/v1`.
        name: Of the LLM there; None where it has only one.
        api_key: Sent as a bearer token.

    Raises:
        InputError: The URL cannot be used, nobody answers there, or the engine has no such LLM.
    """
    base = checked_url(url)
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return Engine(base, find_model(base, headers, name), headers)


def check_engine(engine: Engine, model: Desta2Model) -> None:
    """See whether an engine can answer for a model's LLM, as far as that can be seen; warns where in doubt.

    Raises:
        ConfigError: The LLM's generation config asks for what an engine does not do.
    """
    if not same_name(engine.served.root, model.config.llm_id):
        log.warning(
            "the engine says that its LLM is %s, and the adapter was trained with %s; an adapter is of use "
            "with its own LLM only",
            engine.served.root,
            model.config.llm_id,
        )
    wanted = parameters(OptionsFinder(model.llm).find(Question([0], [], [], []), Sampling()).rule)
    if wanted[PENALTY] != 1:
        log.warning(
            "the LLM's generation config has a %s of %g; vLLM fails where it is to apply one among prompts "
            "that are embeddings, so answers are written without",
            PENALTY,
            wanted[PENALTY],
        )


class RemoteSpeaker:
    """Answers by an LLM elsewhere; see `Speaker`.

    Args:
        model: With a processor; of its LLM only the embeddings are needed.
        engine: Where the LLM is.
        silence: Seconds without a word after which an answer is given up.
    """

    def __init__(self, model: Desta2Model, engine: Engine, silence: float = 120.0) -> None:
        self._model, self._engine, self._silence = model, engine, silence
        self._closed = False
        self._options = OptionsFinder(model.llm, engine.served.context)
        self._ends = end_ids(model.llm, processor_of(model).tokenizer)
        self._client = httpx2.AsyncClient(
            headers={**engine.headers, "Content-Type": "application/json"},
            timeout=httpx2.Timeout(silence, connect=CONNECT_SECONDS, pool=None),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_SECONDS),
        )

    async def speak(self, question: Question, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        """See `Speaker`.

        Raises:
            InputError: The prompt leaves no room for an answer.
            Overloaded: The engine has no room for another question.
            RunError: The engine failed, or the speaker was closed.
        """
        body, writing = await asyncio.to_thread(self._begin, question, sampling)
        async with aclosing(self._events(body)) as events:
            async for event in events:
                delta = _grown(writing, event)
                yield delta
                if delta.finish is not None:
                    return

    async def close(self) -> None:
        """See `Speaker`."""
        self._closed = True
        await self._client.aclose()

    def _begin(self, question: Question, sampling: Sampling) -> tuple[bytes, Writing]:
        served = self._engine.served
        options = self._options.find(question, sampling)
        prompt = prompt_embeds(self._model, question) if question.embeds else question.input_ids
        body = request_body(
            served.name, prompt, options, ends=self._ends, stops=sampling.stops, seed=sampling.seed
        )
        return body, Writing(processor_of(self._model), self._ends, sampling.stops, options.longest)

    async def _events(self, body: bytes) -> AsyncGenerator[Event, None]:
        """What the engine says to a request; the last event, and no other, has a `finish`."""
        if self._closed:
            raise RunError("the server is being shut down")
        address = f"{self._engine.url}/completions"
        events, last = Events(), None
        try:
            async with self._client.stream("POST", address, content=body) as response:
                if response.status_code != 200:
                    raise await self._refused(response)
                async for piece in response.aiter_bytes():
                    for event in events.feed(piece):
                        if event.finish is not None:
                            last = event  # read on: a connection whose stream has ended is of use again
                        elif last is None:
                            yield event
        except httpx2.HTTPError as error:
            raise self._broken(error) from error
        except NoAnswer as error:
            raise self._failed(f"gave no answer: {error}") from error
        if last is None:
            raise self._failed("ended the stream before the answer; was it stopped?")
        yield last

    async def _refused(self, response: httpx2.Response) -> RunError:
        """What a status other than 200 means."""
        content = b""
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > _ERROR_BYTES:
                break
        status = response.status_code
        said = f"answered with status {status}: {excerpt(content)}"
        if status in (429, 503):
            log.warning("the LLM at %s %s", self._engine.url, said)
            pause = math.ceil(asked_pause(response.headers.get("retry-after")) or 1)
            return Overloaded("the LLM has no room for another question; try again in a moment", pause)
        return self._failed(f"{said}; {_ADVICE.get(status, 'its log says why')}")

    def _broken(self, error: Exception) -> RunError:
        """What an error of the connection means."""
        if self._closed:
            return RunError("the server is being shut down")
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return self._failed(f"cannot be reached: {named(error)}; is it running?")
        if isinstance(error, httpx2.TimeoutException):
            return self._failed(f"said nothing for {self._silence:g} s; is it overloaded?")
        return self._failed(f"broke the connection off: {named(error)}; was it stopped?")

    def _failed(self, what: str) -> RunError:
        """Logged here, as those who ask are not told of the engine."""
        message = f"the LLM at {self._engine.url} {what}"
        log.error(message)
        return RunError(message)


def _grown(writing: Writing, event: Event) -> Delta:
    """What an answer grows by with an event."""
    text, count = "", 0
    for count, token in enumerate(event.token_ids, start=1):
        delta = writing.take(token)
        text += delta.text
        if delta.finish is not None:
            return Delta(text, count, delta.finish)
    if event.finish is not None:
        text += writing.rest()
    return Delta(text, count, event.finish)
