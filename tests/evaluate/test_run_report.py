"""Pages of runs: escaped, self-contained, with bars, intervals and players that a parser finds."""

import base64
import io
import json
import re

import numpy as np
import pytest
import soundfile
from answers import superb
from page import EVIL, Page
from superb import wav

from desta2.data.audio import write_wav
from desta2.errors import InputError
from desta2.evaluate.examples import apart, find_clips, worst
from desta2.evaluate.pages import sound
from desta2.evaluate.rows import Entry, Row
from desta2.evaluate.run_report import write_run_report, write_versus_report
from desta2.evaluate.stored import JUDGED, read_stored
from desta2.evaluate.versus import compare_runs


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run_of_asr(folder, answers, system=EVIL):
    """A finished run of asr on clips that are there, one second each."""
    clips = []
    for number, text in enumerate(["hello fox", f"hello {EVIL}", "good dog"]):
        path = folder.parent / "data" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(300 + number, 1.0))
        clips.append({"id": f"c{number}", "audio": path.name, "text": text, "speaker": f"s{number}"})
    write_lines(folder.parent / "data" / "clips.jsonl", clips)
    write_lines(
        folder / "predictions.jsonl",
        [
            {
                "id": c["id"],
                "task": "asr",
                "instruction": f"Write {EVIL}",
                "label": c["text"],
                "response": said,
            }
            | {"audio": c["audio"], "speaker": c["speaker"]}
            for c, said in zip(clips, answers, strict=True)
        ],
    )
    facts = {
        "benchmark": "asr",
        "data": str(folder.parent / "data"),
        "system": {"id": system, "kind": "model"},
    }
    facts |= {"system_prompt": EVIL, "date": "2026-11-22T00:00:00+00:00", "versions": {"desta2": "1"}}
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "settings.json").write_text(json.dumps({"shards": 1}))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def one(folder):
    return run_of_asr(folder / "one", ["hello fox", f"low {EVIL}", ""])


@pytest.fixture(scope="module")
def page(one):
    return Page(write_run_report(read_stored(one), one / "report.html").read_text())


@pytest.fixture(scope="module")
def versus(folder, one):
    other = run_of_asr(folder / "two", ["hello box", f"hello {EVIL}", "good dog"], "plain")
    found = compare_runs(read_stored(one), read_stored(other))
    return Page(write_versus_report(found, folder / "new" / "versus.html").read_text())


@pytest.fixture(params=["page", "versus"])
def any_page(request):
    return request.getfixturevalue(request.param)


def test_pages_refer_to_nothing_outside_themselves(any_page):
    for tag, attrs in any_page.elements:
        assert tag not in ("script", "link", "iframe", "img", "image", "object", "base")
        for key, value in attrs.items():
            if key in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                assert value.startswith(("data:audio/wav;base64,", "#"))
            assert not key.startswith("on")
    policy = next(meta["content"] for meta in any_page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none';")


def test_hostile_text_stays_text(any_page):
    for text in (f"Write {EVIL}", f"hello {EVIL}", f"low {EVIL}"):
        assert text in any_page.words
    assert f"system: id {EVIL}" in " ".join(any_page.words.split())
    assert f"system prompt {EVIL}" in " ".join(any_page.words.split())


def test_page_of_a_run(page):
    words = " ".join(page.words.split())
    assert "3 answers of" in words
    assert "2026-11-22T00:00:00+00:00" in words
    assert re.search(r"word error rate [0-9.]+ % \[[0-9.]+, [0-9.]+\], n = 3", words)
    assert "no verdict" not in words
    assert "versions: desta2 1" in words
    (plot,) = page.all("svg")
    assert plot["aria-label"].startswith("Bars with 95 % intervals. word error rate: ")
    players = page.all("audio")
    assert len(players) == 2, "the right answer is no example"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(players[0]["src"].partition(",")[2])))
    assert (len(samples), rate) == (16000, 16000)
    assert "(empty)" in words
    assert len(page.all("caption")) == len(page.all("table"))


