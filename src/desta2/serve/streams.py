"""Responses of server-sent events, which fail properly before their first byte, and say so after it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from desta2.serve.answering import event
from desta2.serve.leaving import ClientLeft, unless_left
from desta2.serve.problems import problem_of

log = logging.getLogger(__name__)

_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # nginx would hold pieces back otherwise


class EventStream(Response):
    """Streams events.

    What is raised while the work is entered becomes an ordinary error response; what is raised later ends
    the stream with an event `{"error": …}`, which the official client raises.

    Args:
        work: Entered before the response starts; gives the events.
    """

    media_type = "text/event-stream"

    def __init__(self, work: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        self._work = work
        self._started = False
        self.status_code = 200
        self.background = None
        self.init_headers(_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            await unless_left(receive, self._stream(send))
        except ClientLeft:
            log.debug("the client left before the end of its answer")
        except Exception as error:
            if not self._started:
                raise
            await send(_part(event(problem_of(error).body())))
            await send(_part(b"", last=True))

    async def _stream(self, send: Send) -> None:
        async with self._work as events:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            self._started = True
            async for content in events:
                await send(_part(content))
        await send(_part(b"", last=True))


def _part(content: bytes, last: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": content, "more_body": not last}
