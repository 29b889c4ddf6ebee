"""Tasks side by side: what is done is kept, what fails is told, and nobody outlives the study."""

import multiprocessing
import os

import pytest
from study_tasks import Noted, setup_in, sleep_for_long
from waiting import is_running, wait_for

from desta2.errors import InputError
from desta2.nano.pool import perform_all


def test_what_is_not_done_is_done_once(tmp_path):
    (tmp_path / "first").write_text("as it was")
    setup, tasks = setup_in(tmp_path), [Noted("first"), Noted("second"), Noted("third", error="no luck")]
    with pytest.raises(InputError, match="no luck"):
        perform_all(tasks, setup, 1, "testing")
    assert (tmp_path / "first").read_text() == "as it was"
    assert (tmp_path / "second").read_text() == "1", "one thread for each process"
    assert not (tmp_path / "third").exists()
    assert (tmp_path / "second.begun").read_text() != str(os.getpid())
    assert "this is second" in (tmp_path / "logs" / "second.log").read_text()
    perform_all(tasks[:2], setup, 1, "testing")
    assert not (tmp_path / "logs" / "first.log").exists()


@pytest.mark.slow
def test_a_killed_study_leaves_no_orphans(tmp_path):
    """They would hold the locks of the files that the next start wants to go on with."""
    process = multiprocessing.get_context("spawn").Process(target=sleep_for_long, args=(tmp_path,))
    process.start()
    begun = [tmp_path / "one.begun", tmp_path / "two.begun"]
    wait_for(lambda: all(path.exists() and path.read_text() for path in begun), 90)
    workers = [int(path.read_text()) for path in begun]
    assert all(is_running(pid) for pid in workers)
    process.kill()
    process.join()
    wait_for(lambda: not any(is_running(pid) for pid in workers), 10)
