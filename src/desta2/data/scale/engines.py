"""Who does the shards: processes of this machine, or the workers of a Ray cluster.

Trade-off: both are asked for one shard after another and give outcomes as they come, so a slow shard holds up
nobody and a few are in flight, however many there are. With Ray these are plain tasks, not datatrove's Ray
executor, which forks inside an actor: where the system kills such a fork for want of memory nobody notices,
and the run never ends; a task that dies is started again by Ray itself. What was measured: docs/scale.md.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from desta2.data.pool import cores, die_with_parent
from desta2.data.scale.work import Outcome, Work, attempt
from desta2.errors import InputError, RunError

logger = logging.getLogger(__name__)

_AHEAD = 2  # shards that wait for a process, so that it never waits for us
_RAY_WINDOW = 1_000  # tasks that Ray knows at a time; it runs as many as it has room for
_RAY_RETRIES = 3


class Engine(Protocol):
    """Something that does shards."""

    def run(self, work: Work, shards: Sequence[str]) -> Iterator[Outcome]:
        """Do the shards and yield how each ended, as they end.

        Raises:
            RunError: workers died.
        """
        ...


@dataclass(frozen=True)
class Local:
    """Processes of this machine; by default one for each core that it may use."""

    workers: int | None = None

    def run(self, work: Work, shards: Sequence[str]) -> Iterator[Outcome]:
        """As `Engine.run`. Processes are spawned, since torch and onnxruntime do not survive a fork."""
        workers = min(self.workers or cores(), len(shards))
        before = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_process,
            initargs=(logging.getLogger("desta2").getEffectiveLevel(),),
        )
        try:
            yield from _windowed(lambda shard: pool.submit(attempt, work, shard), shards, workers + _AHEAD)
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process died, perhaps for lack of memory; what is finished is kept: run "
                "again, with fewer workers, to go on"
            ) from error
        except BaseException:  # nobody waits for the shards under way: their journals keep what they have
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Ray:
    """The workers of a Ray cluster: that of RAY_ADDRESS, the one of this machine, or one begun for this run.

    Attributes:
        workers: shards at a time; by default as many as the cluster has room for.
        cpus: cores that a shard takes, gpus: accelerators, memory_gb: memory, each reserved with Ray.
    """

    workers: int | None = None
    cpus: float = 1
    gpus: float = 0
    memory_gb: float | None = None

    def run(self, work: Work, shards: Sequence[str]) -> Iterator[Outcome]:
        """As `Engine.run`; a shard whose worker dies is tried again, RunError after three times."""
        ray = _ray_module()
        begun = not ray.is_initialized()
        if begun:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # reports to its makers unless told not to
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        try:
            self._check_room(ray)
            task = ray.remote(_attempt_on_ray).options(
                num_cpus=self.cpus,
                num_gpus=self.gpus or None,
                memory=None if self.memory_gb is None else int(self.memory_gb * 2**30),
                max_retries=_RAY_RETRIES,
            )
            level = logging.getLogger("desta2").getEffectiveLevel()
            shared = ray.put(work)
            yield from _ray_windowed(
                ray, lambda shard: task.remote(shared, shard, level), shards, self.workers
            )
        finally:
            if begun:
                ray.shutdown()

    def _check_room(self, ray: Any) -> None:
        """Refuse what no node has: Ray would wait for ever for one that has it."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": (self.memory_gb or 0) * 2**30}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= much for name, much in wanted.items() if much) for node in nodes):
            has = {name: max((node.get(name, 0) for node in nodes), default=0) for name in wanted}
            raise InputError(
                f"no node of the Ray cluster has what a shard asks for: {self.cpus:g} cores, {self.gpus:g} "
                f"GPUs, {self.memory_gb or 0:g} GiB; the largest have {has['CPU']:g}, {has['GPU']:g} and "
                f"{has['memory'] / 2**30:.1f}"
            )


def _windowed(
    submit: Callable[[str], Future[Outcome]], shards: Sequence[str], window: int
) -> Iterator[Outcome]:
    source = iter(shards)
    waiting = {submit(shard) for shard in itertools.islice(source, window)}
    while waiting:
        finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in finished:
            yield future.result()
            waiting |= {submit(shard) for shard in itertools.islice(source, 1)}


def _ray_windowed(
    ray: Any, submit: Callable[[str], Any], shards: Sequence[str], workers: int | None
) -> Iterator[Outcome]:
    source = iter(shards)
    waiting = {submit(shard): shard for shard in itertools.islice(source, workers or _RAY_WINDOW)}
    while waiting:
        for task in ray.wait(list(waiting), num_returns=1)[0]:
            shard = waiting.pop(task)
            try:
                yield ray.get(task)
            except ray.exceptions.RayError as error:  # of Ray itself: `attempt` raises nothing
                said = str(error).strip().partition("\n")[0]
                yield Outcome(shard, f"its worker died {_RAY_RETRIES + 1} times: {said}")
            waiting |= {submit(shard): shard for shard in itertools.islice(source, 1)}


def _ray_module() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError("the Ray engine needs the package ray: pip install 'desta2[scale]'") from error
    return ray


def _attempt_on_ray(work: Work, shard: str, level: int) -> Outcome:
    log_to_stderr(level)
    return attempt(work, shard)


def _begin_process(level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends the others
    die_with_parent()
    log_to_stderr(level)


def log_to_stderr(level: int) -> None:
    """Let a worker log what the command would log, a line each."""
    package = logging.getLogger("desta2")
    if not package.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        package.addHandler(handler)
    package.setLevel(level)
