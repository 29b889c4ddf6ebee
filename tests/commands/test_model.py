"""The verbs train, features and chat."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from desta2.model import Desta2Model

QUESTION = "Is the voice loud?"


@pytest.fixture
def run_file(tmp_path, bases, clips):
    """A run of two steps on two pairs, with paths from where the command is run."""
    message = {"role": "user", "content": "<|AUDIO|>\nWhat can you hear?"}
    rows = [
        {
            "id": str(i), "messages": [message | {"audios": [{"audio": clip, "text": "fox"}]}], "response": "A fox.",
            "seed": "-", "provenance": {"llm": "tiny", "prompt": "What can you hear?"},
        }
        for i, clip in enumerate(clips)
    ]  # fmt: skip
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "run.yaml").write_text(
        f"model: {{llm: {bases / 'llm'}, encoder: {bases / 'whisper'}, n_queries: 3, adapter_intermediate: 32}}\n"
        "data: {train: [pairs.jsonl]}\n"
        "run: {output: out, max_steps: 2, batch_size: 2, log_steps: 1}\n"
    )
    return tmp_path / "run.yaml"


# Train


def test_train(tmp_path, run_file, result, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert result("train", "run.yaml", "run.output=other", "run.max_steps=1") == {"model": "other/model"}
    assert len((tmp_path / "other" / "log.jsonl").read_text().splitlines()) == 1
    code, out, err = cli("train", "run.yaml")
    assert (code, out) == (0, "out/model: trained adapter\n")
    assert "training the adapter: 2/2 (100 %), done" in err
    assert "Loading weights" not in err, "bars of others between ours"
    assert Desta2Model.from_pretrained(tmp_path / "out" / "model").config.n_queries == 3


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["none.yaml"], "no config file at none.yaml"),
        (["run.yaml", "run.max_step=3"], "unknown key 'run.max_step' in override 'run.max_step=3'; did you mean 'run.max_steps'?"),
        (["run.yaml", "run.max_steps=many"], "wrong value for 'run.max_steps' in override 'run.max_steps=many'"),
        (["run.yaml", "max_steps"], "override 'max_steps': expected key=value, as in train.steps=100"),
        (["run.yaml", "data.train=[none.jsonl]"], "none.jsonl does not exist"),
        (["run.yaml", "model.llm=./none"], "the frozen model ./none"),
        (["run.yaml", "model.tap_layers=[9]"], "tap_layers is [9]; it must name layers from -1 (input of the first layer) to 3"),
        (["run.yaml", "model.adapter=none"], "none has no adapter.safetensors; is it a desta2 model folder?"),
        ([], "Missing argument 'CONFIG.yaml'; see 'desta2 train --help'"),
    ],
)  # fmt: skip
def test_mistakes_in_training(tmp_path, run_file, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    assert line in mistake("train", *argv)


# Features


def test_features(tmp_path, run_file, result, cli, mistake, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "data.cache_taps is false" in mistake("features", "run.yaml")
    first = result("features", "run.yaml", "data.cache_taps=true")
    assert {key: first[key] for key in ("clips", "heard", "folder")} == {
        "clips": 2, "heard": 2, "folder": "out/taps",
    }  # fmt: skip
    code, out, _ = cli("features", "run.yaml", "data.cache_taps=first_epoch")
    assert (code, out) == (0, "out/taps: 2 clips, 0 heard now, 0.00 GB\n")


# Chat


def test_chat(clips, model_folder, result, cli):
    model = Desta2Model.from_pretrained(model_folder)
    parts = [{"type": "audio", "audio": clip} for clip in clips]
    messages = [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]
    answer = model.chat(messages, max_new_tokens=5, do_sample=False)
    argv = ("chat", *clips, "-q", QUESTION, "-m", model_folder, "--max-new-tokens", 5)
    assert result(*argv) == {"text": answer.text, "transcripts": answer.transcripts}
    code, out, err = cli(*argv, "--transcript")
    assert (code, out) == (0, answer.text + "\n")
    assert err.splitlines() == [
        f"{clip}: {text}" for clip, text in zip(clips, answer.transcripts, strict=True)
    ]


def test_chat_in_the_fast_mode(clips, model_folder, result):
    model = Desta2Model.from_pretrained(model_folder, fast=True)
    parts = [{"type": "audio", "audio": clips[0]}, {"type": "text", "text": QUESTION}]
    answer = model.chat([{"role": "user", "content": parts}], max_new_tokens=24, do_sample=False)
    argv = ("chat", clips[0], "-q", QUESTION, "-m", model_folder, "--max-new-tokens", 24)
    quick = result(*argv, "--fast")
    assert quick == {"text": answer.text, "transcripts": answer.transcripts}
    assert quick != result(*argv), "random weights: roundings grow over 24 tokens"


def test_a_clip_of_any_length_is_heard(tmp_path, clips, model_folder, result):
    samples, _ = soundfile.read(clips[0], dtype="float32")
    soundfile.write(tmp_path / "long.wav", np.tile(samples, 5), 16000)
    argv = ("chat", tmp_path / "long.wav", "-q", QUESTION, "-m", model_folder, "--max-new-tokens", 4)
    [transcript] = result(*argv)["transcripts"]
    assert len(transcript.split(" ")) >= 3, "one text for each window of two seconds"
    assert result(*argv, "--language", "german").keys() == {"text", "transcripts"}


def test_answers_are_printed_as_they_come(clips, model_folder, cli, capsys, monkeypatch):
    printed = []

    def stream(self, messages, **options):
        for piece in ("A ", "fox", "."):
            yield piece
            printed.append(capsys.readouterr().out)

    monkeypatch.setattr(Desta2Model, "stream", stream)
    assert cli("chat", clips[0], "-q", QUESTION, "-m", model_folder)[:2] == (0, "\n")
    assert printed == ["A ", "fox", "."]


def test_sampled_chat_follows_its_seed(clips, model_folder, result):
    def ask(seed):
        options = ("--temperature", 9, "--seed", seed, "--max-new-tokens", 8)
        return result("chat", clips[0], "-q", QUESTION, "-m", model_folder, *options)["text"]

    assert ask(1) == ask(1) != ask(2)


def test_any_rate_and_number_of_channels_is_heard(tmp_path, clips, model_folder, result):
    samples, _ = soundfile.read(clips[1], dtype="float32")
    soundfile.write(tmp_path / "a.flac", [[x, x] for x in samples], 16000)
    argv = ("-q", QUESTION, "-m", model_folder, "--max-new-tokens", 4)
    assert result("chat", tmp_path / "a.flac", *argv)["text"] == result("chat", clips[1], *argv)["text"]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["none.wav", "-q", "?"], "none.wav: no such file; check the path"),
        ([".", "-q", "?"], "is a folder; give a file in it"),
        (["run.yaml", "-q", "?"], "run.yaml"),
        (["CLIP", "--json"], "--json needs a question: add -q 'What can you hear from the audio?'"),
        (["CLIP", "-q", "?", "-m", "./none"], "none"),
        (["CLIP", "-q", "?", "-m", "."], "has no adapter.safetensors and no config.json; is it a desta2 model folder?"),
        (["CLIP", "-q", "?", "--temperature", "-1"], "see 'desta2 chat --help'"),
        (["LONG", "-q", "?", "-m", "MODEL"], "the clip lasts 601.00 s, but this model takes clips of at most 600 s"),
        (["CLIP", "-q", "?", "-m", "MODEL", "--language", "klingon"], "language is 'klingon', but this Whisper knows: de, en"),
        (["-q", "?"], "Missing argument 'AUDIO...'; see 'desta2 chat --help'"),
    ],
)  # fmt: skip
def test_mistakes_in_chat(tmp_path, run_file, clips, model_folder, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    soundfile.write("long.wav", np.zeros(601 * 8000, "float32"), 8000)
    names = {"CLIP": clips[0], "LONG": "long.wav", "MODEL": model_folder}
    assert line in mistake("chat", *(names.get(word, word) for word in argv))


def test_interactive_chat_remembers(clips, model_folder):
    """A real process: questions on its stdin, answers alone on its stdout."""
    asked = ["Is the voice loud?", "Why?", "Who is it?"]
    script = Path(sys.executable).with_name("desta2")
    argv = [script, "chat", clips[0], "-m", model_folder, "--max-new-tokens", "6"]
    ran = subprocess.run(argv, input="\n".join(asked), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr

    model = Desta2Model.from_pretrained(model_folder)
    short = {"max_new_tokens": 6, "do_sample": False}
    history, answers = [], []
    for question in asked:
        sound = [] if history else [{"type": "audio", "audio": clips[0]}]
        history.append({"role": "user", "content": [*sound, {"type": "text", "text": question}]})
        answers.append(model.chat(history, **short).text)
        history.append({"role": "assistant", "content": answers[-1]})
    assert ran.stdout == "".join(f"{answer}\n" for answer in answers)
    assert ran.stderr == "Ask about the audio; an empty line or Ctrl-D ends the chat.\n"

    first = [{"type": "audio", "audio": clips[0]}, {"type": "text", "text": asked[1]}]
    assert model.chat([{"role": "user", "content": first}], **short).text != answers[1], "the history matters"


def test_an_empty_line_ends_the_chat(clips, model_folder, cli, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n \nnot asked any more\n"))
    code, out, _ = cli("chat", clips[0], "-m", model_folder, "--max-new-tokens", 3)
    model = Desta2Model.from_pretrained(model_folder)
    messages = [{"role": "audio", "content": clips[0]}, {"role": "user", "content": QUESTION}]
    assert (code, out) == (0, model.chat(messages, max_new_tokens=3, do_sample=False).text + "\n")
