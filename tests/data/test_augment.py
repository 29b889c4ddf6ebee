"""The augment stage on real speech: files, records, determinism, resuming, and clips that cannot be used."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from desta2.data.audio import load_audio
from desta2.data.augment import augment
from desta2.data.vad import speech_spans
from desta2.errors import AudioError, InputError
from desta2.records import Clip, read_records, write_records

EXAMPLES = Path(__file__).parents[2] / "examples"
BOTH = {"noise_probability": 1.0, "reverb_probability": 1.0}
NOISE = {"noise_probability": 1.0, "reverb_probability": 0.0}


@pytest.fixture
def corpus(tmp_path):
    """Two clips of speech and one of silence, beside their manifest."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("american", "scottish"):
        shutil.copy(EXAMPLES / f"{name}.wav", folder)
    soundfile.write(folder / "silence.wav", np.zeros(8_000, np.float32), 16_000)
    clips = [Clip(id=f"c/{name}", audio=f"{name}.wav") for name in ("american", "scottish", "silence")]
    write_records(folder / "clips.jsonl", clips)
    return folder / "clips.jsonl"


def records(path):
    return {record.id: record for record in read_records(path, Clip)}


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_snr_in_the_file_is_the_one_in_the_record(corpus, tmp_path):
    out = tmp_path / "run" / "augmented.jsonl"
    augment(corpus, out, processes=1, snr_db=(3.0, 3.0), **NOISE)
    clean = load_audio(EXAMPLES / "american.wav")
    copy = records(out)["c/american+noise1"]
    noisy = load_audio(out.parent / copy.audio) / 10 ** (copy.augmented["gain_db"] / 20)
    speech = np.concatenate([clean[first:end] for first, end in speech_spans(clean)])
    ratio = np.mean(speech.astype(np.float64) ** 2) / np.mean((noisy - clean).astype(np.float64) ** 2)
    assert copy.measured == {"snr_db": 3.0}
    assert 10 * np.log10(ratio) == pytest.approx(3.0, abs=0.05)
    assert copy.duration == pytest.approx(len(clean) / 16_000, abs=1e-3)


def test_originals_copies_and_silence(corpus, tmp_path):
    out = tmp_path / "run" / "augmented.jsonl"
    counts: list[int] = []
    summary = augment(corpus, out, processes=1, copies=2, progress=counts.append, **BOTH)
    assert counts == [1, 2, 3]
    assert (summary.written, summary.already_done, summary.without_speech) == (7, 0, 2)
    found = records(out)
    assert list(found) == [
        "c/american", "c/american+reverb+noise1", "c/american+reverb+noise2",
        "c/scottish", "c/scottish+reverb+noise1", "c/scottish+reverb+noise2", "c/silence",
    ]  # fmt: skip
    assert found["c/american"].audio == "../corpus/american.wav"
    assert found["c/american"].measured == {}
    for record in found.values():
        assert (out.parent / record.audio).is_file()
    assert len({(out.parent / record.audio).read_bytes() for record in found.values()}) == 7


def test_without_originals_no_clip_is_lost(corpus, tmp_path):
    out = tmp_path / "augmented.jsonl"
    augment(corpus, out, processes=1, originals=False, **BOTH)
    assert list(records(out)) == ["c/american+reverb+noise1", "c/scottish+reverb+noise1", "c/silence"]


def test_neither_order_nor_processes_change_a_byte(corpus, tmp_path):
    augment(corpus, tmp_path / "one" / "out.jsonl", processes=1, copies=2)
    augment(corpus, tmp_path / "two" / "out.jsonl", processes=2, copies=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    write_records(corpus.with_name("turned.jsonl"), reversed(list(read_records(corpus, Clip))))
    augment(corpus.with_name("turned.jsonl"), tmp_path / "turned" / "out.jsonl", processes=1, copies=2)
    assert content(tmp_path / "turned" / "out_audio") == content(tmp_path / "one" / "out_audio")
    assert records(tmp_path / "turned" / "out.jsonl") == records(tmp_path / "one" / "out.jsonl")


def test_it_goes_on_where_it_stopped(corpus, tmp_path):
    whole, out = tmp_path / "whole" / "out.jsonl", tmp_path / "run" / "out.jsonl"
    augment(corpus, whole, processes=1, **BOTH)
    (corpus.parent / "scottish.wav").rename(corpus.parent / "away.wav")
    with pytest.raises(AudioError, match=r"clip 'c/scottish': no audio file at .*scottish\.wav"):
        augment(corpus, out, processes=1, **BOTH)
    partial = out.with_name("out.jsonl.partial")
    partial.write_bytes(partial.read_bytes().splitlines(keepends=True)[0])  # killed between two of one clip
    (corpus.parent / "away.wav").rename(corpus.parent / "scottish.wav")
    summary = augment(corpus, out, processes=1, **BOTH)
    assert (summary.written, summary.already_done) == (4, 0)
    assert content(out.parent) == content(whole.parent)
    assert augment(corpus, out, processes=1, **BOTH).written == 0


def test_other_values_need_another_output(corpus, tmp_path):
    augment(corpus, tmp_path / "out.jsonl", processes=1, **NOISE)
    with pytest.raises(InputError, match=r"out_audio was begun with other settings: seed was 0 and is 1"):
        augment(corpus, tmp_path / "out.jsonl", processes=1, seed=1, **NOISE)


def test_noise_and_responses_from_folders(corpus, tmp_path):
    for name, samples in (("noise", np.sin(np.arange(9_000))), ("rirs", np.eye(1, 20_000, 7)[0])):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "a.wav", (0.5 * samples).astype(np.float32), 16_000)
    folders = {"noise": tmp_path / "noise", "rirs": tmp_path / "rirs"}
    augment(corpus, tmp_path / "out.jsonl", processes=1, **folders, **BOTH)
    copy = records(tmp_path / "out.jsonl")["c/american+reverb+noise1"]
    assert copy.measured["c50_db"] == 60.0  # a response of one impulse
    assert (copy.augmented["noise"], copy.augmented["room"]) == ("a.wav", "a.wav")
    soundfile.write(tmp_path / "noise" / "b.wav", np.ones(100, np.float32), 16_000)  # would change the draws
    from desta2.data.scenes import recordings

    recordings.cache_clear()  # as a new process would
    with pytest.raises(InputError, match=r"noise was '1 files \(\w+\)' and is '2 files"):
        augment(corpus, tmp_path / "out.jsonl", processes=1, **folders, **BOTH)


def test_bad_clips_are_listed_or_raise(corpus, tmp_path):
    (corpus.parent / "american.wav").write_bytes(b"no audio at all")
    with pytest.raises(AudioError, match=r"clip 'c/american': .*american\.wav"):
        augment(corpus, tmp_path / "a.jsonl", processes=1, **NOISE)
    summary = augment(corpus, tmp_path / "a.jsonl", processes=1, skip_bad=True, **NOISE)
    assert [bad.id for bad in summary.bad_clips] == ["c/american"]
    assert list(records(tmp_path / "a.jsonl")) == ["c/scottish", "c/scottish+noise1", "c/silence"]
