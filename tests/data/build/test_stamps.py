"""What an output was made from: same, grown, changed, and stamps that survive."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.data.build.stamps import Stamp, compare, content_of, is_there, read_stamp, write_stamp
from desta2.errors import InputError


@pytest.mark.parametrize(
    ("after", "verdict"),
    [(b"one\ntwo\n", "same"), (b"one\ntwo\nthree\n", "grown"), (b"one\nTWO\nthree\n", "changed"), (b"one\n", "changed")],
)  # fmt: skip
def test_a_file_later(tmp_path, after, verdict):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\n")
    before = content_of(path)
    assert compare(path, before) == "same"
    path.write_bytes(after)
    os.utime(path, ns=(0, before.mtime_ns + 5))  # its time alone proves nothing
    assert compare(path, before) == verdict


@given(first=st.binary(max_size=40), more=st.binary(min_size=1, max_size=40), cut=st.integers(0, 80))
def test_parts_count_as_one(tmp_path_factory, first, more, cut):
    """However the same bytes are divided into parts."""
    folder = tmp_path_factory.mktemp("parts")
    path = folder / "whole.jsonl"
    path.write_bytes(first)
    before = content_of(path)
    whole = first + more
    parts = folder / "parts"
    parts.mkdir()
    (parts / "part-00000.jsonl").write_bytes(whole[:cut])
    (parts / "part-00001.jsonl").write_bytes(whole[cut:])
    assert compare(parts, before) == "grown"
    assert compare(parts, content_of(parts)) == "same"


def test_nothing_is_read_where_size_and_time_are_the_same(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\n")
    before = content_of(path)
    monkeypatch.setattr("desta2.data.build.stamps._digest", None)
    assert compare(path, before) == "same"


def test_stamps_come_back(tmp_path):
    stamp = Stamp(settings={"a": [1, None]}, input=None, finished=False, result={"n": 3}, version="1")
    assert read_stamp(tmp_path, "seed") is None
    write_stamp(tmp_path, "seed", stamp)
    write_stamp(tmp_path, "seed", stamp.model_copy(update={"finished": True}))
    assert read_stamp(tmp_path, "seed") == stamp.model_copy(update={"finished": True})
    (tmp_path / ".build" / "seed.json").write_text("{}")
    with pytest.raises(InputError, match=r"seed\.json cannot be read as a stamp of a build; delete it"):
        read_stamp(tmp_path, "seed")


@pytest.mark.parametrize(
    ("output", "files", "found"),
    [
        ("a.jsonl", [], "no"),
        ("a.jsonl", ["a.jsonl"], "finished"),
        ("a.jsonl", ["a.jsonl.partial"], "begun"),
        ("pairs", [], "no"),
        ("pairs", ["pairs/other"], "no"),
        ("pairs", ["pairs/part-00000.jsonl"], "finished"),
        ("pairs", ["pairs/part-00000.jsonl", "pairs/part-00001.jsonl.partial"], "begun"),
    ],
)
def test_what_is_there(tmp_path, output, files, found):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert is_there(tmp_path / output) == found
