"""Stages over folders of shards, on one machine, a Ray cluster or Slurm; see docs/scale.md."""

from desta2.data.scale.engines import Engine, Local, Ray
from desta2.data.scale.folders import Folder
from desta2.data.scale.run import Summary, scale
from desta2.data.scale.shards import shard
from desta2.data.scale.slurm import Slurm, Submitted
from desta2.data.scale.work import Outcome, Stage, Work, pending

__all__ = [
    "Engine", "Folder", "Local", "Outcome", "Ray", "Slurm", "Stage", "Submitted", "Summary", "Work",
    "pending", "scale", "shard",
]  # fmt: skip
