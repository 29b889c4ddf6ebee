"""The verbs evaluate and score for benchmarks with data of their own, on a tiny model and a real server."""

import json
from pathlib import Path

import pytest
from loopback_judge import judging
from loopback_llm import LoopbackLLM, chat
from superb import row, wav, write_benchmark, write_task

from desta2.evaluate.speech_ifeval.responses import FILES


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("superb"), 2)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_dynamic_superb_on_a_model(tmp_path, data, model_folder, result, cli):
    argv = ("evaluate", "dynamic-superb", "-m", model_folder, "--data", data, "-o", tmp_path / "out")
    argv += ("--max-new-tokens", 3, "--batch-size", 3)
    found = result(*argv)
    assert found.keys() == {"benchmark", "answered", "missing", "scores", "results", "report"}
    assert (found["benchmark"], found["answered"], found["missing"]) == ("dynamic-superb", 8, [])
    assert found["scores"]["by_dimension"].keys() == {"content", "degradation", "speaker", "audio"}
    assert found["scores"]["average"]["n"] == 6
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert written["scores"] == found["scores"]
    assert written["system"]["id"] == str(model_folder)
    assert written["system"]["sampling"]["max_new_tokens"] == 3

    code, out, _ = cli(*argv)  # again: nothing to answer
    assert code == 0
    assert out.startswith("average over 3 tasks ")
    assert out.splitlines()[-1] == f"results: {tmp_path}/out/scores.json"

    predictions = tmp_path / "out" / "predictions.jsonl"
    again = result("score", "dynamic-superb", predictions, "--items", tmp_path / "items.jsonl")
    assert again == found["scores"], "predictions are scored again from their file alone"
    items = lines(tmp_path / "items.jsonl")
    assert [item["id"] for item in items] == [item["id"] for item in lines(predictions)]
    assert all(item.pop("correct") in (True, False) for item in items)
    assert items == lines(predictions)


def test_shares_by_url(tmp_path, data, result, cli):
    out = tmp_path / "out"
    with LoopbackLLM(lambda body, number: chat("Yes.")) as server:
        argv = (
            "evaluate",
            "dynamic-superb",
            "-m",
            server.url,
            "--data",
            data,
            "-o",
            out,
            "--system",
            "Be brief.",
        )
        code, said, _ = cli(*argv, "--shard", "2/2")
        assert (code, said) == (0, f"{out}: share 2/2 is done; still to be done: 1/2\n")
        found = result(*argv, "--shard", "1/2")
    assert (found["answered"], found["missing"]) == (4, [])
    assert found["scores"]["by_task"]["SpeechDetection_LJSpeech"]["value"] == 1
    assert found["scores"]["by_task"]["SpeakerVerification_VCTK"]["value"] == 0
    assert {body["messages"][0]["content"] for body in server.bodies} == {"Be brief."}
    assert result("score", "dynamic-superb", out / "predictions") == found["scores"]
    parts = sorted((out / "predictions").glob("part-*"))
    assert result("score", "dynamic-superb", *parts) == found["scores"]


def test_a_table_of_the_users_own(tmp_path, result, mistake):
    write_task(tmp_path / "data", "mine", [row(200 + i, "yes") for i in range(3)])
    (tmp_path / "t.yaml").write_text("dimensions: {house: [MyTask_MyData]}\n")
    (tmp_path / "n.yaml").write_text("mine: MyTask_MyData\n")
    with LoopbackLLM(lambda body, number: chat("yes")) as server:
        argv = (
            "evaluate",
            "dynamic-superb",
            "-m",
            server.url,
            "--data",
            tmp_path / "data",
            "-o",
            tmp_path / "out",
        )
        own = ("--tasks", tmp_path / "t.yaml", "--names", tmp_path / "n.yaml")
        found = result(*argv, *own)
        assert "holds no task of Dynamic-SUPERB" in mistake(*argv)
    assert found["scores"]["by_dimension"]["house"]["value"] == 1
    assert found["scores"]["by_dimension"]["house"]["n"] == 3
    predictions = tmp_path / "out" / "predictions.jsonl"
    assert result("score", "dynamic-superb", predictions, *own) == found["scores"]
    line = mistake("score", "dynamic-superb", predictions, predictions, *own)
    assert line.endswith(f"is in {predictions} and in {predictions}: give each answer once")
    assert "'MyTask_MyData', which the table does not know" in mistake("score", "dynamic-superb", predictions)


