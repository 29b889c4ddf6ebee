"""The runner: shares, what is kept, what is refused, and kill -9 at random moments."""

import json
import multiprocessing
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from loopback_llm import LoopbackLLM, Raw, chat
from superb import wav, write_benchmark

from desta2.data.backends import Failure
from desta2.errors import InputError, RunError
from desta2.evaluate.benchmarks import BENCHMARKS, Options, evaluate, open_benchmark
from desta2.evaluate.runner import Run, Shard, answer
from desta2.evaluate.systems import EndpointSystem, Question
from desta2.records import Prediction, read_records

SUPERB = open_benchmark("dynamic-superb")


class Echo:
    """A system that says what it is asked, and fails where it is told to."""

    def __init__(self, name="echo", refuse=()):
        self.facts = {"kind": "echo", "id": name, "identity": name, "sampling": {"temperature": 0}}
        self.refuse, self.asked = refuse, []

    def answer(self, questions):
        for question in questions:
            self.asked.append(question.id)
            failed = question.id in self.refuse
            yield question, Failure("too hard") if failed else str(question.messages[-1]["content"])


def some(count):
    return (
        Question(
            f"q{i}",
            [{"role": "user", "content": f"{i}?"}],
            {"task": "t", "instruction": f"{i}?", "label": "1", "clip": f"c{i}", "odd": [i, None]},
        )
        for i in range(count)
    )


def run(folder, **options):
    return Run("mine", folder, folder / "out", **options)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_predictions_hold_what_scoring_needs(tmp_path):
    assert answer(run(tmp_path), some(3), Echo()) == 3
    folder = tmp_path / "out"
    assert lines(folder / "predictions.jsonl")[1] == {
        "id": "q1", "task": "t", "instruction": "1?", "response": "1?", "label": "1", "clip": "c1", "odd": [1, None],
    }  # fmt: skip
    facts = json.loads((folder / "run.json").read_text())
    assert facts["benchmark"] == "mine"
    assert facts["system"] == Echo().facts
    assert {"desta2", "python", "torch", "transformers"} <= facts["versions"].keys()
    assert facts["date"].endswith("+00:00")
    assert {path.name for path in folder.iterdir()} == {"predictions.jsonl", "run.json", "settings.json"}


def test_a_finished_run_asks_nothing(tmp_path):
    answer(run(tmp_path), some(3), Echo())
    again = Echo()
    assert answer(run(tmp_path), some(3), again) == 0
    assert again.asked == []
    assert answer(run(tmp_path), some(5), again) == 2
    assert again.asked == ["q3", "q4"]


def test_a_folder_is_of_one_system_and_setting(tmp_path):
    answer(run(tmp_path), some(3), Echo())
    for other, message in (
        ((run(tmp_path), Echo("other")), "identity was 'echo' and is 'other'"),
        ((run(tmp_path, system_prompt="Be brief."), Echo()), "system_prompt was None and is 'Be brief.'"),
        ((run(tmp_path, shard=Shard(1, 2)), Echo()), "shards was 1 and is 2"),
    ):
        with pytest.raises(InputError, match=message):
            answer(other[0], some(3), other[1])


def test_the_system_prompt_stands_before_every_question(tmp_path):
    class Show(Echo):
        def answer(self, questions):
            return ((question, str(question.messages)) for question in questions)

    answer(run(tmp_path, system_prompt="Be brief."), some(1), Show())
    [found] = lines(tmp_path / "out" / "predictions.jsonl")
    assert found["response"] == str(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "0?"}]
    )


