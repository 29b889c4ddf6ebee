"""What the engines cost: time for each shard, memory against the size of the corpus, and a worker that dies.

    python bench/scale.py overhead     # time to begin, and for each shard, of five engines
    python bench/scale.py memory       # peak memory over 10 k … 200 k records, local and Ray
    python bench/scale.py death        # what each engine does when the system kills a worker

Every measurement runs in a process of its own. `overhead` uses a stage that copies one record; when the
outputs appeared gives the time to begin (to the first) and for each further one. `memory` uses the
real seed stage on shards of 5,000 clips. Engines named "datatrove …" and "ray data" are there for comparison:
desta2 does not use them.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # workers import this module too
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

WORKERS = 2
SHARDS = 40  # of `overhead`
SHARD = 5_000  # records
SIZES = (10_000, 50_000, 200_000)
ENGINES = ("local", "ray", "datatrove local", "datatrove ray", "ray data")


def copy(source: Path, out: Path) -> None:
    """The stage of `overhead`."""
    shutil.copyfile(source, out)


def seed(source: Path, out: Path) -> dict[str, Any]:
    """The stage of `memory`; tells the peak of its process."""
    from desta2.data.seed import seed as stage

    return {"records": stage(source, out), "peak": [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]}


def die_once(source: Path, out: Path) -> None:
    """The stage of `death`: kills its process the first time that it meets the second shard."""
    flag = out.parent / "died"
    if "00001" in source.name and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    copy(source, out)


def one(engine: str, what: str, folder: Path) -> dict[str, Any]:
    """A single measurement, in this process."""
    stage = {"overhead": copy, "memory": seed, "death": die_once}[what]
    # By its name, so that workers find it: here it is a function of __main__.
    import scale as here

    stage = getattr(here, stage.__name__)
    begin = time.time()
    examples = _drive(engine, stage, folder / "in", folder / "out")
    seconds = time.time() - begin
    times = sorted(path.stat().st_mtime for path in (folder / "out").glob("part-*.jsonl"))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "begin_s": times[0] - begin,
        "each_s": (times[-1] - times[0]) / (len(times) - 1),
        "driver_mb": own / 1024,
        "worker_mb": max((int(peak) for peak in examples), default=0) / 1024,
        "done": len(list((folder / "out").glob("part-*.jsonl"))),
    }


def _drive(engine: str, stage: Any, source: Path, out: Path) -> list[str]:
    from desta2.data.scale import Folder, Local, Ray, Work, pending

    work = Work(stage, Folder.of(source), Folder.of(out))
    shards, _ = pending(work)
    out.mkdir()
    if engine in ("local", "ray"):
        outcomes = list((Local(WORKERS) if engine == "local" else Ray(WORKERS)).run(work, shards))
        assert not any(outcome.error for outcome in outcomes), outcomes
        return [example for outcome in outcomes for example in outcome.examples]
    if engine == "ray data":
        _ray_data(work, shards)
    else:
        _datatrove(engine.split()[1], work, shards, out)
    return []


def _datatrove(engine: str, work: Any, shards: list[str], out: Path) -> None:
    from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor

    from desta2.data.scale.step import ShardStep

    common: dict[str, Any] = {
        "pipeline": [ShardStep(work, shards)], "tasks": len(shards), "workers": WORKERS,
        "logging_dir": str(out / "logs"), "skip_completed": False,
    }  # fmt: skip
    if engine == "local":
        LocalPipelineExecutor(**common).run()
        return
    import ray

    ray.init(log_to_driver=False)
    RayPipelineExecutor(**common, mem_per_cpu_gb=1).run()
    ray.shutdown()


def _ray_data(work: Any, shards: list[str]) -> None:
    import ray

    from desta2.data.scale.work import attempt

    ray.init(log_to_driver=False)
    rows = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    rows.map(partial(_attempt_row, attempt, work)).materialize()
    ray.shutdown()


def _attempt_row(attempt: Any, work: Any, row: dict[str, Any]) -> dict[str, Any]:
    attempt(work, row["shard"])
    return row


def _alone(engine: str, what: str, shards: int, records: int, limit: float | None = None) -> dict[str, Any]:
    """One measurement in a process of its own; "hangs" if it took longer than `limit` seconds."""
    with tempfile.TemporaryDirectory(prefix="desta2-bench-") as name:
        _corpus(Path(name) / "in", shards, records)
        command = [sys.executable, __file__, "one", engine, what, name]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            printed, said = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"ended": f"not within {limit:g} s", "done": _done(Path(name))}
        if process.returncode:
            return {"ended": said.strip().splitlines()[-1][:200], "done": _done(Path(name))}
        return {"ended": "well", **json.loads(printed.splitlines()[-1])}


def _done(folder: Path) -> int:
    return len(list((folder / "out").glob("part-*.jsonl")))


def _corpus(folder: Path, shards: int, records: int) -> None:
    folder.mkdir()
    for number in range(shards):
        lines = (
            json.dumps(
                {
                    "id": f"{number}-{i}", "audio": f"{i}.wav", "duration": 3.2, "text": "the food is good",
                    "attributes": {"gender": "Female", "emotion": "Happy"},
                }
            )
            for i in range(records)
        )  # fmt: skip
        (folder / f"part-{number:05d}.jsonl").write_text("\n".join(lines) + "\n")


def overhead() -> dict[str, Any]:
    """Seconds until the first shard is done, and for each further one, with two workers."""
    found: dict[str, Any] = {}
    for engine in ENGINES:
        ran = _alone(engine, "overhead", SHARDS, 1, 600)
        found[engine] = {key: round(ran[key], 3) for key in ("begin_s", "each_s", "seconds") if key in ran}
        print(engine, found[engine] or ran, file=sys.stderr)
    return found


def memory() -> dict[str, Any]:
    """Peak MB of the driver and of the largest worker, by engine and number of records."""
    found: dict[str, Any] = {}
    for engine in ("local", "ray"):
        for size in SIZES:
            ran = _alone(engine, "memory", size // SHARD, SHARD)
            kept = [key for key in ("driver_mb", "worker_mb", "seconds") if key in ran]
            found[f"{engine} {size}"] = {key: round(ran[key], 1) for key in kept} or ran
            print(engine, size, found[f"{engine} {size}"], file=sys.stderr)
    return found


def death() -> dict[str, Any]:
    """What comes of six shards when the process that does the second one is killed, within a minute."""
    found = {}
    for engine in ENGINES[:4]:
        ran = _alone(engine, "death", 6, 1, 60)
        found[engine] = {"ended": ran["ended"], "done": ran["done"], "of": 6}
        print(engine, found[engine], file=sys.stderr)
    return found


def main() -> None:
    """Measure, and print JSON."""
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(sys.argv[2], sys.argv[3], Path(sys.argv[4]))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("overhead", "memory", "death"), nargs="+")
    measures = {"overhead": overhead, "memory": memory, "death": death}
    result = {name: measures[name]() for name in parser.parse_args().what}
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "workers": WORKERS}
    print(json.dumps({"machine": machine, **result}, indent=1))


if __name__ == "__main__":
    main()
