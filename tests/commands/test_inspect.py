"""The verb inspect, on clips of which the truth is known."""

import json
from pathlib import Path

import matplotlib.image
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
KNOWN = {
    Path(line["audio"]).name: line
    for line in map(json.loads, (EXAMPLES / "clips.jsonl").read_text().splitlines())
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_measured_is_near_the_truth(name, result):
    found, known = result("inspect", EXAMPLES / name), KNOWN[name]
    assert found["measured"]["duration"] == pytest.approx(known["duration"], abs=0.01)
    assert found["measured"]["f0_median_hz"] > 60
    assert found["attributes"]["Duration"].endswith("s")
    assert ("Speaking speed" in found["attributes"]) == ("syllables_per_s" in found["measured"])
    assert f'"{found["transcript"]}" (' in found["seed"]
    words = set(found["transcript"].split())
    assert len(words & set(known["text"].replace(".", "").split())) >= len(words) / 2


def test_the_speed_is_told_where_there_is_speech_enough(result):
    found = result("inspect", EXAMPLES / "scottish.wav")
    assert found["attributes"]["Speaking speed"] in ("Slow", "Moderate", "Fast")


def test_the_picture_shows_the_clip(cli, tmp_path):
    code, out, _ = cli("inspect", EXAMPLES / "british.wav", "-o", tmp_path / "clip.png")
    assert code == 0
    assert "f0_median_hz" in out and "seed\n  [00:00:00" in out
    height, width, _ = matplotlib.image.imread(tmp_path / "clip.png").shape
    assert width > height > 300
    code, _, _ = cli("inspect", EXAMPLES / "british.wav", "-o", tmp_path / "clip.svg")
    assert code == 0 and (tmp_path / "clip.svg").read_text().startswith("<?xml")


def test_mistakes(mistake, tmp_path):
    assert "must end in .png, .svg, .pdf" in mistake("inspect", EXAMPLES / "british.wav", "-o", "clip.doc")
    assert "none.wav" in mistake("inspect", tmp_path / "none.wav")
    assert "cannot be written" in mistake(
        "inspect", EXAMPLES / "british.wav", "-o", tmp_path / "no" / "clip.png"
    )


def test_other_machines_are_let_into_the_chat_only_on_demand(mistake):
    assert "give --open-to-all if that is meant" in mistake("ui", "--host", "0.0.0.0")
