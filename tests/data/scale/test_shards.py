"""One manifest into shards: every record, in order, with audio that is found."""

from pathlib import Path

import pytest
from scale_stages import CLIPS, ids, names

from desta2.data.scale import shard
from desta2.data.scale.work import SUFFIXES
from desta2.errors import InputError, RecordError
from desta2.records import Clip, read_records, resolve_audio


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_shards_hold_the_records_in_order_and_their_audio(clips, tmp_path, suffix):
    counts = []
    assert shard(clips, tmp_path / "deep/down", 3, suffix=suffix, progress=counts.append) == 3
    assert names(tmp_path / "deep/down") == [f"part-0000{i}{suffix}" for i in range(3)]
    found = list(read_records(tmp_path / "deep/down", Clip))
    assert [clip.id for clip in found] == [f"c{i}" for i in range(CLIPS)]
    for i, clip in enumerate(found):
        place = Path(resolve_audio(clip, tmp_path / "deep/down", None))
        assert place.resolve() == clips.parent / f"audio/{i}.wav"
    assert counts == [3, 6, 7]


def test_a_folder_of_parts_is_cut_anew(shards, tmp_path):
    assert shard(shards, tmp_path / "anew", 5) == 2
    assert ids(tmp_path / "anew") == ids(shards)


def test_shards_from_and_to_a_url(clips, memory):
    memory.pipe_file("/m/clips.jsonl", clips.read_bytes())
    assert shard("memory://m/clips.jsonl", "memory://m/shards", 4) == 2
    assert [name for name in memory.find("/m/shards")] == [
        "/m/shards/part-00000.jsonl",
        "/m/shards/part-00001.jsonl",
    ]
    # paths stay as they are: there is no telling what a path in a bucket is relative to
    assert b'"audio": "audio/0.wav"' in memory.cat_file("/m/shards/part-00000.jsonl")


def test_what_cannot_be_cut(clips, shards, tmp_path):
    with pytest.raises(
        InputError, match=r"shards holds part-00000\.jsonl already: give another folder, or delete"
    ):
        shard(clips, shards)
    with pytest.raises(InputError, match=r"none\.jsonl does not exist"):
        shard(tmp_path / "none.jsonl", tmp_path / "new")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match=r"empty\.jsonl holds no records"):
        shard(tmp_path / "empty.jsonl", tmp_path / "new")
    with pytest.raises(InputError, match="given 0 records to a shard, expected 1 or more"):
        shard(clips, tmp_path / "new", 0)
    with pytest.raises(InputError, match=r"given the form '\.csv', expected one of \.jsonl, \.jsonl\.gz"):
        shard(clips, tmp_path / "new", suffix=".csv")
    assert not (tmp_path / "new").exists()
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "audio": "a.wav"}\n{"id": "b"}\n')
    with pytest.raises(RecordError, match=r"bad\.jsonl:2: field 'audio' is missing, a Clip needs it"):
        shard(tmp_path / "bad.jsonl", tmp_path / "new")
