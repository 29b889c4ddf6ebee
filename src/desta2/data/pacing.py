"""When the next request may go: a steady rate, pauses that the server asks for, and waits between attempts.

Waits grow twofold and are drawn at random, so that many requests that failed together do not come back
together (Brooker, "Exponential Backoff and Jitter", 2015). A pause that the server names holds for all
requests, since it speaks of its own state, not of one of them.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
LONGEST_PAUSE = 600.0  # what a server may ask for


class Pace:
    """Lets requests through one after the other; used within one event loop.

    Args:
        per_minute: requests a minute; None for no limit.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 60 / per_minute if per_minute else 0.0
        self._next = self._open_at = 0.0

    async def turn(self) -> None:
        """Wait until it is one's turn and nobody has asked for a pause."""
        clock = asyncio.get_running_loop().time
        mine = self._next = max(clock(), self._next + self._interval)
        while (wait := max(mine, self._open_at) - clock()) > 0:
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long."""
        now = asyncio.get_running_loop().time()
        self._open_at = max(self._open_at, now + min(seconds, LONGEST_PAUSE))


def wait_before(attempt: int) -> float:
    """Seconds to wait before attempt 1, 2, … after the first one failed."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return longest * random.uniform(0.5, 1)


def asked_pause(header: str | None) -> float | None:
    """Seconds that a Retry-After header names, as a number or a date (RFC 9110, 10.2.3); None for none."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return _until(parsedate_to_datetime(header))
    except ValueError:
        return None


def _until(time: datetime) -> float:
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
