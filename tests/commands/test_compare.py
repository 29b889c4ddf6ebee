"""The verbs evaluate compare and evaluate report, on runs against real servers."""

import json
import re

import pytest
from air_bench import rows, shown
from air_bench import write_benchmark as write_chat
from loopback_judge import judging
from loopback_llm import LoopbackLLM, chat
from superb import wav, write_benchmark


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_benchmark(tmp_path_factory.mktemp("superb"), 6)


def run(result, folder, data, say, benchmark="dynamic-superb"):
    with LoopbackLLM(lambda body, number: chat(say)) as server:
        return result("evaluate", benchmark, "-m", server.url, "--data", data, "-o", folder)


def test_two_runs(tmp_path, data, result, cli, mistake):
    one, other = tmp_path / "one", tmp_path / "two"
    made = run(result, one, data, "Yes.")
    assert made["report"] == str(one / "report.html")
    html = (one / "report.html").read_text()
    assert html.count("<audio") == 12, "six wrong answers about two clips each"
    assert "<svg" in html
    run(result, other, data, "no, or yes")

    found = result("evaluate", "compare", one, other, "--report", tmp_path / "versus.html")
    assert (found["benchmark"], found["n"], found["only_first"]) == (
        "dynamic-superb",
        24,
        {"n": 0, "ids": []},
    )
    top, *parts = found["rows"]
    assert (top["name"], top["n"]) == ("average over 3 tasks", 18)
    assert top["first"]["value"] == pytest.approx(2 / 3)
    assert top["second"]["value"] == 1
    assert top["difference"] == pytest.approx(-1 / 3)
    assert (top["better"], top["within_noise"]) == ("second", False)
    assert {row["name"]: row["better"] for row in parts}["SpeakerVerification_VCTK"] == "second"
    assert {row["name"]: row["better"] for row in parts}["SpeechDetection_LJSpeech"] is None
    assert "Where the second is better" in (tmp_path / "versus.html").read_text()

    code, out, _ = cli("evaluate", "compare", one, other)
    assert code == 0
    assert re.search(r"^average over 3 tasks .* second is better$", out, re.MULTILINE)
    assert re.search(r"^    SpeechDetection_LJSpeech .* within noise$", out, re.MULTILINE)
    code, out, _ = cli("evaluate", "compare", one, one)
    assert "better" not in out

    files = [folder / "predictions.jsonl" for folder in (one, other)]
    again = result("evaluate", "compare", *files, "--benchmark", "dynamic-superb")
    assert again["rows"] == found["rows"]
    assert "say with --benchmark" in mistake("evaluate", "compare", *files)
    assert result("evaluate", "report", one) == {"report": str(one / "report.html")}
    assert "is a file: say with -o" in mistake(
        "evaluate", "report", files[0], "--benchmark", "dynamic-superb"
    )


def test_items_that_one_system_lacks(tmp_path, data, result, mistake):
    one = tmp_path / "one"
    run(result, one, data, "Yes.")
    lines = (one / "predictions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "some.jsonl").write_text("".join(lines[3:]))
    argv = ("evaluate", "compare", one, tmp_path / "some.jsonl")
    assert "is no folder of a finished" in mistake(*argv)
    argv = ("evaluate", "compare", one / "predictions.jsonl", tmp_path / "some.jsonl")
    argv += ("--benchmark", "dynamic-superb")
    assert "3 only by" in mistake(*argv)
    found = result(*argv, "--common")
    assert (found["n"], found["only_first"]["n"]) == (21, 3)
    assert found["only_first"]["ids"] == sorted(json.loads(line)["id"] for line in lines[:3])


def test_marks_of_a_judge(tmp_path, result, cli, mistake):
    data = write_chat(tmp_path / "Chat", rows(4))
    for file in data.glob("*/*.wav"):
        file.write_bytes(wav(440))
    folders = [tmp_path / "good", tmp_path / "bad"]
    for folder, say in zip(folders, ("Good.", "Bad."), strict=True):
        run(result, folder, data, say, "air-bench-chat")
    assert "32 answers have no verdict of a judge" in (folders[0] / "report.html").read_text()
    line = mistake("evaluate", "compare", *folders)
    assert (
        f"have them judged: desta2 score air-bench-chat PREDICTIONS --judge URL --items {folders[0]}" in line
    )

    marks = {"Good.": 9, "Bad.": 3}
    with judging(lambda prompt: " ".join(str(marks.get(text, 6)) for text in shown(prompt))) as judge:
        for folder in folders:
            argv = ("score", "air-bench-chat", folder / "predictions.jsonl", "--judge", judge.url)
            scores = result(*argv, "--items", folder / "judged.jsonl")
    found = result("evaluate", "compare", *folders)
    assert found["warnings"] == []
    top = found["rows"][0]
    assert (top["name"], top["kind"], top["better"]) == ("average", "mark", "first")
    assert top["difference"] == pytest.approx(6)
    assert top["second"] == scores["average"]["score"]
    assert cli("evaluate", "report", folders[1])[0] == 0
    html = (folders[1] / "report.html").read_text()
    assert "judge: prompt hash" in html
    assert html.count("<audio") == 12


def test_help(cli):
    code, out, _ = cli("evaluate", "compare", "--help")
    assert code == 0
    assert "desta2 evaluate compare" in out
    assert "Example: desta2 evaluate compare" in out
    assert "Example: desta2 evaluate report" in cli("evaluate", "report", "-h")[1]
    out = cli("evaluate", "--help")[1]
    assert "BENCHMARK" in out
    assert "desta2 evaluate compare A B" in " ".join(out.split())


def test_mistakes(tmp_path, mistake):
    assert "see 'desta2 evaluate compare --help'" in mistake("evaluate", "compare")
    assert "unknown benchmark 'compar'" in mistake("evaluate", "compar")
    assert "is no folder of a finished" in mistake("evaluate", "compare", tmp_path, tmp_path)