def test_speech_ifeval_on_a_model(tmp_path, model_folder, result):
    data = tmp_path / "data"
    (data / "audios").mkdir(parents=True)
    (data / "audios" / "a.wav").write_bytes(wav(300))
    common = {"audio_filepath": "a.wav", "instruction": "Write.", "id": 1}
    rule = {"instruction_id_list": ["change_case:english_capital"], "kwargs": [{}], "metric": "open"}
    free = {"instruction_id_list": ["detectable_format:number_bullet_lists"], "kwargs": [{"num_bullets": 2}]}
    for name, line in zip(FILES, (common | rule, common | free, common | {"metric": "cot"}), strict=True):
        (data / name).write_text(json.dumps(line) + "\n")
    argv = ("evaluate", "speech-ifeval", "-m", model_folder, "--data", data, "-o", tmp_path / "out")
    found = result(*argv, "--max-new-tokens", 3)
    assert found["scores"]["by_part"].keys() == {"closed-ended", "creative"}
    assert found["scores"]["unjudged"] == 1
    predictions = tmp_path / "out" / "predictions.jsonl"
    assert len(lines(predictions)) == 3
    with judging(lambda prompt: "Result: YES") as judge:
        judged = result("score", "speech-ifeval", predictions, "--judge", judge.url)
    assert (judged["by_part"]["chain-of-thought"]["n"], judged["judged_now"]) == (1, 1)
    assert judged["if_rate"]["n"] == 3


