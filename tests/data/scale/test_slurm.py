"""The job array: the script that Slurm is given, and its tasks run by stand-ins for its commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import scale_stages
from scale_stages import names

from desta2.data.scale import Folder, Slurm, Work, pending, scale
from desta2.errors import InputError, RunError


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


def test_without_datatrove(shards, tmp_path, cluster, monkeypatch):
    monkeypatch.setitem(sys.modules, "datatrove.executor", None)
    with pytest.raises(
        InputError, match=r"the Slurm engine needs the package datatrove: pip install 'desta2\[scale\]'"
    ):
        scale(scale_stages.seeds, shards, tmp_path / "seeds", SLURM)
