"""Folders of recordings, with what lies beside them."""

import json

import pytest


@pytest.fixture
def folder(tree):
    tree.audio("b.wav", "a/x.flac", "a/y.mp3", ".trash/z.wav")
    tree.bytes("._b.wav", b"\x00\x05\x16\x07")
    tree.text("b.txt", "\ufeffHello there.\n")
    tree.text("a/x.txt", "Not this.")
    tree.text(
        "a/x.json",
        json.dumps({"text": "Hi.", "gender": "f", "sex": "m", "start": 0, "end": 0.02, "mood": "joy"}),
    )
    return tree


def test_every_file_of_audio_with_what_is_beside_it(folder, clips):
    found = clips("folder")
    assert list(found) == ["a/x", "a/y", "b"]
    assert found["b"].text == "Hello there."
    assert found["b"].audio == str(folder.root / "b.wav")
    x = found["a/x"]
    assert (x.text, x.attributes, x.end) == ("Hi.", {"gender": "Female"}, 0.02)
    assert found["a/y"].text is None


def test_fields_of_json_files_can_be_mapped(folder, read):
    records, reading = read("folder", columns={"mood": "attributes.emotion", "sex": "-"})
    assert records[0].attributes == {"gender": "Female", "emotion": "Happy"}
    assert reading.unused_columns == ()
    assert read("folder")[1].unused_columns == ("sex", "mood")


def test_mistakes(folder, read, refused, tmp_path):
    folder.text("a/y.json", "[1]")
    folder.text("b.json", "{")
    folder.text("b.txt", "caf\xe9", "latin-1")
    _, reading = read("folder", skip_bad=True)
    assert reading.bad_examples == [
        f"{folder.root}/a/y.mp3: y.json: expected a JSON object",
        f"{folder.root}/b.wav: b.json: not valid JSON: EOF while parsing an object at line 1 column 1",
    ]
    (folder.root / "b.json").unlink()
    (folder.root / "a/y.json").unlink()
    assert "b.txt: cannot be read as text in utf-8-sig: " in refused("folder")
    assert (
        refused("folder", tmp_path / "none")
        == f"{tmp_path}/none is not a folder; expected one with files of audio in it"
    )
    assert refused("folder", folder.root / ".trash/..").startswith(f"{folder.root}") is True
    (tmp_path / "empty").mkdir()
    assert "holds no audio: no file in it ends in .wav, .flac" in refused("folder", tmp_path / "empty")
