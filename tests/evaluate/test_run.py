"""Running the nano benchmark: every system answers the same items, and a stopped run goes on where it was."""

import itertools
import json

import numpy as np
import pytest
import soundfile

from desta2.data.audio import load_audio
from desta2.data.seed import seed_clip
from desta2.errors import InputError
from desta2.evaluate import run
from desta2.evaluate.rules import SYSTEMS
from desta2.evaluate.run import run_nano
from desta2.evaluate.tasks import nano_items
from desta2.model.choose import log_likelihoods
from desta2.nano.language import ASPECT
from desta2.records import Clip, read_records

ATTRIBUTES = (
    {"gender": "Female", "pitch": "High", "duration": "1s"},
    {"gender": "Male", "pitch": "Low", "noise_level": "Noisy", "duration": "1s"},
    {"volume": "Loud", "gender": "Female"},
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Three annotated clips; the last is a part of a recording that is longer than the encoder's window."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    lines = []
    for i, attributes in enumerate(ATTRIBUTES):
        t = np.arange(16000 if i < 2 else 48000) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (200 + 250 * i) * t) + 0.02 * rng.standard_normal(len(t))
        soundfile.write(folder / f"{i}.wav", wave.astype("float32"), 16000)
        line = {
            "id": f"c{i}",
            "audio": f"{i}.wav",
            "duration": 1.0,
            "text": "hello fox",
            "speaker": f"s{i % 2}",
        }
        lines.append(line | {"attributes": attributes} | ({"start": 1.5, "end": 2.5} if i == 2 else {}))
    path = folder / "clips.annotated.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Two clips at a time and short answers."""
    monkeypatch.setattr(run, "_CLIPS", 2)
    monkeypatch.setattr(run, "MAX_NEW_TOKENS", 4)
    monkeypatch.setattr(run, "LONGEST", 4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, manifest, model):
    """What an undisturbed run writes: name → bytes."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_CLIPS", 2)
        patch.setattr(run, "MAX_NEW_TOKENS", 4)
        patch.setattr(run, "LONGEST", 4)
        run_nano(model, manifest, folder)
    return contents(folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl*")}


def test_every_system_answers_the_same_items(tmp_path, manifest, model):
    predictions = run_nano(model, manifest, tmp_path)
    items = {item.id: item for item in nano_items(read_records(manifest, Clip))}
    questions = {name for name, item in items.items() if item.task.startswith("attribute/")}
    heard_only = {name for name, item in items.items() if item.task.startswith(("describe/", "forced/"))}
    answered = {name: {item.id for item in predictions[name]} for name in SYSTEMS}
    assert heard_only
    assert answered == {"speech": set(items), "topline": set(items) - heard_only, "cascade": questions}
    for name in SYSTEMS:
        assert len(predictions[name]) == len(answered[name])
        for item in predictions[name]:
            asked = items[item.id]
            assert (item.task, item.instruction, item.label) == (asked.task, asked.instruction, asked.label)
            extra = item.model_extra
            assert (extra["clip"], extra["key"], extra["phrase"]) == (asked.clip, asked.key, asked.phrase)
            assert extra["speaker"] == f"s{int(asked.clip[1]) % 2}"
            assert item.audio == f"{asked.clip[1]}.wav"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cascade.jsonl", "speech.jsonl", "topline.jsonl", "transcripts.jsonl",
    ]  # fmt: skip


def test_what_each_system_is_given(tmp_path, manifest, model, monkeypatch):
    """Speech: the clip. Cascade: its transcript. Topline: the true seed transcript, and no sound."""
    predictions = run_nano(model, manifest, tmp_path)
    short = {"max_new_tokens": 4, "do_sample": False}
    for clip in read_records(manifest, Clip):
        samples = load_audio(manifest.parent / clip.audio, start=clip.start, end=clip.end)
        seed = seed_clip(clip).seed
        parts = {
            "speech": {"type": "audio", "audio": samples},
            "cascade": {"type": "audio", "audio": samples},
            "topline": {"type": "audio", "audio": None, "text": seed},
        }
        for name, part in parts.items():
            item = next(item for item in predictions[name] if item.model_extra["clip"] == clip.id)
            messages = [{"role": "user", "content": [part, {"type": "text", "text": item.instruction}]}]
            answer = model.chat(messages, use_audio=name != "cascade", **short)
            assert item.response == answer.text, (name, clip.id)
        [said] = [item for item in predictions["transcripts"] if item.id == clip.id]
        assert said.response == model.hear([samples])[0].transcript
        assert (said.task, said.label) == ("transcript", "hello fox")


def test_each_clip_is_heard_once(tmp_path, manifest, model, passes, monkeypatch):
    heard, hear = [], type(model).hear

    def spy(self, audios, *more):
        heard.append(len(audios))
        return hear(self, audios, *more)

    monkeypatch.setattr(type(model), "hear", spy)
    run_nano(model, manifest, tmp_path)
    assert heard == [2, 1]
    assert passes == [2, 1], "questions about a clip cost no encoder pass of their own"
    model.memory.clear()
    run_nano(model, manifest, tmp_path)
    assert passes == [2, 1], "a finished run has nothing to hear"


def test_a_description_answers_for_all_its_attributes_and_a_follow_up_keeps_the_turn_before(
    tmp_path, manifest, model
):
    """One answer to one prompt, counted for each attribute; what was said before is the system's own."""
    predictions = run_nano(model, manifest, tmp_path)
    described = [item for item in predictions["speech"] if item.task.startswith("describe/")]
    assert len(described) == sum(map(len, ATTRIBUTES))
    assert len({(item.model_extra["clip"], item.response) for item in described}) == len(ATTRIBUTES)
    for name in ("speech", "topline"):
        follow_ups = [item for item in predictions[name] if item.task == "kind/follow-up"]
        assert len(follow_ups) == len(ATTRIBUTES)
        for item in follow_ups:
            clip = next(c for c in read_records(manifest, Clip) if c.id == item.model_extra["clip"])
            part = {"type": "audio", "audio": None, "text": seed_clip(clip).seed}
            if name == "speech":
                whole = load_audio(manifest.parent / clip.audio, start=clip.start, end=clip.end)
                part = {"type": "audio", "audio": whole}
            first = {"type": "text", "text": item.model_extra["first"]}
            turns = [{"role": "user", "content": [part, first]}]
            short = {"max_new_tokens": 4, "do_sample": False}
            assert model.chat(turns, **short).text == item.model_extra["first_response"]
            turns += [
                {"role": "assistant", "content": item.model_extra["first_response"]},
                {"role": "user", "content": item.instruction},
            ]
            assert model.chat(turns, **short).text == item.response