def test_page_of_two_systems(versus):
    words = " ".join(versus.words.split())
    assert "within noise" in words
    assert "Where the first is better" in words
    assert "Where the second is better" in words
    assert words.index("Where the first is better") < words.index("first: 0.00 % hello fox")
    assert words.index("Where the second is better") < words.index("second: 0.00 % good dog")
    assert len(versus.all("audio")) == 3
    (plot,) = versus.all("svg")
    assert "interval" in plot["aria-label"]


def test_clips_that_are_gone_are_said(tmp_path, caplog):
    run = run_of_asr(tmp_path / "run", ["a", "b", "c"])
    (tmp_path / "data" / "0.wav").write_bytes(b"no audio")
    page = Page(write_run_report(read_stored(run), tmp_path / "r.html").read_text())
    assert len(page.all("audio")) == 2
    assert "The clip cannot be played: " in page.words
    (tmp_path / "data" / "clips.jsonl").unlink()
    page = Page(write_run_report(read_stored(run), tmp_path / "r.html").read_text())
    assert not page.all("audio")
    assert page.words.count("The clip is not where the run found it") == 3
    assert "the report has not all clips" in caplog.text


def test_files_of_predictions_have_clips_too(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(300))
    lines = [{**line, "response": "No.", "audio": str(tmp_path / "a.wav")} for line in superb(0, n=1)]
    path = write_lines(tmp_path / "p.jsonl", lines)
    stored = read_stored(path, "dynamic-superb")
    assert find_clips(stored, [lines[0]["id"]]) == {lines[0]["id"]: [str(tmp_path / "a.wav")]}
    page = Page(write_run_report(stored, tmp_path / "r.html").read_text())
    assert len(page.all("audio")) == 3


def test_long_clips_are_cut(tmp_path):
    write_wav(tmp_path / "long.wav", np.zeros(16000 * 30, dtype=np.float32))
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(sound(tmp_path / "long.wav", 20))))
    assert len(samples) == 16000 * 20


def test_the_worst_of_each_part_in_turn():
    def row(name, level, values, kind="error"):
        entries = [Entry(f"{name}{i}", value, "c") for i, value in enumerate(values)]
        return Row(name, level, kind, entries)

    good, bad = row("good", 1, [0, 0, 0.5]), row("bad", 1, [1, 0, 3, 2])
    table = [row("all", 0, [9]), good, bad]
    assert [entry.id for _, entry in worst(table, 9)] == ["bad2", "good2", "bad3", "bad0"]
    assert [entry.id for _, entry in worst(table, 2)] == ["bad2", "good2"]
    mark = row("mark", 0, [10, 2, 9], "mark")
    assert [entry.id for _, entry in worst([mark], 9)] == ["mark1", "mark2"]
    other = row("bad", 0, [1, 1, 3, 4])
    assert [entry.id for _, entry in apart([(bad, other)], 9)] == ["bad3", "bad1"]
    assert [entry.id for _, entry in apart([(other, bad)], 9)] == []


def test_runs_are_read_with_their_verdicts(tmp_path):
    run = run_of_asr(tmp_path / "run", ["a", "b", "c"])
    lines = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    write_lines(run / JUDGED, [{**line, "judge": {"id": "j", "prompt_hash": "h"}} for line in lines])
    assert read_stored(run).judges == [{"id": "j", "prompt_hash": "h"}]
    write_lines(run / JUDGED, [{**line, "response": "else"} for line in lines])
    with pytest.raises(InputError, match=r"judged\.jsonl holds other answers than the run: judge its pred"):
        read_stored(run)
    (run / JUDGED).unlink()
    with pytest.raises(InputError, match="is a run of asr, not of nano: leave --benchmark out"):
        read_stored(run, "nano")
    (run / "settings.json").write_text(json.dumps({"shards": 2}))
    with pytest.raises(InputError, match="is not finished: give its command again, of every share"):
        read_stored(run)
    with pytest.raises(InputError, match="is no folder of a finished 'desta2 evaluate'; for a file"):
        read_stored(tmp_path)