def test_failures_end_the_run_unless_accepted(tmp_path, cli, result):
    write_task(tmp_path / "data", "SarcasmDetection_Mustard", [row(200, "yes"), row(201, "yes")])
    path = write_task(tmp_path / "more", "StressDetection_MIRSD", [row(202, "yes")])
    (tmp_path / "data" / "StressDetection_MIRSD").symlink_to(path.parent.parent)
    bad = row(203, "yes")
    bad["audio"]["bytes"] = b"<html>"
    write_task(tmp_path / "data", "HowFarAreYou_3DSpeaker", [bad])
    with LoopbackLLM(lambda body, number: chat("yes")) as server:
        argv = (
            "evaluate",
            "dynamic-superb",
            "-m",
            server.url,
            "--data",
            tmp_path / "data",
            "-o",
            tmp_path / "out",
        )
        code, out, err = cli(*argv)
        assert (code, out) == (1, "")
        assert "error: 1 questions got no answer" in err.splitlines()[-1]
        found = result(*argv, "--accept-failures")
    assert found["answered"] == 1
    assert found["scores"]["by_task"]["HowFarAreYou_3DSpeaker"]["value"] == 0
    assert found["scores"]["average"]["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["dynamic-superb"], "dynamic-superb needs its data: give its folder with --data; see docs/evaluate.md"),
        (["dynamic-superb", "--data", "none"], "none is no folder; expected one with the tasks of Dynamic-SUPERB"),
        (["dynamic-superb", "--data", ".", "--shard", "3/2"], "given the shard '3/2', expected one from 1/N to N/N, such as 2/8"),
        (["dynamic-superb", "-n", "4"], "-n has no effect on the benchmark dynamic-superb: leave it out"),
        (["dynamic-superb", "--tasks", "t.yaml"], "t.yaml: cannot be read: [Errno 2] No such file or directory: 't.yaml'"),
        (["speech-ifeval", "--data", "."], ". holds no closed_ended_questions.jsonl, expected the benchmark's folder or its eval_data"),
        (["nano", "--shard", "1/2"], "--shard has no effect on the benchmark nano: leave it out"),
        (["nano", "--batch-size", "2"], "--batch-size has no effect on the benchmark nano: leave it out"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    assert mistake("evaluate", *argv) == line
    assert not list(tmp_path.iterdir())


def test_mistakes_of_score(tmp_path, mistake):
    assert "does not exist" in mistake("score", "dynamic-superb", tmp_path / "none.jsonl")
    (tmp_path / "p.jsonl").write_text('{"id": "a", "task": "SarcasmDetection_Mustard", "instruction": "?"}\n')
    assert mistake("score", "dynamic-superb", tmp_path / "p.jsonl") == (
        f"{tmp_path}/p.jsonl:1: field 'response' is missing, a Prediction needs it"
    )


def test_asr(tmp_path, model_folder, result):
    (tmp_path / "a.wav").write_bytes(wav(300))
    (tmp_path / "clips.jsonl").write_text(
        "".join(json.dumps({"id": key, "audio": "a.wav", "text": "hello fox"}) + "\n" for key in "ab")
    )
    argv = ("evaluate", "asr", "-m", model_folder, "--data", tmp_path, "-o", tmp_path / "out")
    found = result(*argv, "--max-new-tokens", 3)
    assert found["scores"].keys() == {"wer", "cer", "mean_wer", "n"}
    predictions = tmp_path / "out" / "predictions.jsonl"
    assert result("score", "asr", predictions, "--items", tmp_path / "items.jsonl") == found["scores"]
    assert [item["id"] for item in lines(tmp_path / "items.jsonl") if "transcript" in item] == ["a", "b"]


def test_multiple_choice(tmp_path, result, mistake):
    (tmp_path / "a.wav").write_bytes(wav(300))
    row = {"audio": "a.wav", "question": "Who?", "choices": ["dog", "cat", "cow"], "answer": "cat"}
    rows = [row | {"id": key, "category": key} for key in "ab"]
    (tmp_path / "mc.json").write_text(json.dumps(rows))
    argv = ("evaluate", "multiple-choice", "--data", tmp_path / "mc.json", "-o", tmp_path / "out")
    with LoopbackLLM(lambda body, number: chat("(A)")) as server:
        found = result(*argv, "-m", server.url, "--shuffles", 3)
    assert (found["answered"], found["scores"]["n"]) == (6, 2)
    assert found["scores"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["scores"]["by"]["category"].keys() == {"a", "b"}
    shown = [body["messages"][0]["content"][1]["text"] for body in server.bodies]
    assert len(set(shown)) >= 3 and all(text.startswith("Who?\n(A) ") for text in shown)
    assert (tmp_path / "out" / "report.html").read_text().count("<audio") == 4, "the wrong answers"
    report = result("evaluate", "report", tmp_path / "out", "-o", tmp_path / "again.html")["report"]
    assert Path(report).read_text().count("<audio") == 4, "also those in orders that the verb is not told of"
    compared = result("evaluate", "compare", tmp_path / "out", tmp_path / "out")
    assert (compared["rows"][0]["name"], compared["rows"][0]["n"]) == ("accuracy", 2)
    predictions = tmp_path / "out" / "predictions.jsonl"
    again = result("score", "multiple-choice", predictions, "--items", tmp_path / "items.jsonl")
    assert again == found["scores"]
    items = lines(tmp_path / "items.jsonl")
    assert [item["choice"] for item in items] == ["A"] * 6
    assert sum(item["correct"] for item in items) == 2
    assert mistake("evaluate", "asr", "--data", tmp_path, "--shuffles", 2) == (
        "--shuffles has no effect on the benchmark asr: leave it out"
    )


def test_text_dominance(tmp_path, model_folder, result, mistake):
    rows = []
    for i in range(4):
        (tmp_path / f"{i}.wav").write_bytes(wav(200 + 100 * i))
        gender = ("female", "male")[i % 2]
        rows.append(
            {"id": f"c{i}", "audio": f"{i}.wav", "duration": 0.5, "text": f"fox {i}", "speaker": f"s{i}"}
        )
        rows[-1]["attributes"] = {"gender": gender}
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    argv = ("evaluate", "text-dominance", "--data", tmp_path, "--max-new-tokens", 3)
    found = result(*argv, "-m", model_folder, "-o", tmp_path / "out")
    assert (found["answered"], found["scores"]["n"]) == (16, 4)
    assert found["scores"]["by_attribute"].keys() == {"gender"}
    predictions = tmp_path / "out" / "predictions.jsonl"
    assert result("score", "text-dominance", predictions) == found["scores"]
    compared = result("evaluate", "compare", tmp_path / "out", tmp_path / "out")
    assert compared["rows"][0]["first"] == found["scores"]["accuracy"]["audio"]
    assert "accuracy with the transcript alone" in Path(found["report"]).read_text()
    with LoopbackLLM(lambda body, number: chat("male")) as server:
        line = mistake(*argv, "-m", server.url, "-o", tmp_path / "by-url")
    assert "which only a desta2 model in this process can do" in line
