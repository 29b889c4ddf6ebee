"""A build that is killed at random moments ends with the ids and texts of one that is not."""

import contextlib
import multiprocessing
import random
import signal
import time
from collections import Counter

import pytest
import yaml
from instant import run_build

from desta2.records import Clip, Pair, Seed, read_records

SPAWN_ONCE = ["instant", "desta2.model.prompt", "desta2.data.seed", "pyloudnorm", "swift_f0", "onnxruntime"]


def start(config, log, pause):
    """A process that builds, forked from one that has imported everything, so that kills hit the work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SPAWN_ONCE)
    process = context.Process(target=run_build, args=(config, log, pause))
    process.start()
    return process


def write_config(folder, clips, **respond):
    folder.mkdir()
    path = folder / "build.yaml"
    config = {
        "output": str(folder / "work"),
        "clips": str(clips),
        "processes": 1,
        "augment": {"noise_probability": 0.0, "reverb_probability": 0.0},
        "respond": {"llm": "instant", **respond},
    }
    path.write_text(yaml.safe_dump(config))
    return path


def texts(work):
    """What was made; of the pairs in whatever order the answers came."""
    return [
        [clip.to_dict() for clip in read_records(work / "clips.annotated.jsonl", Clip)],
        [(seed.id, seed.seed) for seed in read_records(work / "seeds.jsonl", Seed)],
        sorted((pair.id, pair.response, str(pair.messages)) for pair in read_records(work / "pairs", Pair)),
    ]


def written(work):
    """Bytes in the manifests of a build, whatever state they are in."""
    files = [*work.glob("*.jsonl*"), *work.glob("pairs/part-*")]
    sizes = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # renamed just now
            sizes.append(file.stat().st_size)
    return sum(sizes)


def kill_and_compare(tmp_path, clips, kills, pause, batch_size):
    """Kill a build at random amounts of work; compare it with one that was left alone.

    Returns:
        how many requests the killed build made, how many of them twice, and in which stages it was killed.
    """
    whole = write_config(tmp_path / "whole", clips, batch_size=batch_size)
    killed = write_config(tmp_path / "killed", clips, batch_size=batch_size)
    left_alone = start(whole, tmp_path / "other.log", 0.0)
    left_alone.join()
    assert left_alone.exitcode == 0
    rng, log, work, hit = random.Random(7), tmp_path / "requests.log", tmp_path / "killed" / "work", Counter()
    for share in sorted(rng.uniform(0, 0.97) for _ in range(kills)):
        process = start(killed, log, pause)
        while written(work) < share * written(tmp_path / "whole" / "work"):
            assert process.is_alive()
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.01))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        hit.update(path.name for path in work.glob("*.partial"))
        hit.update(path.parent.name for path in work.glob("pairs/*.partial"))
    last = start(killed, log, pause)
    last.join()
    assert last.exitcode == 0
    assert texts(work) == texts(tmp_path / "whole" / "work")
    assert not (work / "aside").exists()
    requests = Counter(log.read_text().split())
    return requests.total(), requests.total() - len(requests), hit


def test_six_kills(tmp_path, corpus):
    asked, repeated, hit = kill_and_compare(tmp_path, corpus(60), kills=6, pause=0.005, batch_size=4)
    assert asked - repeated == 60
    assert repeated <= 6 * 4  # at most the batch that was under way
    assert hit["clips.annotated.jsonl.partial"] and hit["pairs"], hit  # it was in the middle of the work


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills(tmp_path, corpus):
    asked, repeated, hit = kill_and_compare(tmp_path, corpus(1_000), kills=20, pause=0.005, batch_size=1)
    assert asked - repeated == 1_000
    assert repeated <= 0.02 * asked
    assert hit["clips.annotated.jsonl.partial"] and hit["pairs"], hit
