"""The journal: nothing written is lost or doubled, whatever kills the process."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from desta2 import journal as journal_module
from desta2.errors import InputError, RecordError, RunError
from desta2.journal import Journal
from desta2.records import Prediction, read_records

LAYOUTS = ["out.jsonl", "out"]
TOTAL = 160
# Every eighth record is large: only a long write can be torn in the middle by a kill.
WORKER = f"""
import random, sys, time
from desta2.journal import Journal
with Journal(sys.argv[1], shard_size=9) as journal:
    print("ready", flush=True)
    for number in range({TOTAL}):
        if f"id{{number}}" not in journal.done:
            journal.append({{"id": f"id{{number}}", "text": "é" * (400_000 if number % 8 == 0 else 50)}})
            time.sleep(random.random() * 0.004)
"""
HOLDER = """
import sys, time
from desta2.journal import Journal
with Journal(sys.argv[1]) as journal:
    journal.append({"id": "theirs"})
    print("ready", flush=True)
    sys.stdin.readline()
"""


def record(key: object) -> dict[str, Any]:
    return {"id": str(key), "text": f"répons {key}"}


def ids(path: Path) -> list[str]:
    """Ids in the finished files, parsed line by line."""
    files = sorted(path.glob("part-*.jsonl")) if path.is_dir() else [path]
    return [json.loads(line)["id"] for file in files for line in file.read_bytes().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def partial_of(path: Path) -> Path:
    return path.with_name(path.name + ".partial") if path.suffix else path / "part-00000.jsonl.partial"


def start(code: str, path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_kill_9_at_random_moments(tmp_path: Path, layout: str) -> None:
    path = tmp_path / layout
    kills = 0
    for attempt in range(7):
        with start(WORKER, path) as process:
            assert process.stdout is not None
            if attempt < 4:  # in the middle of the work
                assert process.stdout.readline() == b"ready\n"
                time.sleep(random.uniform(0.005, 0.05))
                process.kill()
            elif attempt < 6:  # anywhere, starting up and repairing included
                time.sleep(random.uniform(0.15, 0.5))
                process.kill()
            code = process.wait()
        assert code in (0, -signal.SIGKILL)
        kills += code == -signal.SIGKILL
        if code == 0:
            break
    assert code == 0
    assert kills >= 2  # on a busy machine the work may be done before the last kills
    assert sorted(ids(path)) == sorted(f"id{number}" for number in range(TOTAL))
    assert not [name for name in names(tmp_path) if "partial" in name or "lock" in name]
    with Journal(path) as journal:
        assert len(journal.done) == TOTAL


@pytest.mark.parametrize("layout", LAYOUTS)
def test_torn_end_at_every_byte(tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture) -> None:
    whole = b"".join(json.dumps(record(n), ensure_ascii=False).encode() + b"\n" for n in range(3))
    for size in range(len(whole) + 1):
        path = tmp_path / str(size) / layout
        partial_of(path).parent.mkdir(parents=True)
        partial_of(path).write_bytes(whole[:size])
        caplog.clear()
        with Journal(path) as journal:
            complete = whole[:size].count(b"\n")
            assert journal.done == {str(n) for n in range(complete)}
            torn = size - (whole[:size].rfind(b"\n") + 1)
            assert (f"cut off {torn} bytes" in caplog.text) == bool(torn)
            for number in range(3):
                if str(number) not in journal.done:
                    journal.append(record(number))
        assert ids(path) == ["0", "1", "2"]


def test_garbage_at_the_end_is_cut_off(tmp_path: Path) -> None:
    # after a power cut, the file may have its new length before its bytes: zeros, even with newlines
    partial_of(tmp_path / "out.jsonl").write_bytes(b'{"id": "a"}\n\0\0\0\n\0\0')
    with Journal(tmp_path / "out.jsonl") as journal:
        assert journal.done == {"a"}
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"id": "a"}\n'


def test_damage_in_the_middle_is_not_cut_off(tmp_path: Path) -> None:
    partial = partial_of(tmp_path / "out.jsonl")
    content = b'{"id": "a"}\n{"id": \n{"id": "c"}\n'
    partial.write_bytes(content)
    with pytest.raises(RecordError) as error, Journal(tmp_path / "out.jsonl"):
        pass
    assert str(error.value).startswith(f"{partial}:2: not a JSON line, though good lines follow")
    assert partial.read_bytes() == content
    assert names(tmp_path) == ["out.jsonl.partial"]  # and the lock is gone


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_append_is_with_the_system_at_once(tmp_path: Path, layout: str) -> None:
    path = tmp_path / layout
    with Journal(path) as journal:
        for number in range(3):
            journal.append(record(number))
            assert len(partial_of(path).read_bytes().splitlines()) == number + 1
    assert not partial_of(path).exists()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_an_exception_keeps_the_partial_state(tmp_path: Path, layout: str, stop: type[BaseException]) -> None:
    path = tmp_path / layout
    with pytest.raises(stop), Journal(path) as journal:  # noqa: PT012
        journal.append(record(1))
        raise stop
    assert partial_of(path).exists()
    assert not list(tmp_path.rglob("*.lock"))
    with Journal(path) as journal:
        assert journal.done == {"1"}
        journal.append(record(2))
    assert ids(path) == ["1", "2"]


def test_shards_and_their_order(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with Journal(path, shard_size=3) as journal:
        for number in range(7):
            journal.append(Prediction(id=str(number), task="t", instruction="i", response="r"))
    assert names(path) == [f"part-{n:05d}.jsonl" for n in range(3)]
    assert [item.id for item in read_records(path, Prediction)] == [str(n) for n in range(7)]
    with Journal(path, shard_size=3) as journal:  # more work starts a new part, finished ones stay
        before = (path / "part-00002.jsonl").stat()
        journal.append(record(7))
    assert (path / "part-00002.jsonl").stat().st_mtime_ns == before.st_mtime_ns
    assert ids(path) == [str(n) for n in range(8)]


def test_readers_do_not_see_the_active_shard(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", shard_size=1) as journal:
        journal.append({"id": "a", "task": "t", "instruction": "i", "response": "r"})
        assert names(tmp_path) == ["out/.lock", "out/part-00000.jsonl"]
        assert [item.id for item in read_records(tmp_path / "out", Prediction)] == ["a"]


def test_a_full_part_that_was_not_renamed(tmp_path: Path) -> None:
    # killed between the last write of a shard and its rename
    partial_of(tmp_path / "out").parent.mkdir()
    partial_of(tmp_path / "out").write_bytes(b'{"id": "a"}\n{"id": "b"}\n')
    with Journal(tmp_path / "out", shard_size=2) as journal:
        assert names(tmp_path / "out") == [".lock", "part-00000.jsonl"]
        journal.append(record("c"))
    assert ids(tmp_path / "out") == ["a", "b", "c"]


def test_compressed_parts_count_as_done(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "part-00007.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a"}\n'))
    with Journal(tmp_path) as journal:
        assert journal.done == {"a"}
        journal.append(record("b"))
    assert names(tmp_path) == ["part-00007.jsonl.gz", "part-00008.jsonl"]


def test_more_work_on_a_finished_single_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Journal(path) as journal:
        journal.append(record(1))
    before = path.stat()
    with Journal(path) as journal:  # nothing to add: the file is not touched
        assert journal.done == {"1"}
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    with Journal(path) as journal:
        journal.append(record(2))
        assert names(tmp_path) == [".out.jsonl.lock", "out.jsonl.partial"]  # one name at every moment
    assert ids(path) == ["1", "2"]


@pytest.mark.parametrize("step", ["before", "after"])
def test_death_at_the_rename_back(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    with Journal(path) as journal:
        journal.append(record(1))
    real = os.replace

    def dying(source: Path, target: Path) -> None:
        if step == "after":
            real(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(journal_module.os, "replace", dying)
    with pytest.raises(KeyboardInterrupt), Journal(path) as journal:
        journal.append(record(2))
    monkeypatch.undo()
    with Journal(path) as journal:
        assert journal.done == {"1"}
        journal.append(record(2))
    assert ids(path) == ["1", "2"]


def test_nothing_to_write_still_finishes(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        with Journal(tmp_path / layout):
            pass
        assert list(read_records(tmp_path / layout, Prediction)) == []
    assert names(tmp_path) == ["out.jsonl", "out/part-00000.jsonl"]


def test_append_refuses(tmp_path: Path) -> None:
    with Journal(tmp_path / "out") as journal:
        journal.append(record("a"))
        with pytest.raises(
            RunError, match=r"the id 'a' is already in .*out: leave out the ids in journal.done"
        ):
            journal.append(record("a"))
        for bad in ({}, {"id": ""}, {"id": 3}):
            with pytest.raises(RecordError, match=r"given a record with the id .*, expected a text"):
                journal.append(bad)
        with pytest.raises(RecordError, match=r"record 'b' cannot be written: .*lone surrogate"):
            journal.append({"id": "b", "text": "\ud800"})
        journal.append(record("b"))  # a refused record is not done, and did no harm
    assert ids(tmp_path / "out") == ["a", "b"]
    with pytest.raises(RunError, match="is not open: use it as `with Journal"):
        journal.append(record("c"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk(tmp_path: Path) -> None:
    partial = tmp_path / "out.jsonl.partial"
    with pytest.raises(RunError, match="No space left on device; what is"):  # noqa: PT012, SIM117
        with Journal(tmp_path / "out.jsonl") as journal:
            journal.append(record("a"))
            os.dup2(os.open("/dev/full", os.O_WRONLY), journal._file.fileno())  # type: ignore[union-attr]
            journal.append(record("b"))
    assert partial.exists()
    with Journal(tmp_path / "out.jsonl") as journal:
        assert journal.done == {"a"}


def test_a_cut_append_stops_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(RunError, match=r"an earlier append to .* was cut short"):  # noqa: PT012, SIM117
        with Journal(tmp_path / "out") as journal:
            monkeypatch.setattr(journal_module.os, "fsync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                journal.append(record("a"))
            monkeypatch.undo()
            journal.append(record("b"))  # swallowing the interrupt does not get past a possibly torn line
    with Journal(tmp_path / "out") as journal:
        assert journal.done <= {"a"}


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    def message(path: Path, **options: Any) -> str:
        with pytest.raises((InputError, RecordError)) as error, Journal(path, **options):
            pass
        return str(error.value)

    assert "given shard_size 0, expected 1 or more" in message(tmp_path, shard_size=0)
    assert "resumably: expected NAME.jsonl or a folder" in message(tmp_path / "a.jsonl.gz")
    (tmp_path / "file").touch()
    assert message(tmp_path / "file").endswith("file is a file: give another output path")
    assert "cannot write to" in message(tmp_path / "file" / "a.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert message(tmp_path / "folder.jsonl").endswith("is a folder: give another output path")
    for content, expected in [
        (b'{"id": "a"}', "a.jsonl:1: no newline at the end"),
        (b'{"id": "a"}\n{\n', "a.jsonl:2: not valid JSON"),
        (b'{"id": "a"}\n[1]\n', "a.jsonl:2: the record has no id"),
        (b'{"id": "a"}\n{"id": "a"}\n', "a.jsonl:2: the id 'a' is in this output twice"),
    ]:
        (tmp_path / "a.jsonl").write_bytes(content)
        assert expected in message(tmp_path / "a.jsonl")
        assert (tmp_path / "a.jsonl").read_bytes() == content
    (tmp_path / "a.jsonl.partial").touch()
    assert "a.jsonl and a.jsonl.partial are both there" in message(tmp_path / "a.jsonl")
    for name in ("part-00000.jsonl.partial", "part-00001.jsonl.partial"):
        (tmp_path / "folder.jsonl" / name).touch()
    (tmp_path / "folder.jsonl").rename(tmp_path / "folder")
    assert "expected one unfinished part" in message(tmp_path / "folder")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_processes_on_one_output(tmp_path: Path, layout: str) -> None:
    path = tmp_path / layout
    with start(HOLDER, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(InputError) as error, Journal(path):
            pass
        assert str(error.value) == (
            f"{path} is being written by another run (process {process.pid}): wait, or give another output"
        )
        process.kill()  # the lock goes with its holder, though the lock file stays
    with Journal(path) as journal:
        assert journal.done == {"theirs"}
        with pytest.raises(InputError, match="is being written by another run"), Journal(path):
            pass
        journal.append(record("ours"))  # the refused one did not take our lock file with it
        with pytest.raises(InputError, match="is being written by another run"), Journal(path):
            pass
    assert ids(path) == ["theirs", "ours"]


def test_a_lock_file_that_was_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # another run finishes between our opening of its lock file and our locking of it
    real, removed = journal_module.fcntl.flock, []

    def flock(handle: int, how: int) -> None:
        if not removed:
            removed.append((tmp_path / ".lock").unlink())
        real(handle, how)

    monkeypatch.setattr(journal_module.fcntl, "flock", flock)
    with Journal(tmp_path):
        assert removed
        assert (tmp_path / ".lock").exists()
        with pytest.raises(InputError, match="is being written by another run"), Journal(tmp_path):
            pass
