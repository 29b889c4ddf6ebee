"""The verb score with a judge, which is a real server on this machine."""

import json

import pytest
from air_bench import answered, rows, shown, write_benchmark, write_lines
from loopback_judge import judging
from loopback_llm import Raw

from desta2.data import pacing


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)


def test_air_bench_chat(tmp_path, result, cli):
    data = write_benchmark(tmp_path / "Chat", rows())
    lines = [{"uniq_id": row["uniq_id"], "response": f"Mine. {row['uniq_id']}\ud800"} for row in rows()[:15]]
    file = write_lines(tmp_path / "own.jsonl", lines)

    def moody(prompt):
        return "?" if any(text.startswith("Mine. 3") for text in shown(prompt)) else "9 3"

    with judging(moody) as server:
        argv = ("score", "air-bench-chat", file, "--data", data, "--judge", server.url)
        found = result(*argv, "--items", tmp_path / "items.jsonl")
        asked = len(server.bodies)
        assert asked == 2 * 14 + 2 * 3
        code, out, err = cli(*argv, "--judge-model", "judge-1", "--judge-attempts", "3")
        assert (code, len(server.bodies)) == (0, asked), err
        cli(*argv, "--judge-answers", tmp_path / "elsewhere")
        assert len(server.bodies) == 2 * asked
    assert found["average"]["score"]["value"] == found["average"]["reference"]["value"] == 6
    assert (found["n"], found["missing"], found["unjudged"]["n"]) == (14, 1, 1)
    assert found["judge"]["id"] == "judge-1"
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [(item["uniq_id"], item["score"]) for item in items] == [
        (i, 6 if i != 3 else None) for i in range(15)
    ]
    assert items[0]["judged"][0] == {
        "order": "reference first",
        "marks": [9, 3],
        "answer": "9 3",
        "attempts": 1,
    }
    assert (tmp_path / "own.judge").is_dir()
    assert (tmp_path / "elsewhere").is_dir()
    table = out.splitlines()
    assert table[1].split() == ["speech", "6.00", "[6.00", "…", "6.00]", "6.00", "50.0", "%", "3"]
    assert table[5].split()[:2] == ["average", "6.00"]
    assert "the judge's favour for the first place: +6.00 [+6.00 … +6.00]" in table
    assert "1 items have no answer and are not scored" in table
    assert "1 answers could not be judged and are not scored" in table
    assert "no verdict: 3, reference first: no verdict can be read from the answer" in table
    assert table[-1] == f"judge judge-1, prompt {found['judge']['prompt_hash'][:12]}"


def test_the_key_and_the_template_are_taken_from_where_the_user_says(tmp_path, result, monkeypatch):
    monkeypatch.setenv("MY_KEY", "s3cret")
    (tmp_path / "judge.txt").write_text("XAudioX XQuestionX XAssistant1X XAssistant2X")
    file = write_lines(tmp_path / "own.jsonl", answered(rows(1)))
    with judging(lambda prompt: "5 5") as server:
        argv = ("--judge-key-env", "MY_KEY", "--judge-template", tmp_path / "judge.txt")
        result("score", "air-bench-chat", file, "--judge", server.url, *argv)
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer s3cret"}
    assert server.bodies[0]["messages"][0]["content"].startswith("['Description of")
    kept = "".join(path.read_text() for path in (tmp_path / "own.judge").iterdir())
    assert "s3cret" not in kept


def test_speech_ifeval_is_judged_where_it_was_not(tmp_path, result, cli, mistake):
    lines = [
        {"id": i, "metric": "cot", "instruction": f"{i}? Think.", "response": f"So {i}."} for i in range(4)
    ]
    lines[3]["eval_response"] = "Result: YES"
    file = write_lines(tmp_path / "cot.jsonl", lines)
    assert "or a judge to ask now, with --judge" in mistake("score", "speech-ifeval", file)

    def moody(prompt):
        return "?" if "2? Think." in prompt else f"Result: {'YES' if '0? Think.' in prompt else 'NO'}"

    with judging(moody) as server:
        argv = ("score", "speech-ifeval", file, "--judge", server.url)
        found = result(*argv, "--items", tmp_path / "items.jsonl")
        asked = len(server.bodies)
        code, out, _ = cli(*argv)
        assert (code, len(server.bodies), asked) == (0, 5, 5)
    assert (found["follow_rate"], found["n"]) == (2 / 3, 3)
    assert (found["judged_now"], found["unjudged"]["n"]) == (2, 1)
    assert found["unjudged"]["verdicts"][0]["id"] == f"{file}:3"
    assert (found["judge"]["id"], len(found["judge"]["prompt_hash"])) == ("judge-1", 64)
    assert out.splitlines()[-1] == f"no verdict: {file}:3: no verdict can be read from the answer"
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [item["follow_all_instructions"] for item in items] == [True, False, None, True]


