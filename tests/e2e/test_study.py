"""The study in little, as a user starts it: killed and started again, it ends with everything that it promises."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from desta2.records import Prediction, read_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SCRIPT = Path(sys.executable).with_name("desta2")
OPTIONS = ("--scale", "small", "--seeds", "1", "--only", "transcript")


def start(folder):
    argv = [SCRIPT, "nano", "study", "-o", str(folder), *OPTIONS, "--json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study") / "study"


@pytest.fixture(scope="module")
def result(folder):
    """Killed once in the data and once in the runs, then left alone."""
    for sign in (folder / "data" / "000" / "seeds.jsonl", folder / "runs" / "base-1" / "trained.json"):
        process = start(folder)
        while not sign.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(3)  # its workers find out
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("trained.json")}
    process = start(folder)
    out, told = process.communicate()
    assert process.returncode == 0, told
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in made.items()), "what was there is kept"
    return json.loads(out)


def test_the_result_is_complete(folder, result):
    assert result["variants"].keys() == {"base", "no-transcript"}
    for own in result["variants"].values():
        for score in own["scores"].values():
            assert score.keys() >= {"value", "low", "high", "n", "by_seed"}
            assert score["low"] <= score["value"] <= score["high"]
            assert score["by_seed"].keys() == {"1"}
    assert result["variants"]["no-transcript"]["differences"]["attribute accuracy"]["kind"] == "gain"
    assert result["references"].keys() == {"cascade", "topline", "chance", "transcripts"}
    found = result["forgetting"]["base-1"]
    assert found["equal"] == found["n"] > 0
    assert result["floors"]["self"]["prompt"]["value"] > 0
    assert result["dominance"].keys() == {"base"}
    assert json.loads((folder / "results.json").read_text())["variants"].keys() == result["variants"].keys()
    assert result["command"] == f"desta2 nano study -o {folder} --seeds 1 --scale small --only transcript"
    report = (folder / "report.md").read_text()
    assert "# Nano study" in report and "Without the transcript channel" in report


@pytest.mark.usefixtures("result")
def test_without_the_transcript_channel_nothing_is_written(folder):
    texts = {}
    for name in ("base-1", "no-transcript-1"):
        path = folder / "runs" / name / "evaluation" / "predictions" / "transcripts.jsonl"
        texts[name] = [item.response for item in read_records(path, Prediction)]
    assert any(texts["base-1"])
    assert not any(texts["no-transcript-1"])


@pytest.mark.usefixtures("result")
def test_other_settings_need_another_folder(folder):
    argv = [SCRIPT, "nano", "study", "-o", folder, "--scale", "small", "--seeds", "2"]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "was begun with other settings: seeds was 1 and is 2" in ran.stderr
