"""The steps of a run: what they are told, and that each is done once."""

import json

import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer

from desta2.model.transcribe import transcribe
from desta2.nano.recipe import adapter_config
from desta2.nano.study import work
from desta2.nano.study.data import Bases, silent_whisper
from desta2.nano.study.plan import BASE, SCALES, plan_runs
from desta2.nano.study.work import RunTask, Setup, once, run_folder, train_config

RUNS = {run.name: run for run in plan_runs(SCALES["full"], 2)}


def setup_in(folder, **bases):
    return Setup(folder, SCALES["full"], Bases(**bases))


def test_what_is_written_is_not_done_again(tmp_path):
    path, calls = tmp_path / "deep" / "found.json", []

    def work_():
        calls.append(1)
        return {"n": len(calls)}

    once(path, work_)
    once(path, work_)
    found = json.loads(path.read_text())
    assert found.keys() == {"n", "seconds"}
    assert (found["n"], calls) == (1, [1])
    assert [file.name for file in path.parent.iterdir()] == ["found.json"]


def test_the_base_is_the_recipe(tmp_path):
    setup, run = setup_in(tmp_path, llm="an-llm"), RUNS["base-2"]
    config = train_config(setup, run)
    pairs = [tmp_path / "data" / f"{part:03d}" / "self" for part in run.parts]
    recipe = adapter_config(pairs, tmp_path / "runs" / "base-2", run.steps, 2)
    assert config.model == recipe.model.model_copy(update={"llm": "an-llm"})
    assert config.data == recipe.data.model_copy(update={"cache_dir": tmp_path / "taps"})
    assert config.run == recipe.run


def test_variants_change_what_they_say(tmp_path):
    setup = setup_in(tmp_path)

    def changed(name, section):
        base = getattr(train_config(setup, RUNS[f"{BASE}-1"]), section).model_dump()
        own = getattr(train_config(setup, RUNS[name]), section).model_dump()
        return {key: value for key, value in own.items() if value != base[key]}

    assert changed("tap-deep-1", "model") == {"tap_layers": [2]}
    assert changed("queries-4-1", "model") == {"n_queries": 4}
    assert changed("transcript-dropout-1", "data") == {"transcript_dropout": 0.3}
    assert changed("captions-1", "data").keys() == {"train"}
    assert changed("data-most-1", "run").keys() == {"output", "max_steps"}
    assert changed("captions-1", "run").keys() == {"output"}


def test_a_silent_whisper_hears_the_same_and_writes_nothing(tmp_path, bases):
    folder = silent_whisper(tmp_path, str(bases / "whisper"))
    assert silent_whisper(tmp_path, str(bases / "whisper")) == folder
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    silent = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    talking = WhisperForConditionalGeneration.from_pretrained(bases / "whisper").eval()
    torch.manual_seed(0)
    features = torch.randn(2, 20, 100)  # (clips, mels, frames)
    with torch.no_grad():
        heard, same = (model.get_encoder()(features).last_hidden_state for model in (silent, talking))
    assert torch.equal(heard, same)
    assert all(transcribe(talking, tokenizer, heard, 8))
    assert transcribe(silent, tokenizer, heard, 8) == ["", ""]


def test_answers_that_no_adapter_has_a_part_in_are_taken_over(tmp_path, monkeypatch):
    setup, asked = setup_in(tmp_path), []

    def evaluate_nano(model, folder, data):
        target = folder / "predictions"
        asked.append(sorted(path.name for path in target.iterdir()) if target.exists() else [])
        return {}

    monkeypatch.setattr("desta2.evaluate.nano.evaluate_nano", evaluate_nano)
    monkeypatch.setattr(work.data, "make_test", lambda study, clips: study / "test")
    base = run_folder(tmp_path, RUNS["base-1"])
    work._evaluate(setup, RUNS["captions-1"])
    (base / "evaluation" / "predictions").mkdir(parents=True)
    for name in ("speech", "cascade", "topline", "transcripts"):
        (base / "evaluation" / "predictions" / f"{name}.jsonl").write_text(name)
    work._evaluate(setup, RUNS["captions-1"])  # the base is not finished
    (base / work.SCORES).write_text("{}")
    for name in ("captions-1", "no-transcript-1", "base-2"):
        work._evaluate(setup, RUNS[name])
    shared = ["cascade.jsonl", "topline.jsonl", "transcripts.jsonl"]
    assert asked == [[], [], shared, ["topline.jsonl"], []]
    taken = run_folder(tmp_path, RUNS["captions-1"]) / "evaluation" / "predictions" / "cascade.jsonl"
    taken.write_text("its own")
    work._evaluate(setup, RUNS["captions-1"])
    assert taken.read_text() == "its own", "what is there stays"


def test_a_run_is_done_when_everything_is_there(tmp_path):
    setup = setup_in(tmp_path)
    wanted = {
        "base-1": ["trained.json", "scores.json", "dominance.json", "forgetting.json"],
        "captions-1": ["trained.json", "scores.json", "forgetting.json"],
        "taps": ["trained.json", "scores.json"],
    }
    for name, files in wanted.items():
        run = RUNS["tap-input-1" if name == "taps" else name]
        task, folder = RunTask(run), run_folder(tmp_path, run)
        assert task.files() == files
        folder.mkdir(parents=True)
        for file in files:
            assert not task.is_done(setup)
            (folder / file).write_text("{}")
        assert task.is_done(setup)