def test_questions_without_answer(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(RunError) as caught:
        answer(run(tmp_path), some(4), Echo(refuse={"q1", "q2"}))
    assert str(caught.value) == (
        f"2 questions got no answer, {folder}/predictions.failed.jsonl tells why; what is answered is kept: run "
        "again to ask the others again, or with --accept-failures to count them as wrong"
    )
    assert [line["id"] for line in lines(folder / "predictions.failed.jsonl")] == ["q1", "q2"]
    assert not (folder / "predictions.jsonl").exists()
    again = Echo(refuse={"q2"})
    answer(run(tmp_path, accept_failures=True), some(4), again)
    assert again.asked == ["q1", "q2"]
    found = {line["id"]: line for line in lines(folder / "predictions.jsonl")}
    assert [found[f"q{i}"]["response"] for i in range(4)] == ["0?", "1?", "", "3?"]
    assert found["q2"]["failed"] == "too hard"
    assert "failed" not in found["q1"]


def test_ids_are_unique(tmp_path):
    def twice():
        yield from some(2)
        yield from some(1)

    with pytest.raises(InputError) as caught:
        answer(run(tmp_path), twice(), Echo())
    assert str(caught.value) == f"questions 1 and 3 of {tmp_path} both have the id 'q0'; ids must be unique"


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shares_are_all_questions_once(tmp_path, count):
    for number in range(count, 0, -1):
        mine = run(tmp_path, shard=Shard(number, count))
        answer(mine, some(5), Echo())
        assert mine.missing() == [f"{other}/{count}" for other in range(1, number)]
    found = [prediction.id for prediction in mine.predictions()]
    assert sorted(found) == [f"q{i}" for i in range(5)]
    assert [line["id"] for line in lines(tmp_path / "out" / "predictions" / "part-00001.jsonl")] == [
        f"q{i}" for i in range(1, 5, count)
    ]


def test_shares_by_name():
    assert Shard.of("2/8") == Shard(2, 8)
    for wrong in ("0/2", "3/2", "2", "a/b", "-1/2", "1/0", "1/2/3", ""):
        with pytest.raises(InputError) as caught:
            Shard.of(wrong)
        assert str(caught.value) == f"given the shard {wrong!r}, expected one from 1/N to N/N, such as 2/8"


def test_a_benchmark_is_scored_when_no_share_is_missing(tmp_path):
    data = write_benchmark(tmp_path / "data", 2)

    def yes(body, number):
        return chat("Yes.")

    with LoopbackLLM(yes) as server:
        for number in (1, 2):
            mine = Run("dynamic-superb", data, tmp_path / "out", Shard(number, 2))
            result = evaluate(mine, SUPERB, EndpointSystem(server.url))
            if number == 1:
                assert result == {"answered": 4, "missing": ["2/2"]}
                assert not (tmp_path / "out" / "scores.json").exists()
    assert result["answered"] == 4
    assert result["scores"]["by_dimension"]["content"]["value"] == 1
    assert result["scores"]["by_dimension"]["speaker"]["value"] == 0
    assert result["scores"]["average"]["value"] == pytest.approx(2 / 3)
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert result["results"] == str(tmp_path / "out" / "scores.json")
    assert written["scores"] == result["scores"]
    assert (written["judge"], written["n"]) == (None, 8)
    assert written["system"]["identity"] == "tiny"
    assert written["system"]["sampling"]["temperature"] == 0
    assert {"benchmark", "data", "date", "scored", "versions"} <= written.keys()


def test_benchmarks_by_name():
    assert set(BENCHMARKS) >= {"dynamic-superb", "speech-ifeval"}
    with pytest.raises(InputError) as caught:
        open_benchmark("dynamic-super")
    assert str(caught.value).startswith(
        "unknown benchmark 'dynamic-super' (did you mean 'dynamic-superb'?); known: nano, forgetting, "
    )
    with pytest.raises(
        InputError, match="--tasks has no effect on the benchmark speech-ifeval: leave it out"
    ):
        open_benchmark("speech-ifeval", Options(tasks=Path("t.yaml")))


# kill -9

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["loopback_llm", "desta2.evaluate.dynamic_superb.benchmark", "desta2.model.messages", "soundfile"]
)


def evaluate_by_url(url, data, out):
    """For other processes."""
    mine = Run("dynamic-superb", data, out)
    evaluate(mine, open_benchmark("dynamic-superb"), EndpointSystem(url, concurrency=4))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server")
def test_kill_9_loses_nothing_and_repeats_little(tmp_path):
    data, items = tmp_path / "data", 40
    data.mkdir()
    (data / "a.wav").write_bytes(wav(300))
    for task, label in (("SarcasmDetection_Mustard", "yes"), ("SpeechDetection_LJSpeech", "no")):
        rows = [{"audio": "a.wav", "instruction": f"{task} {i}?", "label": label} for i in range(items)]
        (data / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def slow(body, number):
        text = body["messages"][0]["content"][-1]["text"]
        return Raw(body=chat(f"yes: {text}").body, delay=random.random() * 0.02)

    out, kills = tmp_path / "out", 0
    with LoopbackLLM(slow) as server:
        for attempt in range(8):
            process = PROCESSES.Process(target=evaluate_by_url, args=(server.url, data, out))
            process.start()
            if attempt < 3:
                until, patience = len(server.bodies) + random.randint(5, 25), time.monotonic() + 20
                while len(server.bodies) < until and process.is_alive() and time.monotonic() < patience:
                    time.sleep(0.005)
                process.kill()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            kills += process.exitcode != 0
            if process.exitcode == 0:
                break
    found = {item.id: item for item in read_records(out / "predictions.jsonl", Prediction)}
    assert len(found) == 2 * items
    for item in found.values():
        assert item.response == f"yes: {item.instruction}"
    assert kills >= 2
    assert len(server.bodies) <= 2 * items + 4 * kills, "only what was in flight is asked again"
    scores = json.loads((out / "scores.json").read_text())["scores"]
    assert scores["by_task"]["SarcasmDetection_Mustard"]["value"] == 1
    assert scores["average"]["n"] == 2 * items
