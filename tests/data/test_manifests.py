"""Paths that stay true from folder to folder."""

import os

import pytest

from desta2.data.manifests import relocate_audio
from desta2.records import Clip


@pytest.fixture
def corpus(tmp_path):
    """A manifest with audio beside and below it."""
    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    for name in ("a.wav", "audio/b.wav"):
        (tmp_path / "corpus" / name).touch()
    return tmp_path / "corpus" / "clips.jsonl"


@pytest.mark.parametrize("name", ["a.wav", "audio/b.wav", "audio/../a.wav", "./a.wav"])
@pytest.mark.parametrize("out", ["run/out.jsonl", "run/pairs", "corpus/parts", "out.jsonl"])
def test_the_same_file_is_found_from_the_output(corpus, tmp_path, name, out):
    moved = relocate_audio(Clip(id="x", audio=name), corpus, tmp_path / out).audio
    folder = (tmp_path / out).parent if out.endswith(".jsonl") else tmp_path / out
    folder.mkdir(parents=True, exist_ok=True)
    assert (folder / moved).resolve() == (corpus.parent / name).resolve()
    assert not os.path.isabs(moved)


@pytest.mark.parametrize("audio", ["/elsewhere/a.wav", "https://host/a.wav", "none.wav"])
def test_what_is_not_beside_the_manifest_stays(corpus, tmp_path, audio):
    assert relocate_audio(Clip(id="x", audio=audio), corpus, tmp_path / "run.jsonl").audio == audio


def test_nothing_changes_in_the_same_folder(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip = Clip(id="x", audio="a.wav")
    assert relocate_audio(clip, corpus, corpus.with_name("out.jsonl")) is clip
    (tmp_path / "link").symlink_to("corpus")
    assert relocate_audio(clip, corpus, tmp_path / "link" / "out.jsonl") is clip


def test_a_data_root_comes_first(corpus, tmp_path):
    clip = Clip(id="x", audio="a.wav")
    assert relocate_audio(clip, corpus, tmp_path / "run" / "out.jsonl", corpus.parent).audio == "a.wav"


def test_through_links_to_folders_and_from_another_working_folder(corpus, tmp_path, monkeypatch):
    (tmp_path / "far" / "down").mkdir(parents=True)
    (tmp_path / "far" / "down" / "link").symlink_to(corpus.parent)
    for folder in ("far", "far/down"):  # the same relative paths mean other places
        monkeypatch.chdir(tmp_path / folder)
        manifest = (tmp_path / "far" / "down" / "link" / "clips.jsonl").relative_to(tmp_path / folder)
        moved = relocate_audio(Clip(id="x", audio="audio/b.wav"), manifest, tmp_path / "out.jsonl").audio
        assert moved == "corpus/audio/b.wav"
