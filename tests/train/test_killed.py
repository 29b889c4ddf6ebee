"""Runs that end early, by real signals, and go on to the very same weights."""

import json
import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from launched import finish, said, start, wait_for, write_config
from safetensors.torch import load_file

from desta2.train.checkpoints import newest
from desta2.train.trainer import train


def steps_logged(output):
    log = output / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def same(one, other):
    """Whether two nested states are equal, bit by bit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return np.array_equal(one, other)


def assert_same_end(one, other):
    """Weights, optimiser, schedule, random numbers and log: every bit."""
    for output in (one, other):
        assert (output / "model" / "adapter.safetensors").is_file()
    weights = [load_file(output / "model" / "adapter.safetensors") for output in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    ends = [newest(output / "checkpoints") for output in (one, other)]
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        assert same(*(torch.load(end / name, weights_only=False) for end in ends)), name
    assert (one / "log.jsonl").read_text() == (other / "log.jsonl").read_text()


@pytest.fixture(scope="module")
def long_config(make_config):
    """A run with dropout, accumulation, groups and a cache that fills on the way, long enough to be hit."""

    def make(output, **run):
        options = {"max_steps": 24, "batch_size": 2, "gradient_accumulation": 2, "save_steps": 3, **run}
        data = {"cache_taps": "first_epoch", "group_by_length": True, "transcript_dropout": 0.3}
        # Without a sample for statistics, which would fill the cache of so few clips at once.
        return make_config(output, model={"standardise_taps": False}, data=data, **options)

    return make


@pytest.fixture(scope="module")
def undisturbed(long_config, tmp_path_factory):
    """Output of a run that nothing stopped."""
    return train(long_config(tmp_path_factory.mktemp("undisturbed") / "out")).parent


@pytest.mark.slow
def test_killed_at_random_moments(long_config, undisturbed, tmp_path):
    """SIGKILL while it starts, steps or writes a checkpoint: whatever is left, it ends the same."""
    output = tmp_path / "out"
    file = write_config(long_config(output), tmp_path)
    rng = random.Random(time.time_ns())
    for _ in range(8):
        before = steps_logged(output)
        process = start(file)
        goal = before + rng.randint(1, 3)
        wait_for(lambda goal=goal: goal <= steps_logged(output) < 24, process)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        assert finish(process) == [-signal.SIGKILL]
    assert not (output / "model").exists()
    assert finish(start(file)) == [0], said(file)
    assert_same_end(output, undisturbed)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGTERM, 143, "error: stopped by SIGTERM after step"),
        (signal.SIGINT, 130, "interrupted: what is finished is kept, run the same command again to continue"),
    ],
)
def test_a_signal_saves_the_step_and_leaves(long_config, undisturbed, tmp_path, number, code, words, workers):
    """It reaches all processes of the run."""
    output = tmp_path / "out"
    file = write_config(long_config(output, save_steps=1000, workers=workers), tmp_path)
    process = start(file, prepare=os.setsid)
    wait_for(lambda: steps_logged(output) >= 4, process)
    os.killpg(process.pid, number)
    assert finish(process) == [code], said(file)
    assert words in said(file)
    assert "Traceback" not in said(file)
    saved = newest(output / "checkpoints")
    step = json.loads((saved / "trainer_state.json").read_text())["global_step"]
    assert steps_logged(output) == step < 24, "nothing is lost"
    assert not (output / "model").exists()
    assert finish(start(write_config(long_config(output), tmp_path))) == [0], said(file)
    assert_same_end(output, undisturbed)
