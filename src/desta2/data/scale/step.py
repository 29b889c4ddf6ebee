"""Our shards as a step of a datatrove pipeline. Only `slurm.py` and the pickled job import this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datatrove.pipeline.base import PipelineStep

from desta2.data.scale.slurm import do_share
from desta2.data.scale.work import Work


class ShardStep(PipelineStep):  # type: ignore[misc,unused-ignore]  # datatrove may not be installed
    """Does every `world_size`-th shard, beginning with number `rank`."""

    name = "desta2 shards"
    type = "STAGE"

    def __init__(self, work: Work, shards: Sequence[str]) -> None:
        super().__init__()
        self.work, self.shards = work, shards

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> None:
        """Do the shards of one task; nothing is handed on."""
        for name, number in do_share(self.work, self.shards, rank, world_size).items():
            self.stat_update(name, value=number, unit="shard")
