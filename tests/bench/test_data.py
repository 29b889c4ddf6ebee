"""The benchmark of the data stages, at a size that says nothing about speed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader", reason="needs the extra 'synth'")
BENCH = Path(__file__).parents[2] / "bench"


def run(*argv):
    ran = subprocess.run([sys.executable, *map(str, argv)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_annotate():
    options = ("--minutes", 0.3, "--peer-minutes", 0, "--repeats", 1, "--processes", 2)
    result = json.loads(run(BENCH / "data.py", "annotate", "--json", *options))
    assert result["minutes"] == pytest.approx(0.4, abs=0.15)
    speeds = result["times_real_time"]
    assert set(speeds) == {"one core", "all cores"}
    assert all(speed > 1 for speed in speeds.values())
    assert result["cores"] == pytest.approx(speeds["all cores"] / speeds["one core"])
    assert result["met"]["one core"] == (speeds["one core"] >= 100)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_corpus():
    found = json.loads(run(BENCH / "data.py", "memory", "--json", "--clips", "40000"))
    few, many = found["runs"]
    assert (few["clips"], many["clips"]) == (10_000, 40_000)
    assert found["met"]
    # torch and transformers are most of it, and would hide what grows
    assert (many["peak_mb"] - many["before_mb"]) - (few["peak_mb"] - few["before_mb"]) < 12


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_requests_a_second():
    found = json.loads(run(BENCH / "data.py", "respond", "--json", "--clips", "200", "--rounds", "1"))
    rates = found["requests_per_s"]
    assert set(rates) == {"respond", "respond --backbone", "bare httpx2"}
    assert all(rate > 0 for rate in rates.values())
    assert found["met"]["respond"] == (rates["respond"] >= 300)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_accuracy_stays_what_the_docs_say():
    result = json.loads(run(BENCH / "accuracy.py", "--clips", 20, "--json"))
    assert result["f0"]["as spoken"]["median"] < 1  # %
    assert result["speed"]["as spoken"]["median"] < 10
    assert result["c50"]["median"] < 0.5  # dB
    for true in ("0", "5", "10", "15"):
        assert all(result["snr"][true][noise]["error"] < 2 for noise in ("white", "pink", "brown"))
