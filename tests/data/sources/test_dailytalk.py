"""DailyTalk: one JSON of dialogues, turns in files, and the turns of a dialogue joined."""

import json

import pytest
import soundfile

METADATA = {
    "10": {
        "0": {"speaker": 0, "text": "Bye.", "emotion": "sadness", "act": "inform", "topic": "Work", "turn": 1}
    },
    "0": {
        "1": {
            "speaker": 0,
            "text": "My budget. ",
            "emotion": "no emotion",
            "act": "inform",
            "topic": "Finance",
        },
        "0": {
            "speaker": 1,
            "text": "What is it?",
            "emotion": "happiness",
            "act": "question",
            "topic": "Finance",
        },
        "10": {"speaker": 1, "text": "Oh.", "emotion": "surprise", "act": "inform", "topic": "Finance"},
        "2": {"speaker": 1, "text": "I see.", "emotion": "none", "act": "inform", "topic": "Finance"},
    },
}
NAMES = ("0_1_d0", "1_0_d0", "2_1_d0", "10_1_d0", "0_0_d10")


@pytest.fixture
def dailytalk(tree):
    tree.text("metadata.json", json.dumps(METADATA))
    tree.audio(*(f"data/{name.rpartition('d')[2]}/{name}.wav" for name in NAMES), seconds=1.0)
    return tree


def test_turns_in_the_order_of_their_numbers(dailytalk, clips):
    found = clips("dailytalk")
    assert list(found) == [f"dailytalk-{name}" for name in NAMES]
    clip = found["dailytalk-0_1_d0"]
    assert (clip.text, clip.speaker, clip.model_extra) == ("What is it?", "1", {"topic": "Finance"})
    assert clip.attributes == {"gender": "Female", "emotion": "Happy", "intent": "Question"}
    second = found["dailytalk-1_0_d0"]
    assert second.text == "My budget."
    assert second.attributes == {"gender": "Male", "emotion": "No emotion", "intent": "Inform"}
    assert "emotion" not in found["dailytalk-2_1_d0"].attributes


def test_dialogues_are_joined_with_times(dailytalk, clips, tmp_path):
    found = clips("dailytalk", dialogues=True, max_seconds=3)
    assert list(found) == ["dailytalk-d0-0-2", "dailytalk-d0-3-3", "dailytalk-d10-0-0"]
    first = found["dailytalk-d0-0-2"]
    assert [(s.start, s.end, s.speaker, s.text) for s in first.segments] == [
        (0.0, 1.0, "1", "What is it?"),
        (1.0, 2.0, "0", "My budget."),
        (2.0, 3.0, "1", "I see."),
    ]
    assert first.segments[1].attributes["gender"] == "Male"
    assert first.duration == 3.0
    samples, rate = soundfile.read(first.audio)
    assert (len(samples), rate) == (48_000, 16_000)
    assert first.audio.startswith(str(tmp_path / "kept"))


def test_a_turn_that_cannot_be_read_ends_its_clip(dailytalk, read):
    dailytalk.bytes("data/0/1_0_d0.wav", b"no sound")
    records, reading = read("dailytalk", dialogues=True, skip_bad=True)
    assert [clip.id for clip in records] == ["dailytalk-d0-0-0", "dailytalk-d0-2-3", "dailytalk-d10-0-0"]
    assert reading.bad_count == 1
    assert reading.bad_examples[0].startswith("dailytalk-d0, turn 1: ")


def test_turns_that_are_none(tree, read, refused):
    tree.text("metadata.json", json.dumps({"0": {"0": {"speaker": 2, "text": "?"}}, "1": []}))
    tree.audio("data/0/0_2_d0.wav")
    _, reading = read("dailytalk", skip_bad=True)
    assert reading.bad_examples == [
        f"{tree.root}/metadata.json, dialogue 0, turn 0: expected a speaker 0 or 1, and a text",
        f"{tree.root}/metadata.json, dialogue 1: expected an object of turns",
    ]
    tree.text("metadata.json", "{")
    assert refused("dailytalk").startswith(f"{tree.root}/metadata.json: not valid JSON: ")
    (tree.root / "metadata.json").unlink()
    assert "does not look like DailyTalk: there is no metadata.json" in refused("dailytalk")
