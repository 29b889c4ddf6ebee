import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from desta2.data import pacing
from desta2.data.pacing import Pace, asked_pause, wait_before


def test_waits_grow_twofold_up_to_the_longest():
    for attempt, longest in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (500, 30.0)]:
        waits = [wait_before(attempt) for _ in range(50)]
        assert all(longest / 2 <= wait <= longest for wait in waits)
        assert len(set(waits)) > 40  # drawn, so that failures do not come back together


def test_pauses_that_servers_ask_for():
    assert [asked_pause(text) for text in (None, "3", " 0 ", "-1", "soon", "", "nan", "1e3")] == [
        None, 3.0, 0.0, None, None, None, None, None,
    ]  # fmt: skip
    later = datetime.now(UTC) + timedelta(seconds=90)
    assert asked_pause(format_datetime(later, usegmt=True)) == pytest.approx(90, abs=3)
    assert asked_pause("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert asked_pause("Wed, 21 Oct 2015 07:28:00 -0000") == 0.0  # a date without a zone


def test_turns_are_evenly_spaced_and_wait_for_pauses(monkeypatch):
    monkeypatch.setattr(pacing, "LONGEST_PAUSE", 0.2)

    async def times():
        clock, pace = asyncio.get_running_loop().time, Pace(per_minute=3000)
        start, found = clock(), []

        async def one():
            await pace.turn()
            found.append(clock() - start)

        await asyncio.gather(*(one() for _ in range(6)))
        pace.pause(60.0)  # cut to the longest
        await one()
        return found

    found = asyncio.run(times())
    assert [late >= 0.02 * number - 0.001 for number, late in enumerate(found[:6])] == [True] * 6
    assert found[6] - found[5] >= 0.19