def test_dynamic_superb_is_judged_beside_the_rule(tmp_path, result, cli):
    said = {"a": "She is joking.", "b": "No.", "c": "yes", "d": " "}
    task = {"task": "SarcasmDetection_Mustard", "instruction": "Is it sarcasm?", "label": "yes"}
    lines = [{"id": key, **task, "response": response} for key, response in said.items()]
    file = write_lines(tmp_path / "own.jsonl", lines)

    def moody(prompt):
        if "She is joking." in prompt:
            return "That means yes.\nResult: YES"
        return "?" if "\nyes\n</response>" in prompt else "Result: NO"

    with judging(moody) as server:
        argv = ("score", "dynamic-superb", file, "--judge", server.url)
        found = result(*argv, "--items", tmp_path / "items.jsonl")
        asked = len(server.bodies)
        code, out, _ = cli(*argv)
        assert (code, len(server.bodies), asked) == (0, 5, 5)  # the blank is not asked, "c" three times
    assert (found["average"]["value"], found["n"]) == (1 / 4, 4)
    assert (found["judged"]["average"]["value"], found["judged"]["n"]) == (1 / 3, 3)
    reason = "no verdict can be read from the answer"
    assert found["unjudged"] == {"n": 1, "verdicts": [{"id": "c", "reason": reason, "answer": "?"}]}
    assert (found["judge"]["id"], len(found["judge"]["prompt_hash"])) == ("judge-1", 64)
    assert "desta2" in found["versions"] and found["date"]
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [(item["correct"], item["judged"]) for item in items] == [
        (False, True), (False, False), (True, None), (False, False)
    ]  # fmt: skip
    assert "by the judge, who gave 3 verdicts:" in out.splitlines()
    assert out.splitlines()[-1] == f"no verdict: c: {reason}"
    without = result("score", "dynamic-superb", file)
    assert without == {key: found[key] for key in ("average", "by_dimension", "by_task", "n", "missing")}


def test_transcripts_are_judged_beside_the_rule(tmp_path, result, cli):
    said = {"a": "I heard one two in it", "b": "one", "c": "?"}
    fields = {"task": "asr", "instruction": "What is said?", "label": "one two"}
    file = write_lines(tmp_path / "own.jsonl", [{"id": i, **fields, "response": r} for i, r in said.items()])

    def judge(prompt):
        if "I heard" in prompt:
            return "<transcript>one two</transcript>"
        return "<transcript>one</transcript>" if "\none\n" in prompt else "?"

    with judging(judge) as server:
        argv = ("score", "asr", file, "--judge", server.url)
        found = result(*argv, "--items", tmp_path / "items.jsonl")
        asked = len(server.bodies)
        code, out, _ = cli(*argv)
        assert (code, len(server.bodies), asked) == (0, 5, 5)  # "c" three times
    assert (found["wer"]["value"], found["n"]) == ((4 + 1 + 2) / 6, 3)
    assert (found["judged"]["wer"]["value"], found["judged"]["n"]) == (1 / 4, 2)
    assert [item["id"] for item in found["unjudged"]["verdicts"]] == ["c"]
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [(i["transcript"], i["judged"]) for i in items] == [
        ("I heard one two in it", "one two"), ("one", "one"), ("?", None)
    ]  # fmt: skip
    assert "in the transcripts by the judge, who gave 2:" in out.splitlines()
    assert result("score", "asr", file) == {key: found[key] for key in ("wer", "cer", "mean_wer", "n")}


def test_a_judge_of_labels_without_any_verdict_ends_the_run(tmp_path, cli):
    line = {"id": "a", "task": "SarcasmDetection_Mustard", "instruction": "?", "label": "yes"}
    file = write_lines(tmp_path / "own.jsonl", [line | {"response": "yes"}])
    with judging(lambda prompt: "Well.") as server:
        code, out, err = cli("score", "dynamic-superb", file, "--judge", server.url)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "error: the judge gave no verdict on any of 1 answers; the first, a: no verdict can be read from the "
        "answer: 'Well.'"
    )


def test_mistakes(tmp_path, mistake, cli):
    file = write_lines(tmp_path / "own.jsonl", answered(rows(1)))
    assert "nobody answers at http://127.0.0.1:9/v1/models" in mistake(
        "score", "air-bench-chat", file, "--judge", "http://127.0.0.1:9/v1"
    )
    assert "no judge is named: give its URL, folder or hub id with --judge" in mistake(
        "score", "air-bench-chat", file
    )
    with judging(lambda prompt: Raw(400, b"no")) as server:
        argv = ("score", "air-bench-chat", file, "--judge", server.url)
        assert "serves these models: judge-1; it has no 'gpt'" in mistake(*argv, "--judge-model", "gpt")
        assert mistake(*argv, "--data", tmp_path).endswith(
            "holds no Chat_meta.json; expected the folder Chat of AIR-Bench"
        )
        code, out, err = cli(*argv)
    assert (code, out) == (1, "")
    assert "error: the judge gave no usable verdict on any of 8 answers; the first, item" in err
    assert "no answer: refused with status 400: no" in err
