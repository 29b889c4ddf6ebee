"""The LLM behind an OpenAI-compatible URL: vLLM, SGLang, `desta2 serve`, or a hosted one.

Requests run concurrently in one event loop of ours, which stands still while the caller deals with an answer:
no thread, no queue that grows, and Ctrl-C ends it cleanly. Up to `concurrency` requests are in flight; one
that hangs takes one of these places until its time is up, and the others go past it. What may pass (no
connection, a busy or broken server, an unreadable answer) is tried again; what will not (a prompt that the
server refuses) fails for its item alone; what concerns all (the wrong key or model, nothing but failures)
ends the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from desta2.data.backbone import Backbone, fingerprint_of_served
from desta2.data.backends import Failure, Kind, PromptStyle, Reply, Request, Sampling
from desta2.data.completions import PATHS, Api, NoAnswer, read_reply, request_body
from desta2.data.served import checked_url, find_model
from desta2.data.session import GaveUp, Session
from desta2.errors import Desta2Error, InputError, RunError

GIVE_UP_AFTER = 20  # items in a row that the server did not answer, however often they were tried


def is_url(llm: str) -> bool:
    """Whether `--llm` names a server rather than a folder or hub id."""
    return llm.lower().startswith(("http://", "https://"))


class EndpointBackend:
    """An LLM by URL.

    Args:
        url: of the API, mostly ending in `/v1`.
        style: layout and system prompt, the same as for the model that is to be trained.
        served_name: the name to ask for; None where the server has only one.
        backbone: the LLM that is to be trained; each prompt is then compared with that of training.
        api: "chat" sends messages, which the server's template puts into a prompt; "completions" sends the
            token ids of training's prompt themselves, which vLLM and SGLang take, and needs `backbone`.
        concurrency: requests in flight.
        timeout: seconds for one attempt.
        retries: further attempts for each item.
        per_minute: attempts a minute; None for no limit.
        api_key: sent as a bearer token.

    Attributes:
        fingerprint: the backbone's, where the server's name agrees with it: by URL there is no better.

    Raises:
        InputError: the URL cannot be used, nobody answers there, or the server has no such model.
    """

    kind: Kind = "endpoint"

    def __init__(
        self,
        url: str,
        style: PromptStyle,
        *,
        served_name: str | None = None,
        backbone: Backbone | None = None,
        api: Api = "chat",
        concurrency: int = 32,
        timeout: float = 300.0,
        retries: int = 6,
        per_minute: float | None = None,
        api_key: str | None = None,
    ) -> None:
        if api == "completions" and backbone is None:
            raise InputError(
                "the completions API is sent token ids: name the LLM whose they are with --backbone"
            )
        self.style = style
        self.url = checked_url(url)
        self.backbone, self.api = backbone, api
        self.concurrency, self.timeout, self.retries = concurrency, timeout, retries
        self.per_minute = per_minute
        self.headers = {"Content-Type": "application/json"}
        if api_key:
            self.headers["Authorization"] = f"Bearer {api_key}"
        self.served_name, self.name = self._find_model(served_name)
        self.fingerprint = self._fingerprint()

    def answers(
        self, requests: Iterable[Request], sampling: Sampling
    ) -> Iterator[tuple[Request, Reply | Failure]]:
        """Answer the requests as they come back, `concurrency` of them in flight.

        Raises:
            InputError: the server refuses the key, the model or the address.
            RunError: the server has stopped answering.
        """
        source = iter(requests)
        in_flight = failed_in_a_row = 0
        with asyncio.Runner() as runner:
            session = Session(
                f"{self.url}/{PATHS[self.api]}",
                self.headers,
                read=self._read,
                timeout=self.timeout,
                retries=self.retries,
                per_minute=self.per_minute,
            )
            try:
                while True:
                    while in_flight < self.concurrency and (request := next(source, None)) is not None:
                        session.start(request, self._body(request, sampling), runner.get_loop())
                        in_flight += 1
                    if not in_flight:
                        return
                    fatal: Desta2Error | None = None
                    for request, outcome in runner.run(session.finished()):
                        in_flight -= 1
                        if isinstance(outcome, Desta2Error):
                            fatal = outcome  # first hand on what else is finished
                            continue
                        failed_in_a_row = failed_in_a_row + 1 if isinstance(outcome, GaveUp) else 0
                        if isinstance(outcome, GaveUp) and failed_in_a_row >= GIVE_UP_AFTER:
                            fatal = fatal or self._gave_up(failed_in_a_row, outcome)
                        yield request, outcome
                    if fatal is not None:
                        raise fatal
            finally:
                runner.run(session.close())

    def _gave_up(self, count: int, last: GaveUp) -> RunError:
        return RunError(
            f"{self.url} does not answer: {count} items in a row failed, the last one: {last.reason}; what "
            "is finished is kept: run again to go on"
        )

    def _body(self, request: Request, sampling: Sampling) -> bytes | Failure:
        try:
            prompt = self.prompt(request)
        except NoAnswer as error:
            return Failure(str(error))
        return request_body(self.served_name, prompt, request.id, sampling, self.style.chat_template_kwargs)

    def prompt(self, request: Request) -> list[dict[str, Any]] | list[int]:
        """What is sent for a request.

        Raises:
            NoAnswer: the server's template would make another prompt of it than training.
        """
        from desta2.model.prompt import template_messages

        if self.backbone is None:
            return template_messages(request.messages, self.style)
        ids = self.backbone.prompt_ids(request, self.style)
        if self.api == "completions":
            return ids
        messages = template_messages(request.messages, self.style, self.backbone.tokenizer)
        if self.backbone.templated_ids(messages, self.style) != ids:
            raise NoAnswer(
                "the chat API would make another prompt of this seed than training does (it holds the text "
                "of a special token, or a token spans its border); send token ids: --api completions"
            )
        return messages

    def _read(self, content: bytes) -> Reply:
        return read_reply(content, self.api)

    def _fingerprint(self) -> str | None:
        """That of the LLM to be trained; warns where it is another, or not named."""
        return fingerprint_of_served(self.name, self.backbone)

    def _find_model(self, wanted: str | None) -> tuple[str, str]:
        """The name to ask for, and what the server says that it is."""
        found = find_model(self.url, self.headers, wanted)
        return found.name, found.root
