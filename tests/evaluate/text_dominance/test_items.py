"""Who is put in conflict with whom, and what is asked."""

import json

import pytest

from desta2.errors import InputError
from desta2.evaluate.text_dominance.items import CONDITIONS, questions_of, read_items


def write(tmp_path, *clips):
    lines = [{"id": f"c{i}", "audio": f"{i}.wav", "duration": 1.5, **clip} for i, clip in enumerate(clips)]
    for line in lines:
        (tmp_path / line["audio"]).write_bytes(b"")
    path = tmp_path / "clips.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def clip(text, **attributes):
    return {"text": text, "attributes": attributes}


def emotional(n=12):
    moods = ("happy", "sad", "angry")
    return [clip(f"text {i // 2}", emotion=moods[i % 3], speaking_style="calm") for i in range(n)]


def test_the_other_clip_has_other_words_and_another_value(tmp_path):
    items = read_items(write(tmp_path, *emotional(), clip("", emotion="sad")))
    assert [(item.clip.id, item.key) for item in items] == [(f"c{i}", "emotion") for i in range(12)]
    for item in items:
        assert item.label == item.clip.attributes["emotion"] != item.other_label
        assert item.other_label == item.other.attributes["emotion"]
        assert item.other.text != item.clip.text
        assert item.options == ("angry", "happy", "sad")
        assert item.instruction == (
            "What is the emotion in this audio? Answer with one of these: angry, happy, sad."
        )
    assert len({(item.other.id, item.other_label) for item in items}) > 4
    assert items == read_items(tmp_path / "clips.jsonl")


def test_nano_speech_is_asked_in_its_own_words(tmp_path):
    rows = [
        clip(f"the dog {i}", gender=("Female", "Male")[i % 2], duration=f"{1 + i % 3}s", mood="x")
        | {"source": "nano"}
        for i in range(8)
    ]
    items = read_items(write(tmp_path, *rows))
    assert {item.key for item in items} == {"gender", "duration"}
    gender = next(item for item in items if item.key == "gender")
    assert (gender.options, gender.label, gender.other_label) == (("female", "male"), "female", "male")
    assert "one of these" not in gender.instruction


def test_the_four_conditions(tmp_path):
    path = write(tmp_path, clip("good news", emotion="happy"), clip("bad news", emotion="sad"))
    asked = list(questions_of(read_items(path), path))
    assert [question.id for question in asked[:4]] == [f"c0/emotion/{name}" for name in CONDITIONS]
    assert [question.vectors for question in asked[:4]] == [True, False, True, True]
    parts = [question.messages[0]["content"][0] for question in asked[:4]]
    own = {"type": "audio", "audio": str(tmp_path / "0.wav")}
    seed = '[00:00:00 - 00:00:02] "bad news" (Emotion: sad, Duration: 2s)'
    assert parts == [own, own, own | {"text": "bad news"}, own | {"text": seed}]
    fields = asked[3].fields
    assert (fields["label"], fields["words_label"], fields["words_clip"]) == ("happy", "sad", "c1")
    assert (fields["clip"], fields["speaker"], fields["words"]) == ("c0", "c0", seed)
    assert (fields["task"], fields["condition"], fields["options"]) == (
        "attribute/emotion", "stated", ["happy", "sad"]
    )  # fmt: skip


@pytest.mark.parametrize(
    "clips",
    [
        [clip("a", emotion="sad"), clip("b", emotion="sad")],
        [clip("Same words", emotion="sad"), clip("same words!", emotion="happy")],
        [clip("", emotion="sad"), clip("", emotion="happy")],
        [clip(f"t {i}", name=f"n{i}") for i in range(13)],
    ],
)
def test_nothing_to_ask(tmp_path, clips):
    path = write(tmp_path, *clips)
    with pytest.raises(
        InputError, match=r"has no two clips with other words and another value of an attribute"
    ):
        read_items(path)
