"""Stages over shards: the same records as from one file, however often they are stopped, and where they lie."""

from functools import partial
from pathlib import Path

import fsspec
import pytest
import scale_stages
from scale_stages import CLIPS, HERE, Counting, ids, names

from desta2.data.annotate import annotate
from desta2.data.scale import Folder, Outcome, Work, scale, shard
from desta2.data.scale.work import SUFFIXES, attempt
from desta2.data.seed import seed
from desta2.errors import InputError
from desta2.records import Clip, Seed, read_records, resolve_audio, write_records


@pytest.mark.parametrize("form", SUFFIXES)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_records_as_from_one_file(clips, tmp_path, form, suffix):
    shard(clips, tmp_path / "shards", 3, suffix=form)
    seed(clips, tmp_path / "whole.jsonl")
    done = []
    summary = scale(
        scale_stages.seeds,
        tmp_path / "shards",
        tmp_path / "a/seeds",
        HERE,
        suffix=suffix,
        progress=done.append,
    )
    assert names(tmp_path / "a/seeds") == [f"part-0000{i}{suffix}" for i in range(3)]
    found, wanted = (
        list(read_records(path, Seed)) for path in (tmp_path / "a/seeds", tmp_path / "whole.jsonl")
    )
    assert [s.model_dump(exclude={"audio"}) for s in found] == [
        s.model_dump(exclude={"audio"}) for s in wanted
    ]
    for i, record in enumerate(found):
        place = Path(resolve_audio(record, tmp_path / "a/seeds", None))
        assert place.resolve() == clips.parent / f"audio/{i}.wav"
    assert (summary.shards, summary.done, summary.already_done, summary.counts["seeds"]) == (3, 3, 0, CLIPS)
    assert done == [0, 1, 2, 3]


def test_a_second_run_has_nothing_to_do_and_a_new_shard_is_done_alone(shards, tmp_path):
    stage = Counting()
    scale(stage, shards, tmp_path / "out", HERE)
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path / "out")}
    summary = scale(stage, shards, tmp_path / "out", HERE)
    assert (summary.done, summary.already_done, len(stage.made)) == (0, 3, CLIPS)
    write_records(shards / "part-00003.jsonl", [Clip(id="new", audio="new.wav")])
    assert scale(stage, shards, tmp_path / "out", HERE).done == 1
    assert stage.made[CLIPS:] == ["new"]
    assert (
        before.items()
        <= {n: (tmp_path / "out" / n).stat().st_mtime_ns for n in names(tmp_path / "out")}.items()
    )


def test_a_shard_that_was_done_since_it_was_listed_is_left_alone(shards, tmp_path, memory):
    stage = Counting()
    for out in (tmp_path / "out", "memory://m/out"):
        work = Work(stage, Folder.of(shards), Folder.of(out), ".parquet", tmp_path / "scratch")
        attempt(work, "part-00000.jsonl")
        made = len(stage.made)
        assert attempt(work, "part-00000.jsonl") == Outcome("part-00000.jsonl")
        assert len(stage.made) == made


