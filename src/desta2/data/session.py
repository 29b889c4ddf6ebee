"""Requests in flight to one server: what is tried again, and when.

Each attempt is cut off after `timeout` seconds as a whole, so a server that drips its answer holds nobody for
longer, and after MAX_BODY bytes. Redirects are not followed: the API key goes where the user said. Each
request in flight has an HTTP client to itself, with one connection that is kept: a shared pool looks at all
of its connections for every request, which at 32 of them cost a fifth of all time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import httpx2

from desta2.data.backends import Failure, Reply, Request
from desta2.data.completions import NoAnswer, excerpt
from desta2.data.pacing import Pace, asked_pause, wait_before
from desta2.errors import Desta2Error, InputError, RunError

CONNECT_SECONDS = 10.0
MAX_BODY = 16 << 20  # bytes; the longest answers of LLMs have some hundred thousand
_PASSING = {408, 409, 425, 429}  # and all from 500 on
Outcome = tuple[Request, Reply | Failure | Desta2Error]


class GaveUp(Failure):
    """A failure that may lie with the server, not with the item."""


class Again(Exception):
    """What may pass; `pause` is how long the server asks to be left alone."""

    def __init__(self, reason: str, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class Session:
    """The requests of one call of `answers`; lives in one event loop.

    The arguments are the backend's, and `read`, from the body of an answer to what it says, which raises
    NoAnswer.
    """

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        *,
        read: Callable[[bytes], Reply],
        timeout: float,
        retries: int,
        per_minute: float | None,
    ) -> None:
        self._address, self._read = address, read
        self._timeout, self._retries = timeout, retries
        self._pace = Pace(per_minute)
        self._finished: asyncio.Queue[Outcome] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._headers = dict(headers)
        self._certificates = httpx2.create_ssl_context()
        self._clients: list[httpx2.AsyncClient] = []
        self._idle: list[httpx2.AsyncClient] = []

    def _client(self) -> httpx2.AsyncClient:
        if self._idle:
            return self._idle.pop()
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        client = httpx2.AsyncClient(headers=self._headers, timeout=timeout, verify=self._certificates)
        self._clients.append(client)
        return client

    def start(self, request: Request, body: bytes | Failure, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to ask, or put a failure among what is finished."""
        if isinstance(body, Failure):
            self._finished.put_nowait((request, body))
            return
        task = loop.create_task(self._work(request, body))
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def finished(self) -> list[Outcome]:
        """At least one outcome, and all that are there."""
        found = [await self._finished.get()]
        while not self._finished.empty():
            found.append(self._finished.get_nowait())
        return found

    async def close(self) -> None:
        """Give up what is in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            await client.aclose()

    async def _work(self, request: Request, body: bytes) -> None:
        outcome: Reply | Failure | Desta2Error
        try:
            outcome = await self._answer(body)
        except Desta2Error as error:
            outcome = error
        except Exception as error:  # a defect of ours must not leave `finished` waiting for ever
            outcome = RunError(f"unexpected {named(error)}")
        self._finished.put_nowait((request, outcome))

    async def _answer(self, body: bytes) -> Reply | Failure:
        reason = ""
        for attempt in range(self._retries + 1):
            if attempt:
                await asyncio.sleep(wait_before(attempt))
            await self._pace.turn()
            try:
                return self._read(await self._attempt(body))
            except Refused as error:
                return Failure(str(error))
            except NoAnswer as error:
                reason = str(error)
            except Again as error:
                reason = str(error)
                if error.pause is not None:
                    self._pace.pause(error.pause)
        return GaveUp(f"{reason} (attempts: {self._retries + 1})")

    async def _attempt(self, body: bytes) -> bytes:
        """The body of a good answer."""
        content, client = bytearray(), self._client()
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream("POST", self._address, content=body) as response,
            ):
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_BODY:
                        raise Again(f"the answer is longer than {MAX_BODY} bytes")
        except TimeoutError:
            raise Again(f"no whole answer within {self._timeout:g} s") from None
        except httpx2.HTTPError as error:
            raise Again(named(error)) from None
        finally:
            self._idle.append(client)
        check_status(response.status_code, response.headers, bytes(content), self._address)
        return bytes(content)


class Refused(Exception):
    """The server will not answer this item."""


def check_status(status: int, headers: httpx2.Headers, content: bytes, address: str) -> None:
    """Raise what a status other than 200 means: InputError for all items, Refused for one, Again for now."""
    if status == 200:
        return
    said = excerpt(content)
    if status in (401, 403):
        raise InputError(f"{address} refuses us ({status}: {said}); is the API key right?")
    if status == 404:
        raise InputError(f"{address} is not there, or not its model ({status}: {said})")
    if 300 <= status < 400:
        raise InputError(f"{address} redirects to {headers.get('location')}; give that address")
    if status in _PASSING or status >= 500:
        raise Again(f"status {status}: {said}", asked_pause(headers.get("retry-after")))
    raise Refused(f"refused with status {status}: {said}")


def named(error: Exception) -> str:
    """An error with its type, which often is all that it says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
