"""kill -9 at random moments: what is there at the end is what one uninterrupted run gives."""

import json
import multiprocessing
import random
import signal
import sys
import time

import pytest
from loopback_llm import LoopbackLLM, Raw, chat, respond_by_url

from desta2.data.backends import PromptStyle, Sampling
from desta2.data.endpoint import EndpointBackend
from desta2.data.prompts import PromptPool
from desta2.data.respond import Asking, respond
from desta2.records import Pair, Seed, read_records, write_records

CLIPS, WINDOW = 300, 8
ASKING = Asking(PromptPool.of("What?", "Who?", "Where?"), Sampling(seed=4))


# Forked from a process that has only imported what all need: to import it takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["loopback_llm", "desta2.model.prompt"])


def wait_for_requests(server, count):
    """Until so many more have come, or a second has gone by without any."""
    last, until = len(server.bodies), len(server.bodies) + count
    patience = time.monotonic() + 10
    while len(server.bodies) < until and time.monotonic() < patience:
        if len(server.bodies) > last:
            last, patience = len(server.bodies), time.monotonic() + 1
        time.sleep(0.005)


def answer(body, number):
    """A function of the request alone, that takes its time and sometimes fails."""
    if number % 17 == 3:
        return Raw(503, b"busy", {"Retry-After": "0"})
    text = f"{body['messages']} {body['seed']}"
    return Raw(body=chat(text).body, delay=random.random() * 0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server")
@pytest.mark.parametrize("layout", [pytest.param("pairs", marks=pytest.mark.slow), "pairs.jsonl"])
def test_kill_9_loses_nothing_and_repeats_little(tmp_path, layout):
    seeds = tmp_path / "seeds.jsonl"
    write_records(
        seeds,
        [
            Seed(id=f"c{i}", audio=f"{i}.wav", seed=f'[00:00:00 - 00:00:01] "{i}"', seed_format="v2")
            for i in range(CLIPS)
        ],
    )
    out, kills = tmp_path / layout, 0
    with LoopbackLLM(answer) as server:
        for attempt in range(12):
            process = PROCESSES.Process(target=respond_by_url, args=(server.url, seeds, out, ASKING, WINDOW))
            process.start()
            if attempt < 8:
                wait_for_requests(server, random.randint(5, 60))
                process.kill()
            process.join()
            code = process.exitcode
            assert code in (0, -signal.SIGKILL)
            kills += code != 0
            if code == 0:
                break
        bodies = [json.dumps(body, sort_keys=True) for body in server.bodies]
        pairs = list(read_records(out, Pair))  # which refuses ids that occur twice
        whole = EndpointBackend(server.url, PromptStyle(), concurrency=WINDOW)
        respond(seeds, tmp_path / "whole", whole, ASKING)
    expected = {pair.id: pair.response for pair in read_records(tmp_path / "whole", Pair)}
    assert {pair.id: pair.response for pair in pairs} == expected
    assert len(pairs) == len(expected) == CLIPS
    assert kills >= 2
    refused = sum(number % 17 == 3 for number in range(len(bodies)))
    assert set(bodies) == {json.dumps(body, sort_keys=True) for body in server.bodies}
    assert len(bodies) - len(set(bodies)) - refused <= kills * WINDOW
