"""The benchmark of reliance on the words: its pure parts, and once the whole at a size that says nothing."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from desta2.nano.grammar import draw_sentence
from desta2.nano.language import ASPECT
from desta2.records import Clip, Prediction
from desta2.train.config import DataConfig
from desta2.train.disturb import shares_words

SCRIPT = Path(__file__).parents[2] / "bench" / "words_and_voice.py"
SAYS = {
    "low": "the dog slept today",
    "medium": "the dog slept near the river",
    "high": "the dog found the book",
}


@pytest.fixture
def runs(monkeypatch):
    """The module that does the work."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("words_and_voice_runs")


@pytest.fixture
def script(monkeypatch):
    """The command."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module("words_and_voice")


def clip(number, pitch, text):
    attributes = {} if pitch is None else {"pitch": pitch.capitalize()}
    return Clip(id=f"{number}", audio="a.wav", text=text, speaker=f"s{number % 7}", attributes=attributes)


def answered(runs, answer, words="given"):
    """Seven speakers say the words of each pitch in each; `answer(pitch, suggested)` is what a model says."""
    from desta2.evaluate.tasks import nano_items

    rows = [(pitch, belongs) for pitch in SAYS for belongs in SAYS] * 7
    clips = [clip(number, pitch, SAYS[belongs]) for number, (pitch, belongs) in enumerate(rows)]
    items = [item for item in nano_items(clips) if item.task == "attribute/pitch"]
    return [
        runs.prediction_of(one, item, words, f"The pitch is {answer(*row)}.")
        for one, item, row in zip(clips, items, rows, strict=True)
    ]


def test_the_end_of_a_sentence_suggests_a_pitch(runs):
    assert {pitch: runs.suggested(text) for pitch, text in SAYS.items()} == {name: name for name in SAYS}
    assert runs.suggested("please open the red window behind the market") == "medium"
    rng = Random(0)
    drawn = [runs.suggested(draw_sentence(rng)) for _ in range(600)]
    assert all(drawn.count(pitch) > 150 for pitch in SAYS), "each about as often"


def test_words_go_with_the_voice_in_what_is_chosen(runs):
    rows = [(pitch, belongs) for pitch in SAYS for belongs in SAYS] * 100
    clips = [clip(number, pitch, SAYS[belongs]) for number, (pitch, belongs) in enumerate(rows)]
    clips.append(clip(len(clips), None, SAYS["low"]))
    chosen = runs.chosen(clips)
    agreeing = [one for one in chosen if runs.suggested(one.text) == runs.pitch_of(one)]
    assert len(agreeing) == 300, "all of them"
    assert len(agreeing) / len(chosen) == pytest.approx(runs.AGREEING, abs=0.002)
    assert len({one.id for one in chosen}) == len(chosen)


def test_settings_are_keys_of_training_and_differ(runs):
    made = {name: DataConfig(train=["pairs"], **keys) for name, keys in runs.SETTINGS.items()}
    rates = {(one.transcript_dropout, one.transcript_mismatch) for one in made.values()}
    assert rates == {(0, 0), (0.3, 0), (0, 0.3), (0.3, 0.3)}
    assert made["plain"] == DataConfig(train=["pairs"])


def test_answers_about_pitch_repeat_no_words_so_that_mismatch_applies():
    rng = Random(1)
    sentences = [draw_sentence(rng) for _ in range(500)]
    for option in (*ASPECT["pitch"].options, None):
        assert not any(shares_words(ASPECT["pitch"].say(option), sentence) for sentence in sentences)


@pytest.mark.parametrize(
    ("answer", "agree", "disagree", "follow"),
    [
        (lambda pitch, suggested: pitch, 1, 1, 0),
        (lambda pitch, suggested: suggested, 1, 0, 1),
        (lambda pitch, suggested: "low", 1 / 3, 1 / 3, 1 / 3),
        (lambda pitch, suggested: "not clear", 0, 0, 0),
        (lambda pitch, suggested: pitch if suggested == "low" else suggested, 1, 1 / 3, 2 / 3),
    ],
    ids=["voice", "words", "always low", "unknown", "half"],
)
def test_scores(runs, answer, agree, disagree, follow):
    found = runs.scores(answered(runs, answer))
    assert found["agree"]["value"] == pytest.approx(agree)
    assert found["disagree"]["value"] == pytest.approx(disagree)
    assert found["gap"]["value"] == pytest.approx(agree - disagree)
    assert found["follow"]["value"] == pytest.approx(follow)
    assert [found[name]["n"] for name in ("agree", "disagree", "all")] == [21, 42, 63]
    assert all(one["low"] - 1e-9 <= one["value"] <= one["high"] + 1e-9 for one in found.values())


def test_each_pitch_counts_alike(runs):
    given = answered(runs, lambda pitch, suggested: pitch if pitch == "low" else "not clear")
    more = [one.model_copy(update={"id": f"{one.id}+"}) for one in given if one.label == "low"]
    found = runs.scores(given + more)
    assert found["agree"]["value"] == found["disagree"]["value"] == pytest.approx(1 / 3)


def test_too_few_clips_are_named(runs):
    given = answered(runs, lambda pitch, suggested: pitch)
    few = [one for one in given if one.label != "high" or one.model_extra["suggested"] != "high"]
    with pytest.raises(SystemExit, match=r"hold only high disagrees, low agrees, .*: give more --test-clips"):
        runs.scores(few)


def test_answers_are_told_apart_by_what_was_given(runs):
    given = answered(runs, lambda pitch, suggested: pitch)
    withheld = answered(runs, lambda pitch, suggested: suggested, "withheld")
    assert runs.those([*given, *withheld], "withheld") == withheld
    assert not {one.id for one in given} & {one.id for one in withheld}
    assert all(isinstance(one, Prediction) for one in given)


def test_table(runs, script):
    found = runs.scores(answered(runs, lambda pitch, suggested: suggested))
    result = {"pairs": 90, "steps": 5, "seeds": 2, "settings": {"plain": {"given": found}}}
    first, _, heads, rule, row = script.table(result).splitlines()
    assert first == "90 pairs, 5 steps, 2 runs of each"
    assert "| agree, n = 21 | disagree, n = 42 | gap | follow, n = 42 | all, n = 63 |" in heads
    assert heads.count("|") == rule.count("|") == row.count("|")
    assert row.startswith("| plain | given | 100.0 [")
    assert "| 100.0 [100.0 … 100.0] |" in row


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_runs_and_goes_on(tmp_path):
    pytest.importorskip("espeakng_loader", reason="needs the extra 'synth'")
    argv = [sys.executable, SCRIPT, "--clips", "60", "--test-clips", "100", "--steps", "2", "--json"]
    results = []
    for _ in range(2):
        ran = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        results.append(json.loads(ran.stdout))
    first, again = results
    assert first["settings"].keys() == {"plain", "dropout", "mismatch", "both"}
    assert again["settings"] == first["settings"]
    logs = tmp_path.glob("words-and-voice/*/log.jsonl")
    assert len(list(logs)) == 4
