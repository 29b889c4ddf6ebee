"""What stands before every route: host names, keys, sizes of bodies, numbers, and one line in the log.

Plain ASGI, so that a stream passes through it piece by piece. The log names route, status and time, and a
client by the name of its key; nothing of what was said or heard.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desta2.serve.keys import Keys
from desta2.serve.metrics import Metrics
from desta2.serve.problems import Problem
from desta2.serve.settings import Limits

log = logging.getLogger(__name__)

CLIENT = "desta2.client"
"""Where in an ASGI scope the client's name is."""

_OPEN = ("/healthz", "/readyz")
_BODIES = 8  # of the largest size, that may be held at the same time


class Front:
    """ASGI middleware.

    Args:
        app: What it stands before.
        limits: Of bodies.
        metrics: Get a count for each request.
        routes: Paths that are counted by their own name; others are counted together.
        keys: Who may ask; None lets everybody.
        hosts: Names under which the server may be addressed; empty for any.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        routes: frozenset[str],
        keys: Keys | None,
        hosts: tuple[str, ...],
    ) -> None:
        self._app, self._limits, self._metrics, self._routes = app, limits, metrics, routes
        self._keys, self._hosts = keys, hosts
        self._held = 0  # bytes of the bodies of all requests that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        since, status, own = time.monotonic(), 499, _Body()  # 499: the client left before an answer

        async def limited() -> Message:
            message = await receive()
            self._count(own, len(message.get("body", b"")))
            return message

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = f"req_{uuid.uuid4().hex}"
            await send(message)

        try:
            scope[CLIENT] = self._client(scope)
            await self._app(scope, limited, marked)
        except Problem as problem:
            await problem.response()(scope, receive, marked)
        finally:
            self._held -= own.size
            self._note(scope, status, time.monotonic() - since)

    def _client(self, scope: Scope) -> str:
        """Who asks.

        Raises:
            Problem: It may not, or not like this.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
        if self._hosts and host not in self._hosts:
            message = f"this server is not {host[:100]!r}; it answers to {', '.join(self._hosts)}"
            raise Problem(421, message, code="wrong_host")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            raise self._too_large()
        address = scope["client"][0] if scope.get("client") else ""
        if self._keys is None or scope["path"] in _OPEN:
            return str(address)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        name = self._keys.name_of(key.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            given = "the API key is not known here" if key else "no API key was given"
            message = f"{given}; send it as 'Authorization: Bearer KEY'"
            raise Problem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return name

    def _count(self, own: _Body, size: int) -> None:
        own.size += size
        self._held += size
        if own.size > self._limits.body_bytes:
            raise self._too_large()
        if self._held > _BODIES * self._limits.body_bytes:
            raise Problem(
                503, "too much is being uploaded at once; try again in a moment", code="overloaded",
                headers={"Retry-After": "1"},
            )  # fmt: skip

    def _too_large(self) -> Problem:
        size = self._limits.body_bytes / (1 << 20)
        return Problem(
            413, f"the request is larger than the {size:g} MB that this server takes", code="too_large"
        )

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        route = path if path in self._routes else "other"
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        client: Any = scope.get(CLIENT, "")
        log.info("%s %s %d %.3f s %s", scope["method"], route, status, seconds, client)


class _Body:
    """How much of a request's body has come."""

    size = 0
