"""Stages over shards: the same records as from one file, whatever is stopped, remote, missing or broken."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import fsspec
import pytest
import scale_stages
from fsspec.implementations.memory import MemoryFileSystem
from loopback_llm import LoopbackLLM, respond_by_url

from desta2.data.annotate import annotate
from desta2.data.audio import write_wav
from desta2.data.scale import Folder, Local, Outcome, Ray, Slurm, Work, pending, scale, shard
from desta2.data.scale.work import SUFFIXES, attempt
from desta2.data.seed import seed
from desta2.errors import InputError, RecordError, RunError
from desta2.journal import Journal
from desta2.records import Clip, Pair, Record, Seed, read_records, resolve_audio, write_records

CLIPS = 7


class Here:
    """An engine without processes: shards in order, in this one."""

    def run(self, work, shards):
        return (attempt(work, name) for name in shards)


HERE = Here()


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


@dataclass
class Counting:
    """Copies records one by one, resumably, as a stage does; fails those it is told to."""

    stop_at: str | None = None
    failing: set = field(default_factory=set)
    made: list = field(default_factory=list)

    def __call__(self, source, out):
        failed = []
        with Journal(out) as journal:
            for record in read_records(source, Clip):
                if record.id in journal.done:
                    continue
                if record.id == self.stop_at:
                    raise KeyboardInterrupt
                if record.id in self.failing:
                    failed.append(record.id)
                    continue
                self.made.append(record.id)
                journal.append(record)
        notes = out.with_suffix(".failed.jsonl")
        notes.unlink(missing_ok=True)
        if failed:
            notes.write_text("".join(json.dumps({"id": key}) + "\n" for key in failed))
        return {"failed": failed}


def ids(folder):
    return [record.id for record in read_records(folder, Record)]


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir() if path.is_file())


# --- shards


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


# --- a stage over shards


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


# --- what goes wrong


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


# --- engines


@pytest.mark.parametrize("url", ["", "file://"])
def test_local_processes(shards, clips, tmp_path, url):
    # a URL is handled as one, even that of a local folder: copied in and out
    seed(clips, tmp_path / "whole.jsonl")
    summary = scale(
        scale_stages.seeds, f"{url}{shards}", f"{url}{tmp_path}/seeds", Local(2), scratch=tmp_path / "s"
    )
    found, wanted = (list(read_records(tmp_path / name, Seed)) for name in ("seeds", "whole.jsonl"))
    assert [(s.id, s.seed) for s in found] == [(s.id, s.seed) for s in wanted]
    assert summary.counts["seeds"] == CLIPS
    assert str(os.getpid()) not in summary.examples
    assert names(tmp_path / "seeds") == [f"part-0000{i}.jsonl" for i in range(3)]


def test_a_worker_that_is_killed(shards, tmp_path):
    stage = partial(scale_stages.killed_once, tmp_path / "flag")
    with pytest.raises(
        RunError, match="a worker process died, perhaps for lack of memory; what is finished is kept"
    ):
        scale(stage, shards, tmp_path / "seeds", Local(1))
    scale(stage, shards, tmp_path / "seeds", Local(1))
    assert ids(tmp_path / "seeds") == [f"c{i}" for i in range(CLIPS)]


PARENT = """
import sys, scale_stages
from desta2.data.scale import Local, scale
if __name__ == "__main__":
    scale(scale_stages.sleeping, sys.argv[1], sys.argv[2], Local(1))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_command(shards, tmp_path, how):
    (tmp_path / "main.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = subprocess.Popen(
        [sys.executable, tmp_path / "main.py", shards, tmp_path / "out"],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    begun = tmp_path / "out/part-00000.jsonl.begun"
    wait_for(begun.exists)
    wait_for(begun.read_text)
    worker = json.loads(begun.read_text())
    command.send_signal(how)
    command.wait(30)
    wait_for(lambda: not is_running(worker))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Commands of Slurm that note what they are given; `srun` runs it, `sbatch` runs the tasks of the array."""
    tools = tmp_path / "tools"
    tools.mkdir()
    scripts = {
        "sbatch": """
            n=$(ls -d %(tools)s/job.* 2>/dev/null | wc -l); job=%(tools)s/job.$((n + 1)); mkdir $job
            for script; do :; done
            cp "$script" $job/script; printf '%%s\\n' "$@" > $job/arguments
            echo "Submitted batch job 70$((n + 1))"
        """,
        "srun": """
            while [ "${1#-}" != "$1" ]; do case $1 in -n) shift;; esac; shift; done
            exec "$@"
        """,
        "scontrol": "echo localhost",
    }
    for name, script in scripts.items():
        lines = (
            line.strip() for line in (script % {"tools": tools} if "%(" in script else script).splitlines()
        )
        (tools / name).write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tools


SLURM = Slurm(
    "cpu", "01:00:00", tasks=2, workers=1, cpus=3, memory_gb=5, gpus=1, sbatch={"account": "speech"}
)


def test_the_script_for_slurm(shards, tmp_path, cluster):
    summary = scale(scale_stages.seeds, shards, tmp_path / "seeds", SLURM)
    job = summary.submitted
    script = (cluster / "job.1/script").read_text()
    given = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in script.splitlines()
        if "#SBATCH" in line
    )
    wanted = {
        "partition": "cpu", "time": "01:00:00", "array": "0-1%1", "cpus-per-task": "3", "mem-per-cpu": "5G",
        "gpus": "1", "account": "speech", "nodes": "1",
    }  # fmt: skip
    assert wanted.items() <= given.items()
    assert "qos" not in given
    assert given["output"].startswith(str(job.folder))
    assert f"export PATH={Path(sys.executable).parent}:$PATH" in script
    assert f"launch_pickled_pipeline {job.folder}/executor.pik" in script
    assert job.folder.parent == tmp_path / "seeds/_scale"
    assert (summary.shards, summary.done, job.tasks) == (3, 0, 2)
    assert "--dependency" not in (cluster / "job.1/arguments").read_text()
    # nothing is done yet, so the same command submits the same again, in a folder of its own
    again = scale(scale_stages.seeds, shards, tmp_path / "seeds", SLURM).submitted
    assert again.folder != job.folder


@pytest.mark.slow
def test_the_tasks_of_slurm(shards, clips, tmp_path, cluster):
    # the script itself, run twice by sh in place of Slurm; a cluster has not seen it
    (shards / "part-00001.jsonl").write_text('{"id": "c3"}\n')
    folder = scale(scale_stages.seeds, shards, tmp_path / "seeds", SLURM).submitted.folder
    codes = [run_task(cluster / "job.1/script", task) for task in range(2)]
    assert codes[0] == 0 and codes[1] != 0
    assert names(tmp_path / "seeds") == ["part-00000.jsonl", "part-00002.jsonl"]
    assert "part-00001.jsonl:1: field 'audio' is missing" in (folder / "logs/task_00001.log").read_text()
    left, done = pending(Work(scale_stages.seeds, Folder.of(shards), Folder.of(tmp_path / "seeds")))
    assert (left, done) == (["part-00001.jsonl"], 2)


def run_task(script, number):
    variables = {"SLURM_ARRAY_TASK_ID": str(number), "RUN_OFFSET": "0", "SLURM_NODELIST": "localhost"}
    environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(["bash", script], env=environment, capture_output=True).returncode


def test_slurm_where_it_is_not(shards, tmp_path, monkeypatch, memory):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no sbatch on this machine: submit from a login node"):
        scale(scale_stages.seeds, shards, tmp_path / "seeds", SLURM)
    with pytest.raises(
        InputError, match="give --scratch, a folder that all nodes share, for the job's script"
    ):
        scale(scale_stages.seeds, shards, "memory://m/seeds", SLURM)


def test_slurm_refuses(shards, tmp_path, cluster):
    (cluster / "sbatch").write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    with pytest.raises(
        RunError, match=r"sbatch refused the job \(see above\); its script is .*launch_script\.slurm"
    ):
        scale(scale_stages.seeds, shards, tmp_path / "seeds", SLURM)


@pytest.mark.parametrize(("engine", "module"), [(Ray(), "ray"), (SLURM, "datatrove.executor")])
def test_engines_that_are_not_installed(shards, tmp_path, cluster, monkeypatch, engine, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r"engine needs the package .*: pip install 'desta2\[scale\]'"):
        scale(scale_stages.seeds, shards, tmp_path / "seeds", engine)


@pytest.fixture
def ray_environment(monkeypatch):
    """What Ray's processes need to find the tests' modules."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("RAY_ADDRESS", "local")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_ray_workers_make_the_pairs_of_one_process(clips, shards, tmp_path, ray_environment):
    with LoopbackLLM() as llm:
        annotate(clips, tmp_path / "one/annotated.jsonl", processes=1)
        seed(tmp_path / "one/annotated.jsonl", tmp_path / "one/seeds.jsonl")
        respond_by_url(llm.url, tmp_path / "one/seeds.jsonl", tmp_path / "one/pairs.jsonl")
    with LoopbackLLM(together=2) as llm:
        engine = Ray(2)
        scale(partial(annotate, processes=1), shards, tmp_path / "annotated", engine)
        scale(seed, tmp_path / "annotated", tmp_path / "seeds", HERE)
        stage = partial(respond_by_url, llm.url)
        summary = scale(stage, tmp_path / "seeds", tmp_path / "two/pairs", engine)
        assert llm.met, "two requests were never in flight at a time"
        assert llm.asked == CLIPS
    assert len(set(summary.examples)) == 2  # processes
    one, two = (pairs_of(tmp_path / path) for path in ("one/pairs.jsonl", "two/pairs"))
    assert one == two


def pairs_of(path):
    """Pairs by id; audio as the file that it is, and without the time."""
    found = {}
    for pair in read_records(path, Pair):
        fields = pair.to_dict()
        del fields["provenance"]["time"]
        [clip] = fields["messages"][0]["audios"]
        folder = path if path.is_dir() else path.parent
        clip["audio"] = str((folder / clip["audio"]).resolve(strict=True))
        found[pair.id] = fields
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ray_does_a_shard_again_whose_worker_was_killed(shards, tmp_path, ray_environment):
    stage = partial(scale_stages.killed_once, tmp_path / "flag")
    assert scale(stage, shards, tmp_path / "seeds", Ray(1)).done == 3
    assert (tmp_path / "flag").exists()
    assert ids(tmp_path / "seeds") == [f"c{i}" for i in range(CLIPS)]
    with pytest.raises(
        InputError, match=r"no node of the Ray cluster has what a shard asks for: 4096 cores, 0 GPUs"
    ):
        scale(stage, shards, tmp_path / "never", Ray(cpus=4096))
