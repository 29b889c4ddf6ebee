"""The verb evaluate forgetting on a tiny model: equality on texts, and Speech-IFEval from speech and text."""

import json

import pytest
from superb import wav

from desta2.evaluate.forgetting import equality
from desta2.evaluate.speech_ifeval.responses import FILES


@pytest.fixture(autouse=True)
def short_answers(monkeypatch):
    monkeypatch.setattr(equality, "MAX_NEW_TOKENS", 3)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "audios").mkdir(parents=True)
    rule = {"instruction_id_list": ["length_constraints:number_words"], "metric": "open"}
    rule["kwargs"] = [{"num_words": 1000, "relation": "less than"}]
    for name, more in zip(FILES, (rule, rule, {"metric": "cot"}), strict=True):
        lines = []
        for i in range(2):
            (folder / "audios" / f"{i}.wav").write_bytes(wav(300 + 100 * i))
            line = {"audio_filepath": f"{i}.wav", "instruction": f"Write. {name}", "id": i}
            lines.append(line | {"textual_audio": f"[00:00:00 - 00:00:01] fox {i}"} | more)
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_equality_alone(tmp_path, model_folder, result, cli):
    argv = ("evaluate", "forgetting", "-m", model_folder, "-o", tmp_path / "out")
    found = result(*argv)
    assert found["equality"]["equal"] == found["equality"]["n"] == 54
    assert found["if_rate"] is None
    written = json.loads((tmp_path / "out" / "forgetting.json").read_text())
    assert written["equality"] == found["equality"]
    assert written["versions"]["desta2"]
    _, out, _ = cli(*argv)
    assert out.startswith("answers to texts that are the LLM's own, token for token: 54 of 54 (texts ")
    assert out.splitlines()[-1] == f"results: {tmp_path}/out/forgetting.json"


def test_speech_against_text(tmp_path, data, model_folder, result, cli):
    argv = ("evaluate", "forgetting", "-m", model_folder, "-o", tmp_path / "out", "--data", data)
    argv += ("--max-new-tokens", 3)
    found = result(*argv)
    rates = found["if_rate"]
    assert (rates["speech"], rates["text"], rates["rate"], rates["unjudged"]) == (1, 1, 0, 2)
    assert rates["difference"]["n"] == 4
    lines = {
        name: [
            json.loads(line)
            for line in (tmp_path / "out" / name / "predictions.jsonl").read_text().splitlines()
        ]
        for name in ("speech", "text")
    }
    assert [line["id"] for line in lines["speech"]] == [line["id"] for line in lines["text"]]
    assert [line["response"] for line in lines["speech"]] != [line["response"] for line in lines["text"]]
    _, out, _ = cli(*argv)
    assert "instructions followed, mean of two parts: 100.00 % with speech, 100.00 % with the seed" in out
    assert "forgetting +0.00 %" in out.splitlines()


def test_mistakes(tmp_path, data, mistake, model_folder):
    assert mistake("evaluate", "forgetting", "-m", "http://127.0.0.1:9/v1", "-o", tmp_path / "o") == (
        "forgetting compares a model with its LLM: give a folder or hub id, not http://127.0.0.1:9/v1"
    )
    assert mistake("evaluate", "forgetting", "--shuffles", 2) == (
        "--shuffles has no effect on the benchmark forgetting: leave it out"
    )
    file = data / FILES[0]
    line = json.loads(file.read_text().splitlines()[0])
    del line["textual_audio"]
    file.write_text(json.dumps(line) + "\n")
    line = mistake("evaluate", "forgetting", "-m", model_folder, "-o", tmp_path / "o", "--data", data)
    assert line == f"{file}:1: given textual_audio=None, expected the clip as a text"
