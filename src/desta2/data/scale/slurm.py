"""Shards as the tasks of a Slurm job array, by datatrove's Slurm executor.

Trade-off: datatrove writes and submits the script, splits arrays that are longer than Slurm allows, and puts
tasks back into the queue; we give it one step that does our shards. Its own notes of finished tasks are not
used: a task is done when its shards are there, which stays true when the number of tasks changes. Each
submission gets a folder of its own, since tasks that still wait read the one that they were submitted with.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from desta2.data.scale.engines import log_to_stderr
from desta2.data.scale.work import Work, attempt
from desta2.errors import InputError, RunError


@dataclass(frozen=True)
class Slurm:
    """How the job array is asked for.

    Attributes:
        partition: where it runs.
        time: limit of a task, as Slurm has it ("08:00:00").
        tasks: tasks of the array; each does its share of the shards, one after another.
        workers: tasks that run at a time; None for no limit.
        cpus: cores of a task; memory_gb: memory for each core; gpus: of a task.
        sbatch: more options of sbatch, by name without dashes (account, constraint, …).
        environment: shell command that makes `python` ours; by default that of the running Python.
    """

    partition: str
    time: str
    tasks: int
    workers: int | None = None
    cpus: int = 1
    memory_gb: int = 4
    gpus: int = 0
    sbatch: Mapping[str, str] = field(default_factory=dict)
    environment: str | None = None

    def submit(self, work: Work, shards: Sequence[str], logs: Path) -> Submitted:
        """Submit the shards and return; nothing is waited for.

        Args:
            work: what to do with each.
            shards: their names.
            logs: a folder that the nodes share; each submission makes one in it.

        Raises:
            InputError: no `sbatch` here, or datatrove is not installed.
            RunError: Slurm refuses the job.
        """
        if shutil.which("sbatch") is None:
            raise InputError("there is no sbatch on this machine: submit from a login node of the cluster")
        folder = logs / f"slurm-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        executor = self._executor(work, shards, folder)
        try:
            with redirect_stdout(sys.stderr):
                executor.run()
        except subprocess.CalledProcessError as error:
            raise RunError(
                f"sbatch refused the job (see above); its script is {folder}/launch_script.slurm"
            ) from error
        return Submitted(str(executor.job_id), folder, min(self.tasks, len(shards)))

    def _executor(self, work: Work, shards: Sequence[str], folder: Path) -> Any:
        try:
            from datatrove.executor import SlurmPipelineExecutor

            from desta2.data.scale.step import ShardStep
        except ImportError as error:
            raise InputError(
                "the Slurm engine needs the package datatrove: pip install 'desta2[scale]'"
            ) from error
        tasks = min(self.tasks, len(shards))
        return SlurmPipelineExecutor(
            pipeline=[ShardStep(work, list(shards))],
            tasks=tasks,
            workers=-1 if self.workers is None else self.workers,
            time=self.time,
            partition=self.partition,
            cpus_per_task=self.cpus,
            mem_per_cpu_gb=self.memory_gb,
            gpus_per_task=self.gpus,
            qos="",  # the cluster's own default, not one named "normal"
            job_name=f"desta2-{folder.name}",
            env_command=self.environment
            or f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            sbatch_args=dict(self.sbatch),
            logging_dir=str(folder),
            skip_completed=False,
        )


@dataclass(frozen=True)
class Submitted:
    """A job array: the id of its last job, the folder with script and logs, and how many tasks it has."""

    job: str
    folder: Path
    tasks: int


def do_share(work: Work, shards: Sequence[str], rank: int, world_size: int) -> dict[str, int]:
    """Do the shards of one task; RunError names those that failed, after all were tried."""
    log_to_stderr(logging.INFO)
    counts: dict[str, int] = {}
    failed: list[str] = []
    for shard in shards[rank::world_size]:
        outcome = attempt(work, shard)
        if outcome.error is not None:
            failed.append(f"{shard}: {outcome.error}")
        for name, number in outcome.counts.items():
            counts[name] = counts.get(name, 0) + number
    if failed:
        raise RunError("\n".join(failed))
    return counts
