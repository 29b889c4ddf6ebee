"""Words and sounds of evaluation data are found in pairs, whatever the container of the sound."""

import numpy as np
import pytest
import soundfile

from desta2.data.check import contamination
from desta2.data.check.base import Finding, Unchecked
from desta2.data.check.config import CheckConfig
from desta2.data.check.filters import make_filters
from desta2.data.check.item import Item
from desta2.errors import AudioError, ConfigError
from desta2.records import Clip, Pair, Prediction, Seed, write_records

TEXT = "The old sailor rested in the school"


@pytest.fixture
def against(tmp_path):
    """`against(*records)`: a file of evaluation data."""

    def write(*records):
        path = tmp_path / "test.jsonl"
        write_records(path, records)
        return path

    return write


@pytest.fixture
def asked(tmp_path, make_pair):
    """`asked(name, path, …)`: what a filter says of a pair beside the evaluation data."""

    def ask(name, path, **fields):
        (one,) = make_filters(CheckConfig(only=(name,)), [path])
        return one.find(Item(make_pair(**fields), tmp_path / "pairs.jsonl"))

    return ask


EVALUATION = {
    "clip": Clip(id="t1", audio="t.wav", text=TEXT),
    "seed": Seed(id="t1", audio="t.wav", seed=f'[00:00:00 - 00:00:03] "{TEXT}"', seed_format="v2"),
    "segments": Clip.model_validate(
        {"id": "t1", "audio": "t.wav", "segments": [{"start": 0, "end": 2, "text": TEXT}]}
    ),
    "pair": Pair.model_validate(
        {
            "id": "t1", "messages": [{"role": "user", "content": "?", "audios": [{"audio": "t.wav", "text": TEXT}]}],
            "response": "", "seed": "", "provenance": {"llm": "x", "prompt": "?"},
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVALUATION)
def test_the_same_words(asked, against, kind):
    path = against(EVALUATION[kind])
    seed = '[00:00:00 - 00:00:03] "the old SAILOR, rested in the school!" (Gender: Male)'
    found = asked("contaminated-text", path, seed=seed)
    assert found == Finding(f"the words of 't1' of {path}", "the old SAILOR, rested in the school!")
    assert asked("contaminated-text", path, seed="", clip={"text": TEXT}).reason == found.reason
    assert asked("contaminated-text", path, seed='[00:00:00 - 00:00:03] "the old sailor rested"') is None


def test_short_texts_prove_nothing(asked, against):
    path = against(Clip(id="t1", audio="t.wav", text="Of course."))
    assert asked("contaminated-text", path, seed='[00:00:00 - 00:00:03] "of course"') is None


def noise(seconds, seed=0):
    return np.round(np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 16_000)) * 32768) / 32768


@pytest.fixture
def evaluation(tmp_path, against):
    soundfile.write(tmp_path / "t.wav", noise(1.0), 16_000, subtype="PCM_16")
    return against(EVALUATION["clip"])


def test_the_same_sound_in_another_container(asked, evaluation, tmp_path):
    soundfile.write(tmp_path / "a.flac", noise(1.0), 16_000, subtype="PCM_16")
    found = asked("contaminated-audio", evaluation, audio="a.flac")
    assert found == Finding(f"the sound of 't1' of {evaluation}", "a.flac")


def test_a_part_of_a_longer_file(asked, evaluation, tmp_path):
    whole = np.concatenate([noise(0.5, seed=1), noise(1.0), noise(0.5, seed=2)])
    soundfile.write(tmp_path / "long.wav", whole, 16_000, subtype="PCM_16")
    cut = {"start": 0.5, "end": 1.5}
    assert isinstance(asked("contaminated-audio", evaluation, audio="long.wav", clip=cut), Finding)
    assert asked("contaminated-audio", evaluation, audio="long.wav", clip={"start": 0.4, "end": 1.4}) is None
    assert asked("contaminated-audio", evaluation, audio="long.wav") is None


def test_only_clips_of_the_same_length_are_decoded(asked, evaluation, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "other.wav", noise(1.0, seed=3), 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "longer.wav", noise(1.2), 16_000, subtype="PCM_16")
    heard = []
    real = contamination._heard
    monkeypatch.setattr(
        contamination, "_heard", lambda clip, place: heard.append(clip.audio) or real(clip, place)
    )
    assert asked("contaminated-audio", evaluation, audio="other.wav") is None
    assert asked("contaminated-audio", evaluation, audio="longer.wav") is None
    assert heard == ["t.wav", "other.wav", "t.wav"]


def test_audio_that_is_not_there(asked, evaluation, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF but not for long")
    assert asked("contaminated-audio", evaluation, audio="no.wav") == Unchecked(
        "no audio file (is --data-root right?)"
    )
    assert asked("contaminated-audio", evaluation, audio="broken.wav") == Unchecked(
        "audio that cannot be read"
    )
    assert asked("contaminated-audio", evaluation, clip={"audio": 7}) == Unchecked(
        "audio that cannot be read"
    )


def test_evaluation_audio_must_be_there(against, tmp_path):
    path = against(Prediction(id="q", task="t", instruction="?", response="", audio="gone.wav"))
    with pytest.raises(AudioError) as error:
        make_filters(CheckConfig(only=("contaminated-audio",)), [path])
    assert str(error.value) == f"clip 'q': no audio file at {tmp_path}/gone.wav; is the data root right?"


def test_nothing_to_compare_with():
    with pytest.raises(ConfigError) as error:
        make_filters(CheckConfig(only=("contaminated-text",)))
    assert str(error.value) == "contaminated-text needs data to compare with: give --against FILE"
    assert not {one.name for one in make_filters(CheckConfig())} & {"contaminated-text", "contaminated-audio"}
