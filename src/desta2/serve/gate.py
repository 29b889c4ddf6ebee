"""How many requests are worked on at once, who comes next, and who is turned away.

Places are given to clients in turn, so that one who asks for much does not keep out one who asks for
little. The queue is short on purpose: who cannot be served soon learns it at once, and those who are let in
keep their latency.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from desta2.errors import RunError

_TURN_SECONDS = 1
"""What a client is told to wait: about the time in which some answer ends."""


class Overloaded(RunError):
    """There is no room for another request.

    Attributes:
        retry_after: Seconds after which it may be worth to try again.
    """

    def __init__(self, message: str, retry_after: int = _TURN_SECONDS) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Gate:
    """Places for requests; used from one event loop.

    Args:
        places: Requests that are worked on at once.
        queue: Requests that may wait for a place.
        per_client: Requests of one client, worked on or waiting.

    Attributes:
        taken: Places taken.
        waiting: Requests that wait.
    """

    def __init__(self, places: int, queue: int, per_client: int) -> None:
        self.taken = 0
        self.waiting = 0
        self._places, self._queue, self._per_client = places, queue, per_client
        self._turns: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._present: dict[str, int] = {}

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Inside the block the client has a place.

        Raises:
            Overloaded: The queue is full, or the client has too many requests.
        """
        self._count(client)
        try:
            await self._take(client)
            try:
                yield
            finally:
                self._give_back()
        finally:
            self._present[client] -= 1
            if not self._present[client]:
                del self._present[client]

    def is_full(self) -> bool:
        """Whether another request would be turned away."""
        return self.taken >= self._places and self.waiting >= self._queue

    def _count(self, client: str) -> None:
        present = self._present.get(client, 0)
        if present >= self._per_client:
            raise Overloaded(
                f"{present} requests of this client are being answered or wait; it may have "
                f"{self._per_client} at once"
            )
        if self.is_full():
            raise Overloaded(
                f"the server is answering {self.taken} requests and {self.waiting} wait; try again in a "
                "moment"
            )
        self._present[client] = present + 1

    async def _take(self, client: str) -> None:
        if self.taken < self._places:
            self.taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.setdefault(client, deque()).append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place came at the same moment
                self._give_back()
            raise
        finally:
            self.waiting -= 1

    def _give_back(self) -> None:
        """Hand a place to the client whose turn it is."""
        while self._turns:
            client, turns = self._turns.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._turns[client] = turns  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1
