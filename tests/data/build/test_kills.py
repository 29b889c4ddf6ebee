"""A build that is killed at random moments ends with the ids and texts of one that is not."""

import multiprocessing
import random
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
    return [
        [clip.attributes for clip in read_records(work / "clips.annotated.jsonl", Clip)],
        [(seed.id, seed.seed) for seed in read_records(work / "seeds.jsonl", Seed)],
        [(pair.id, pair.response, pair.messages) for pair in read_records(work / "pairs", Pair)],
    ]


def kill_and_compare(tmp_path, clips, kills, pause, batch_size):
    """Returns how many requests the killed build made, and how many it repeated."""
    whole = write_config(tmp_path / "whole", clips, batch_size=batch_size)
    killed = write_config(tmp_path / "killed", clips, batch_size=batch_size)
    log = tmp_path / "requests.log"
    warm = start(whole, tmp_path / "other.log", 0.0)
    warm.join()
    assert warm.exitcode == 0
    rng, done, span = random.Random(7), 0, 0.4
    while True:
        process = start(killed, log, pause)
        process.join(rng.uniform(0, span) if done < kills else None)
        if process.exitcode == 0:
            if done >= kills:
                break
            raise AssertionError(f"the build was over after {done} kills: make it longer")
        assert process.exitcode is None
        process.kill()
        process.join()
        done += 1
    assert texts(tmp_path / "killed" / "work") == texts(tmp_path / "whole" / "work")
    assert not (tmp_path / "killed" / "work" / "aside").exists()
    requests = Counter(log.read_text().split())
    return requests.total(), requests.total() - len(requests)


def test_six_kills(tmp_path, corpus):
    asked, repeated = kill_and_compare(tmp_path, corpus(60), kills=6, pause=0.005, batch_size=4)
    assert asked - repeated == 60
    assert repeated <= 6 * 4  # at most the batch that was under way


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_kills(tmp_path, corpus):
    began = time.monotonic()
    asked, repeated = kill_and_compare(tmp_path, corpus(1_000), kills=20, pause=0.005, batch_size=1)
    assert asked - repeated == 1_000
    assert repeated <= 0.02 * asked, time.monotonic() - began
