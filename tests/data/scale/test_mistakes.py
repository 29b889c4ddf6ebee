"""What goes wrong with shards, folders and settings, and what is said about it."""

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from scale_stages import CLIPS, HERE, Counting, ids, names

from desta2.data.scale import Folder, Work, scale
from desta2.data.scale.work import attempt
from desta2.errors import InputError, RunError


def test_a_bad_shard_does_not_keep_the_others(shards, tmp_path):
    good = (shards / "part-00001.jsonl").read_bytes()
    (shards / "part-00001.jsonl").write_bytes(good + b'{"id": "c9"}\n')
    with pytest.raises(
        InputError,
        match=r"1 of 3 shards failed, and the others are done; run again to try them again\. part-00001\.jsonl: "
        r".*part-00001\.jsonl:4: field 'audio' is missing",
    ):
        scale(Counting(), shards, tmp_path / "out", HERE)
    assert [n for n in names(tmp_path / "out") if n.endswith(".jsonl")] == [
        "part-00000.jsonl",
        "part-00002.jsonl",
    ]
    (shards / "part-00001.jsonl").write_bytes(good)
    stage = Counting()
    scale(stage, shards, tmp_path / "out", HERE)
    assert stage.made == []  # what was good of the bad shard had been done
    assert ids(tmp_path / "out") == [f"c{i}" for i in range(CLIPS)]


def test_a_defect_of_the_stage_is_a_failure_of_the_run(shards, tmp_path):
    def broken(source, out):
        raise ZeroDivisionError("division by zero")

    with pytest.raises(
        RunError, match=r"3 of 3 shards failed.*part-00000\.jsonl: unexpected ZeroDivisionError: div"
    ):
        scale(broken, shards, tmp_path / "out", HERE)


def test_a_shard_that_vanishes(shards, tmp_path):
    work = Work(Counting(), Folder.of(shards), Folder.of(tmp_path / "out"))
    (shards / "part-00001.jsonl").unlink()
    outcome = attempt(work, "part-00001.jsonl")
    assert outcome.mistake
    assert "does not exist (any more), or not on this machine" in outcome.error
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_used(clips, shards, tmp_path, memory):
    def refused(source=shards, out=tmp_path / "out", **options):
        with pytest.raises(InputError) as error:
            scale(Counting(), source, out, HERE, **options)
        return str(error.value)

    assert refused(tmp_path / "none").endswith("none does not exist; expected a folder of shards (desta2 scale shard FILE -o FOLDER makes one of a file)")  # fmt: skip
    assert "clips.jsonl is a file; expected a folder of shards" in refused(clips)
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty").endswith("expected shards (.jsonl, .jsonl.gz, .jsonl.zst or .parquet), and it holds no such file")  # fmt: skip
    (tmp_path / "empty/part-00000.jsonl.partial").touch()
    assert refused(tmp_path / "empty").endswith("and only unfinished .partial files are there")
    assert "memory://m/none: expected shards" in refused("memory://m/none")
    assert "Protocol not known: nosuch; expected a path, or a URL such as s3://" in refused("nosuch://x")
    assert "Protocol not known: nosuch" in refused(out="nosuch://x")
    assert refused(out=shards).endswith("is both input and output: give another output folder")
    assert "expected one of .jsonl" in refused(suffix=".txt")
    assert "clips.jsonl/below-a-file: Not a directory" in refused(out=clips / "below-a-file")
    assert not (tmp_path / "out").exists()
    (shards / "part-00000.parquet").touch()
    assert (
        "part-00000.jsonl and part-00000.parquet would both become part-00000.jsonl: rename one" in refused()
    )


class Denied(MemoryFileSystem):
    """A bucket that may be read and not written."""

    protocol = "denied"
    store, pseudo_dirs = {}, [""]

    def _refuse(self, *_, **__):
        raise PermissionError("Access Denied")

    pipe_file = put_file = _refuse


def test_no_permission(shards, tmp_path):
    fsspec.register_implementation("denied", Denied, clobber=True)
    with pytest.raises(InputError, match=r"cannot write denied://b/out/_scale/run\.json: permission denied"):
        scale(Counting(), shards, "denied://b/out", HERE)


def test_an_output_keeps_to_its_settings(shards, tmp_path):
    out = tmp_path / "out"
    scale(Counting(), shards, out, HERE, settings={"verb": "respond", "temperature": 1.0})
    scale(Counting(), shards, out, HERE, settings={"verb": "respond", "temperature": 1.0})
    with pytest.raises(
        InputError,
        match=r"out was begun otherwise: temperature was 1\.0 and is 0\.5\. Give another output; or, if the shards "
        r"that are left are meant to be done so, delete .*out/_scale/run\.json",
    ):
        scale(Counting(), shards, out, HERE, settings={"verb": "respond", "temperature": 0.5})
    with pytest.raises(InputError, match=r"suffix was '\.jsonl' and is '\.parquet'"):
        scale(
            Counting(), shards, out, HERE, settings={"verb": "respond", "temperature": 1.0}, suffix=".parquet"
        )
    (out / "_scale/run.json").unlink()
    scale(Counting(), shards, out, HERE, settings={"verb": "respond", "temperature": 0.5})
