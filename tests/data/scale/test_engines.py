"""Who does the shards: the same comes of it, also when a worker or the command dies."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from functools import partial
from threading import Barrier

import pytest
import scale_stages
from loopback_llm import LoopbackLLM, chat, respond_by_url
from scale_stages import CLIPS, HERE, ids, names
from waiting import is_running, wait_for

from desta2.data.annotate import annotate
from desta2.data.scale import Local, Ray, scale
from desta2.data.seed import seed
from desta2.errors import InputError, RunError
from desta2.records import Pair, Seed, read_records


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


def test_without_ray(shards, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        InputError, match=r"the Ray engine needs the package ray: pip install 'desta2\[scale\]'"
    ):
        scale(scale_stages.seeds, shards, tmp_path / "seeds", Ray())


@pytest.fixture
def ray_environment(monkeypatch):
    """What Ray's processes need to find the tests' modules."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.setenv("RAY_ADDRESS", "local")


def by_messages(body, number):
    """An answer that depends on the messages alone."""
    return chat(hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest())


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_ray_workers_make_the_pairs_of_one_process(clips, shards, tmp_path, ray_environment):
    with LoopbackLLM(by_messages) as llm:
        annotate(clips, tmp_path / "one/annotated.jsonl", processes=1)
        seed(tmp_path / "one/annotated.jsonl", tmp_path / "one/seeds.jsonl")
        respond_by_url(llm.url, tmp_path / "one/seeds.jsonl", tmp_path / "one/pairs.jsonl")
    both = Barrier(2)  # the first two requests wait for each other: as many must be in flight

    def answer(body, number):
        if number < 2:
            both.wait(60)
        return by_messages(body, number)

    with LoopbackLLM(answer) as llm:
        engine = Ray(2)
        scale(partial(annotate, processes=1), shards, tmp_path / "annotated", engine)
        scale(seed, tmp_path / "annotated", tmp_path / "seeds", HERE)
        stage = partial(respond_by_url, llm.url)
        summary = scale(stage, tmp_path / "seeds", tmp_path / "two/pairs", engine)
        assert llm.most == 2
        assert len(llm.bodies) == CLIPS
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
