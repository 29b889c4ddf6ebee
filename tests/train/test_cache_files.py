"""What several processes append, and what is left when one of them is killed."""

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap

import pytest

from desta2.train.cache_files import Appender, Follower, bytes_in, read_block


def test_entries_of_all_writers_are_read_once(tmp_path):
    one, two, follower = Appender(tmp_path), Appender(tmp_path), Follower(tmp_path)
    assert follower.news() == []
    one.add([b"abc", b"de"], [{"key": "a"}, {"key": "b"}])
    two.add([b"xyz"], [{"key": "c"}])
    first = {entry["key"]: entry for entry in follower.news()}
    assert {key: bytes(read_block(tmp_path, entry)) for key, entry in first.items()} == {
        "a": b"abc", "b": b"de", "c": b"xyz",
    }  # fmt: skip
    assert follower.news() == []
    one.add([b"f"], [{"key": "d"}])
    [entry] = follower.news()
    assert bytes(read_block(tmp_path, entry)) == b"f"
    assert bytes_in(tmp_path) == sum(file.stat().st_size for file in tmp_path.iterdir())


def test_a_copy_for_another_process_has_files_of_its_own(tmp_path):
    appender = Appender(tmp_path)
    [one] = appender.add([b"abc"], [{"key": "a"}])
    [two] = pickle.loads(pickle.dumps(appender)).add([b"de"], [{"key": "b"}])
    assert one["file"] != two["file"]
    assert two["at"] == 0
    assert {entry["key"] for entry in Follower(tmp_path).news()} == {"a", "b"}


def test_a_torn_last_line_waits(tmp_path):
    Appender(tmp_path).add([b"abc"], [{"key": "a"}])
    [index] = tmp_path.glob("*.index.jsonl")
    whole = index.read_bytes()
    follower = Follower(tmp_path)
    for length in range(len(whole)):
        index.write_bytes(whole[:length])
        assert follower.news() == []
    index.write_bytes(whole)
    assert [entry["key"] for entry in follower.news()] == ["a"]


def test_numbers_that_are_not_there_are_none(tmp_path):
    [entry] = Appender(tmp_path).add([b"abc"], [{"key": "a"}])
    [data] = tmp_path.glob("*.bin")
    data.write_bytes(b"ab")
    assert read_block(tmp_path, entry) is None
    data.unlink()
    assert read_block(tmp_path, entry) is None


def test_a_write_that_failed_half_way_leaves_the_next_one_right(tmp_path, monkeypatch):
    appender = Appender(tmp_path)

    def refuses(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuses)
        with pytest.raises(OSError, match="No space"):
            appender.add([b"lost"], [{"key": "a"}])
    assert Follower(tmp_path).news() == []
    appender.add([b"kept"], [{"key": "b"}])
    [entry] = Follower(tmp_path).news()
    assert (entry["key"], bytes(read_block(tmp_path, entry))) == ("b", b"kept")


WRITER = """
    import sys
    from pathlib import Path
    from desta2.train.cache_files import Appender
    appender, number = Appender(Path(sys.argv[1])), 0
    while True:
        block = bytes([number % 251]) * (1000 + number % 7)
        appender.add([block, block], [{"key": f"{sys.argv[2]}-{number}-{part}", "byte": number % 251} for part in "ab"])
        number += 1
        if number == 20:
            print("ready", flush=True)
"""


def test_whatever_kills_the_writers_the_entries_are_true(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), name], stdout=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    for writer in writers:
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    entries = Follower(tmp_path).news()
    assert len(entries) >= 80 and len({entry["key"] for entry in entries}) == len(entries)
    for entry in entries:
        assert set(read_block(tmp_path, entry)) == {entry["byte"]}
    Appender(tmp_path).add([b"x"], [{"key": "after"}])
    assert Follower(tmp_path).news()[-1:] != [] and json.dumps(entries)
