"""Work in several processes: order, laziness, and what a dead process says."""

import multiprocessing
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from waiting import is_running, wait_for

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


def note_and_sleep(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def start_and_wait(folder):
    list(in_order(note_and_sleep, [folder] * 8, 2, "annotating"))


def test_no_process_outlives_a_killed_run(tmp_path):
    run = multiprocessing.get_context("spawn").Process(target=start_and_wait, args=(str(tmp_path),))
    run.start()
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert all(is_running(pid) for pid in workers)
    run.kill()
    run.join()
    wait_for(lambda: not any(is_running(pid) for pid in workers), 10)
