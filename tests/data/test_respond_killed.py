"""kill -9 at random moments: what is there at the end is what one uninterrupted run gives."""

import json
import os
import random
import signal
import time

import pytest
from loopback_llm import LoopbackLLM, Raw, chat

from desta2.data.backends import PromptStyle, Sampling
from desta2.data.endpoint import EndpointBackend
from desta2.data.prompts import PromptPool
from desta2.data.respond import Asking, respond
from desta2.model import prompt as _imported_before_the_fork  # noqa: F401
from desta2.records import Pair, Seed, read_records, write_records

CLIPS, WINDOW = 300, 8
ASKING = Asking(PromptPool.of("What?", "Who?", "Where?"), Sampling(seed=4))


def start(url, seeds, out):
    """Run `respond` in a copy of this process, which has everything imported already; give its id."""
    if pid := os.fork():
        return pid
    try:
        respond(seeds, out, EndpointBackend(url, PromptStyle(), concurrency=WINDOW), ASKING)
        os._exit(0)
    finally:
        os._exit(1)


def answer(body, number):
    """A function of the request alone, that takes its time and sometimes fails."""
    if number % 17 == 3:
        return Raw(503, b"busy", {"Retry-After": "0"})
    text = f"{body['messages']} {body['seed']}"
    return Raw(body=chat(text).body, delay=random.random() * 0.02)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("layout", ["pairs", "pairs.jsonl"])
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
            pid = start(server.url, seeds, out)
            if attempt < 8:
                time.sleep(random.uniform(0.05, 0.3))
                os.kill(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
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
