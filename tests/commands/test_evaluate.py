"""The verb evaluate, on a model that knows nothing: what it prints, leaves, and refuses."""

import json
import re

import numpy as np
import pytest
import soundfile
import torch

from desta2.evaluate import run

KEYS = {
    *("attribute_accuracy", "format_rate", "by_attribute", "asr_wer", "seconds", "report", "asr_wer_clean"),
    *("format_right", "unseen_right", "kind_right", "by_kind", "combination_rate", "combination_right"),
    *("reading_accuracy", "by_reading", "gaps", "unmentioned", "unclear", "unanswerable"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three clips with their texts and labels, not annotated."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = []
    for i in range(3):
        t = np.arange(16000) / 16000
        wave = 0.2 * np.sin(2 * np.pi * (150 + 200 * i) * t) + 0.02 * rng.standard_normal(len(t))
        soundfile.write(folder / f"{i}.wav", wave.astype("float32"), 16000)
        gender = ("Female", "Male")[i % 2]
        lines.append(
            {
                "id": f"c{i}",
                "audio": f"{i}.wav",
                "text": "hello fox",
                "speaker": f"s{i}",
                "attributes": {"gender": gender},
            }
        )
    (folder / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    monkeypatch.setattr(run, "MAX_NEW_TOKENS", 3)
    monkeypatch.setattr(run, "LONGEST", 3)


def assert_score(score):
    assert score.keys() == {"value", "low", "high", "n"}
    assert score["low"] <= score["value"] <= score["high"]
    assert score["n"] > 0


def test_evaluate(tmp_path, data, model_folder, result, cli):
    argv = ("evaluate", "nano", "-m", model_folder, "--data", data, "-o", tmp_path / "out")
    found = result(*argv)
    assert found.keys() == KEYS
    assert found["attribute_accuracy"].keys() == {"speech", "cascade", "topline", "chance"}
    assert found["format_rate"].keys() == {"speech", "text"}
    assert {"gender", "volume", "duration"} <= found["by_attribute"].keys()
    for scores in (found["attribute_accuracy"], found["format_rate"], *found["by_attribute"].values()):
        for score in scores.values():
            assert_score(score)
    assert_score(found["asr_wer"])
    assert found["by_attribute"]["gender"]["chance"]["value"] == pytest.approx(2 / 3)
    assert found["asr_wer"]["n"] == 3

    assert found["report"] == str(tmp_path / "out" / "report.html")
    html = (tmp_path / "out" / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", html), (
        "the report asks for nothing from outside"
    )
    assert html.count("<audio") == 3
    names = {path.name for path in (tmp_path / "out" / "predictions").iterdir()}
    assert names == {"speech.jsonl", "cascade.jsonl", "topline.jsonl", "transcripts.jsonl"}

    code, out, _ = cli(*argv)  # again: nothing to answer, the same scores, in words
    assert code == 0
    assert out.startswith("attribute accuracy, mean over attributes\n")
    value = 100 * found["attribute_accuracy"]["chance"]["value"]
    assert re.search(rf"^  most frequent value +{value:.1f} %   \[", out, re.MULTILINE)
    assert f"report: {tmp_path}/out/report.html" in out.splitlines()[-1]


def test_predictions_of_another_model_are_not_taken_for_this_ones(
    tmp_path, data, bases, make_model, model_folder, result, mistake
):
    out = tmp_path / "out"
    result("evaluate", "nano", "-m", model_folder, "--data", data, "-o", out)
    other = make_model(bases)
    with torch.no_grad():
        other.adapter.projection.weight.add_(0.1)
    other.save_pretrained(tmp_path / "other")
    line = mistake("evaluate", "nano", "-m", tmp_path / "other", "--data", data, "-o", out)
    assert re.match(
        rf"{out} was begun with other settings: model was '\S+' and is '\S+'\. Give another output", line
    )
    line = mistake("evaluate", "nano", "-m", model_folder, "-n", 3, "-o", out)
    assert f"data was '{data}' and is None, clips was None and is 3" in line
    line = mistake("evaluate", "nano", "-m", model_folder, "--data", data, "-o", out, "--fast")
    assert "fast was False and is True" in line


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["nono"], "unknown benchmark 'nono'; known: nano, forgetting, dynamic-superb, "),
        (
            ["nano", "--data", "."],
            ". holds no clips.jsonl; make one with: desta2 nano corpus -n 400 -o . --split test",
        ),
        (["nano", "-m", "./none"], "none"),
        (["nano", "-n", "0"], "see 'desta2 evaluate --help'"),
        ([], "Missing argument 'BENCHMARK'; see 'desta2 evaluate --help'"),
    ],
)
def test_mistakes(tmp_path, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    assert line in mistake("evaluate", *argv)
    assert not list(tmp_path.iterdir())


def test_clips_without_attributes(tmp_path, data, model_folder, mistake):
    (tmp_path / "clips.jsonl").write_text(
        json.dumps({"id": "a", "audio": str(data / "0.wav"), "text": "fox"}) + "\n"
    )
    (tmp_path / "clips.jsonl").write_text("")
    line = mistake("evaluate", "nano", "-m", model_folder, "--data", tmp_path, "-o", tmp_path / "out")
    assert "no clip has attributes to ask about; run 'desta2 annotate' first" in line
