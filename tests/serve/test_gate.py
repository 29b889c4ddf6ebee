"""Places are given in turn, never more than there are, and none is lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.serve.gate import Gate, Overloaded


def test_who_comes_when_all_is_full_is_turned_away_at_once():
    async def main():
        gate = Gate(places=1, queue=1, per_client=9)
        leave = asyncio.Event()

        async def stay():
            async with gate.place("a"):
                await leave.wait()

        tasks = [asyncio.create_task(stay()) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (gate.taken, gate.waiting, gate.is_full()) == (1, 1, True)
        with pytest.raises(Overloaded, match="answering 1 requests and 1 wait; try again") as caught:
            async with gate.place("b"):
                pass
        assert caught.value.retry_after >= 1
        leave.set()
        await asyncio.gather(*tasks)
        assert (gate.taken, gate.waiting) == (0, 0)

    asyncio.run(main())


def test_a_client_may_have_so_many_requests():
    async def main():
        gate = Gate(places=5, queue=5, per_client=2)
        async with gate.place("a"), gate.place("a"):
            with pytest.raises(Overloaded, match="2 requests of this client"):
                async with gate.place("a"):
                    pass
            async with gate.place("b"):
                pass
        async with gate.place("a"):
            pass

    asyncio.run(main())


def test_clients_take_turns():
    async def main():
        gate, order = Gate(places=1, queue=9, per_client=9), []

        async def ask(client):
            async with gate.place(client):
                order.append(client)
                await asyncio.sleep(0)

        await asyncio.gather(*[ask(client) for client in "aaaaabbc"])
        return order

    assert "".join(asyncio.run(main())) == "aabcabaa", "after the first, each client in its turn"


actions = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.booleans()), max_size=25)


@given(actions, st.integers(1, 3), st.integers(0, 3))
def test_no_place_is_lost_or_given_twice(actions, places, queue):
    async def main():
        gate, inside, most = Gate(places, queue, per_client=4), 0, 0

        async def ask(client, stay):
            nonlocal inside, most
            try:
                async with gate.place(client):
                    inside += 1
                    most = max(most, inside)
                    try:
                        for _ in range(stay):
                            await asyncio.sleep(0)
                    finally:
                        inside -= 1
            except Overloaded:
                pass

        tasks = []
        for client, stay, cancel in actions:
            tasks.append(asyncio.create_task(ask(client, stay)))
            await asyncio.sleep(0)
            if cancel:
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert most <= places
        assert (gate.taken, gate.waiting, gate._present, len(gate._turns)) == (0, 0, {}, 0)
        async with gate.place("d"):
            pass

    asyncio.run(main())
