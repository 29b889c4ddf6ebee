"""Work that ends when its client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

Result = TypeVar("Result")


class ClientLeft(Exception):
    """Nobody waits for the answer."""


async def unless_left(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Do `work`, and stop it as soon as the client is gone.

    Args:
        receive: Of ASGI, with the body read.
        work: What is done.

    Raises:
        ClientLeft: It is gone.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientLeft
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
        # A task and what it raised know each other; what the request held would stay until a collection.
        del working, leaving


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
