"""The benchmarks of self-generation: that they run, and at small size that memory does not grow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def run(name, *options):
    done = subprocess.run([sys.executable, BENCH / name, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_corpus():
    found = run("memory.py", "--clips", "40000")
    few, many = found["runs"]
    assert (few["clips"], many["clips"]) == (10_000, 40_000)
    assert many["peak_mb"] <= 1.1 * few["peak_mb"]
    # torch and transformers are most of it, and would hide what grows
    assert (many["peak_mb"] - many["before_mb"]) - (few["peak_mb"] - few["before_mb"]) < 12


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_requests_a_second():
    found = run("respond.py", "--clips", "200", "--rounds", "1")
    assert found["target"] == {"requests_per_s": 300}
    assert all(found[name]["requests_per_s"] > 0 for name in ("respond", "respond --backbone", "bare httpx2"))
