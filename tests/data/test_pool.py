"""Work in several processes: order, laziness, and what a dead process says."""

import os
import signal
from contextlib import closing

import pytest

from desta2.data.pool import in_order
from desta2.errors import RunError


def square(number):
    return number * number


def kill_worker(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order_and_items_are_taken_as_needed(processes):
    taken = []

    def numbers():
        for number in range(200):
            taken.append(number)
            yield number

    with closing(in_order(square, numbers(), processes, "annotating")) as results:
        assert next(results) == 0
        assert len(taken) <= 8 * (2 * processes + 1)
        assert [0, *results] == [number * number for number in range(200)]


def test_a_dead_process_ends_the_run():
    with pytest.raises(
        RunError, match=r"a process died while annotating, .*run again to go on, with fewer processes"
    ):
        list(in_order(kill_worker, ["a"], 2, "annotating"))
