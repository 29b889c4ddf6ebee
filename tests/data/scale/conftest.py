"""A corpus, its shards, and a file system that is no disk."""

import fsspec
import pytest
from scale_stages import CLIPS

from desta2.data.audio import write_wav
from desta2.data.scale import shard
from desta2.records import Clip, write_records


@pytest.fixture
def clips(tmp_path, sine):
    """A manifest of seven clips beside their audio."""
    folder = tmp_path / "data"
    (folder / "audio").mkdir(parents=True)
    for i in range(CLIPS):
        write_wav(folder / f"audio/{i}.wav", sine(16_000, 0.3))
    records = [Clip(id=f"c{i}", audio=f"audio/{i}.wav", duration=0.3, text="hello") for i in range(CLIPS)]
    write_records(folder / "clips.jsonl", records)
    return folder / "clips.jsonl"


@pytest.fixture
def shards(clips, tmp_path):
    """The same in a folder of three shards."""
    shard(clips, tmp_path / "shards", 3)
    return tmp_path / "shards"


@pytest.fixture
def memory():
    """An empty file system that is not a disk."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()