def test_a_choice_is_the_sentence_that_the_model_finds_likeliest(tmp_path, manifest, model):
    chosen = [
        item
        for item in run_nano(model, manifest, tmp_path)["speech"]
        if item.task.startswith("forced/") and item.model_extra["clip"] == "c0"
    ]
    audio = load_audio(manifest.parent / "0.wav")
    assert {item.task for item in chosen} == {"forced/gender", "forced/pitch", "forced/duration"}
    for item in chosen:
        aspect = ASPECT[item.task.partition("/")[2]]
        parts = [{"type": "audio", "audio": audio}, {"type": "text", "text": item.instruction}]
        sentences = [aspect.say(option) for option in aspect.options]
        [found] = log_likelihoods(model, [[{"role": "user", "content": parts}]], [sentences])
        assert item.response == sentences[found.index(max(found))]


@pytest.mark.parametrize("batch_size", [3, 64])
def test_a_stopped_run_goes_on_where_it_was(tmp_path, manifest, model, whole, monkeypatch, batch_size):
    """Stopped at its first, second, … chat in turn, until it comes to its end."""
    chat = type(model).chat
    folder, stops = tmp_path / "out", 0
    while True:
        calls = itertools.count(1)

        def stopping(self, *args, calls=calls, **options):
            if next(calls) == 3:  # every run gets one batch further, which may be of follow-ups
                raise KeyboardInterrupt
            return chat(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(type(model), "chat", stopping)
            try:
                predictions = run_nano(model, manifest, folder, batch_size)
                break
            except KeyboardInterrupt:
                stops += 1
                assert not (folder / "topline.jsonl").exists(), "unfinished output has no final name"
    assert stops >= 5
    assert contents(folder) == whole
    assert len(predictions["speech"]) > len(predictions["topline"]) > len(predictions["cascade"])


def test_the_size_of_batches_changes_no_answer(tmp_path, manifest, model, whole):
    run_nano(model, manifest, tmp_path, batch_size=2)
    assert contents(tmp_path) == whole


def test_nothing_to_ask(tmp_path, manifest, model):
    bare = tmp_path / "clips.jsonl"
    bare.write_text('{"id": "a", "audio": "a.wav", "text": "hello"}\n')
    with pytest.raises(InputError) as caught:
        run_nano(model, bare, tmp_path / "out")
    assert str(caught.value) == f"{bare}: no clip has attributes to ask about; run 'desta2 annotate' first"
    assert not (tmp_path / "out").exists()