def test_scratch_is_ours_alone(shards, tmp_path, memory, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scale(Counting(), shards, "memory://m/out", HERE)
    [scratch] = tmp_path.glob("desta2-scale-*")
    assert scratch.stat().st_mode & 0o777 == 0o700
    scratch.chmod(0o777)
    with pytest.raises(
        InputError, match=r"desta2-scale-\d+ is not a folder of yours alone: delete it, or give another"
    ):
        scale(Counting(), shards, "memory://m/other", HERE)


def test_shards_of_any_name_become_parts(tmp_path, caplog):
    folder = tmp_path / "hf"
    for i in (10, 9):
        write_records(folder / f"train-{i}-of-11.parquet", [Clip(id=f"h{i}", audio="a.wav")])
    (folder / "README.md").write_text("hello")
    (folder / "_notes.jsonl").write_text("{}")
    (folder / "train-11-of-11.jsonl.partial").write_text("{}")
    scale(Counting(), folder, tmp_path / "out", HERE)
    assert names(tmp_path / "out") == ["part-train-10-of-11.jsonl", "part-train-9-of-11.jsonl"]
    assert ids(tmp_path / "out") == ["h9", "h10"]
    assert f"{folder} is not finished: train-11-of-11.jsonl.partial is left out" in caplog.text


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("where", ["local", "memory"])
def test_a_stopped_shard_goes_on_where_it_was(shards, tmp_path, memory, suffix, where):
    out = tmp_path / "out" if where == "local" else "memory://m/out"
    run = partial(scale, suffix=suffix, scratch=tmp_path / "scratch")
    first, second = Counting(stop_at="c5"), Counting()
    with pytest.raises(KeyboardInterrupt):
        run(first, shards, out, HERE)
    assert first.made == ["c0", "c1", "c2", "c3", "c4"]
    assert run(second, shards, out, HERE).already_done == 1
    assert second.made == ["c5", "c6"]
    if where == "memory":
        Path(tmp_path / "got").mkdir()
        memory.get("/m/out/", str(tmp_path / "got/"), recursive=True)
        out = tmp_path / "got"
        assert not any((tmp_path / "scratch").glob("*/*"))
    assert ids(out) == [f"c{i}" for i in range(CLIPS)]
    assert names(out) == [f"part-0000{i}{suffix}" for i in range(3)]


def test_partial_output_of_other_settings_is_not_continued(shards, tmp_path, memory):
    first, second = Counting(stop_at="c1"), Counting()
    with pytest.raises(KeyboardInterrupt):
        scale(first, shards, "memory://m/out", HERE, scratch=tmp_path, settings={"prompt": "one"})
    memory.rm("/m", recursive=True)
    scale(second, shards, "memory://m/out", HERE, scratch=tmp_path, settings={"prompt": "two"})
    assert second.made == [f"c{i}" for i in range(CLIPS)]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize("where", ["local", "memory"])
def test_retry_does_what_failed_and_nothing_else(shards, tmp_path, memory, suffix, where):
    out = tmp_path / "out" if where == "local" else "memory://m/out"
    run = partial(scale, source=shards, out=out, engine=HERE, suffix=suffix, scratch=tmp_path / "scratch")
    summary = run(Counting(failing={"c1", "c3"}))
    assert summary.counts["failed"] == 2 and summary.examples == ["c1", "c3"]
    fs = fsspec.filesystem("memory") if where == "memory" else fsspec.filesystem("file")
    root = "/m/out" if where == "memory" else str(out)
    beside = [f"part-0000{i}.failed.jsonl" for i in (0, 1)]
    assert [name for name in beside if fs.exists(f"{root}/{name}")] == beside
    stage = Counting(failing={"c3"})
    assert run(stage).done == 0
    assert run(stage, retry=True).done == 2
    assert stage.made == ["c1"]
    assert [name for name in beside if fs.exists(f"{root}/{name}")] == beside[1:]
    stage.failing = set()
    assert run(stage, retry=True).done == 1
    assert stage.made == ["c1", "c3"]
    fs.get(root + "/", str(tmp_path / "got") + "/", recursive=True)
    assert sorted(ids(tmp_path / "got")) == [f"c{i}" for i in range(CLIPS)]


def test_audio_paths_stay_as_they_are_where_a_folder_is_remote(clips, tmp_path, memory):
    shard(clips, "memory://m/clips", 3)
    stage = partial(annotate, data_root=clips.parent, processes=1)
    scale(stage, "memory://m/clips", "memory://m/annotated", HERE, scratch=tmp_path / "s")
    scale(scale_stages.seeds, "memory://m/annotated", tmp_path / "seeds", HERE, scratch=tmp_path / "s")
    found = list(read_records(tmp_path / "seeds", Seed))
    assert [record.audio for record in found] == [f"audio/{i}.wav" for i in range(CLIPS)]
    assert all("loudness_lufs" in record.measured for record in found)
    assert sorted(memory.find("/m/annotated")) == [
        "/m/annotated/_scale/run.json", *(f"/m/annotated/part-0000{i}.jsonl" for i in range(3))
    ]  # fmt: skip
