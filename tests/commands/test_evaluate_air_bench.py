"""From a system that hears to marks by a judge: both are real servers on this machine."""

import json

from air_bench import rows, shown, write_benchmark
from loopback_judge import judging
from loopback_llm import LoopbackLLM, chat
from superb import wav


def test_answers_are_asked_for_and_judged_later(tmp_path, result, cli):
    data = write_benchmark(tmp_path / "Chat", rows(1))
    for file in data.glob("*/*.wav"):
        file.write_bytes(wav(440))
    with LoopbackLLM(lambda body, number: chat("Mine.")) as server:
        argv = ("evaluate", "air-bench-chat", "-m", server.url, "--data", data, "-o", tmp_path / "out")
        found = result(*argv)
        assert cli(*argv)[1].startswith("8 answers need a judge: desta2 score air-bench-chat")
        kinds = [part["type"] for part in server.bodies[0]["messages"][-1]["content"]]
    assert (found["answered"], found["scores"]["unjudged"]["n"], kinds) == (8, 8, ["input_audio", "text"])

    def fair(prompt):
        return " ".join("9" if text == "Mine." else "8" for text in shown(prompt))

    with judging(fair) as judge:
        predictions = tmp_path / "out" / "predictions.jsonl"
        scores = result("score", "air-bench-chat", predictions, "--data", data, "--judge", judge.url)
    assert (scores["average"]["score"]["value"], scores["average"]["win_rate"]["value"]) == (9, 1)
    assert (scores["n"], scores["missing"]) == (8, 0)
    assert json.loads(predictions.read_text().splitlines()[0])["meta_info"].startswith("['Description")
