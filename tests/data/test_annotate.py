"""The annotate stage on real files: words, order, resuming, and audio that cannot be read."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from desta2.data import annotate as stage
from desta2.data import pool
from desta2.data.annotate import annotate, annotate_clip
from desta2.data.attributes import load_scheme
from desta2.errors import AudioError, RecordError
from desta2.records import Clip, read_records, write_records

RATE = 16_000


def tone(hz: float, seconds: float, amplitude: float) -> np.ndarray:
    """A tone with harmonics up to 4 kHz, peak `amplitude`."""
    t = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.cos(2 * np.pi * hz * k * t) / k for k in range(1, int(4000 / hz) + 1))
    return (amplitude * wave / np.abs(wave).max()).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six tones in `corpus/audio` and their manifest; the pitch rises by 30 Hz from clip to clip."""
    folder = tmp_path / "corpus"
    (folder / "audio").mkdir(parents=True)
    clips = []
    for number in range(6):
        soundfile.write(folder / "audio" / f"{number}.wav", tone(100 + 30 * number, 0.5, 0.5), RATE)
        clips.append(Clip(id=f"c{number}", audio=f"audio/{number}.wav"))
    write_records(folder / "clips.jsonl", clips)
    return folder / "clips.jsonl"


def test_a_clip_is_measured_and_put_into_words():
    clip = Clip(
        id="a",
        audio="a.wav",
        duration=9.0,
        text="hello",
        language="en",
        attributes={"accent": "Scottish"},
        measured={"snr_db": 90.0, "c50_db": -30.0},
        corpus_key="kept",
    )
    result = annotate_clip(clip, tone(220, 1.25, 0.5))
    assert result.duration == 1.25
    assert result.measured["f0_median_hz"] == pytest.approx(220, rel=0.02)
    assert "syllables_per_s" not in result.measured  # a tone is no speech
    assert (result.measured["snr_db"], result.measured["c50_db"]) == (90.0, -30.0)
    pitch, volume = load_scheme().attributes[4:6]
    assert result.attributes == {
        "accent": "Scottish",
        "pitch": pitch.word(result.measured["f0_median_hz"]),
        "volume": volume.word(result.measured["loudness_lufs"]),
        "noise_level": "Clean",
        "reverberation": "Echoing",
        "duration": "1s",
    }
    assert result.to_dict()["corpus_key"] == "kept"
    assert clip.duration == 9.0
    assert "pitch" not in clip.attributes
    assert Clip.model_validate(result.to_dict()) == result


def test_numbers_that_the_corpus_gives_are_kept():
    given = {"f0_median_hz": 999.0, "syllables_per_s": 7.0}
    clip = Clip(id="a", audio="a.wav", text="hello", language="en", measured=given)
    result = annotate_clip(clip, tone(220, 1.25, 0.5))
    assert result.measured.items() >= given.items()
    assert "loudness_lufs" in result.measured
    assert (result.attributes["pitch"], result.attributes["speaking_speed"]) == ("High", "Fast")


def test_numbers_are_rounded_and_follow_the_signal():
    loud, quiet = (annotate_clip(Clip(id="a", audio="a"), tone(150, 1.0, a)).measured for a in (0.5, 0.05))
    assert loud["loudness_lufs"] - quiet["loudness_lufs"] == pytest.approx(20, abs=0.11)
    for values in (loud, quiet):
        assert all(round(value, 2) == value for value in values.values())


def test_labels_of_the_corpus_win():
    clip = Clip(id="a", audio="a", attributes={"pitch": "Deep", "Duration": "a moment"})
    attributes = annotate_clip(clip, tone(300, 1.0, 0.5)).attributes
    assert attributes["pitch"] == "Deep"
    assert attributes["Duration"] == "a moment"
    assert "duration" not in attributes


def test_silence_has_a_duration_only():
    result = annotate_clip(Clip(id="a", audio="a", text="hi", language="en"), np.zeros(RATE, np.float32))
    assert (result.duration, result.measured, result.attributes) == (1.0, {}, {"duration": "1s"})


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"text": "one two three four"}, True),
        (
            {
                "segments": [
                    {"start": 0, "end": 1, "text": "one two"},
                    {"start": 1, "end": 2, "text": "three four"},
                ]
            },
            True,
        ),
        ({"segments": [{"start": 0, "end": 1, "text": "one two"}, {"start": 1, "end": 2}]}, False),
        ({}, False),
    ],
)
def test_speaking_speed_needs_the_whole_transcript(fields, counted, monkeypatch):
    monkeypatch.setattr(stage, "speech_seconds", lambda samples: 2.0)
    clip = Clip.model_validate({"id": "a", "audio": "a", "language": "en"} | fields)
    measured = annotate_clip(clip, np.zeros(RATE, np.float32)).measured
    assert measured == ({"syllables_per_s": 2.0} if counted else {})


@pytest.mark.parametrize("processes", [1, 2])
def test_all_clips_in_order(corpus, tmp_path, processes, monkeypatch):
    monkeypatch.setattr(pool, "_BATCH", 2)
    counts: list[int] = []
    out = tmp_path / "run" / "annotated.jsonl"
    summary = annotate(corpus, out, processes=processes, progress=counts.append)
    assert (summary.annotated, summary.already_done, summary.bad_clips) == (6, 0, [])
    assert counts == [1, 2, 3, 4, 5, 6]
    clips = list(read_records(out, Clip))
    assert [clip.id for clip in clips] == [f"c{number}" for number in range(6)]
    assert [clip.measured["f0_median_hz"] for clip in clips] == pytest.approx(
        [100 + 30 * number for number in range(6)], rel=0.02
    )
    assert clips[2].audio == "../corpus/audio/2.wav"  # relative to where the record now is


def test_it_goes_on_where_it_stopped(corpus):
    out = corpus.with_name("annotated.jsonl")
    broken = corpus.parent / "audio" / "3.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(AudioError, match=r"clip 'c3': .*3\.wav"):
        annotate(corpus, out, processes=1)
    broken.write_bytes(whole)
    (corpus.parent / "audio" / "0.wav").unlink()  # what is done is not read again
    counts: list[int] = []
    summary = annotate(corpus, out, processes=1, progress=counts.append)
    assert (summary.annotated, summary.already_done) == (3, 3)
    assert counts == [4, 5, 6]
    assert [clip.id for clip in read_records(out, Clip)] == [f"c{number}" for number in range(6)]
    assert annotate(corpus, out, processes=1).already_done == 6


def test_bad_audio_is_counted_and_listed(corpus):
    (corpus.parent / "audio" / "1.wav").unlink()
    (corpus.parent / "audio" / "4.wav").write_bytes(b"no audio at all")
    with corpus.open("a") as file:
        file.write("not json\n")
    out = corpus.with_name("annotated.jsonl")
    summary = annotate(corpus, out, processes=1, skip_bad=True)
    assert summary.annotated == 4
    assert [bad.id for bad in summary.bad_clips] == ["c1", "c4"]
    assert "clip 'c1': no audio file at" in summary.bad_clips[0].reason
    assert "clip 'c4': " in summary.bad_clips[1].reason
    assert "4.wav" in summary.bad_clips[1].reason
    assert [line.line for line in summary.bad_lines] == [7]
    assert [clip.id for clip in read_records(out, Clip)] == ["c0", "c2", "c3", "c5"]


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_input_stops_the_run_by_name(corpus, processes):
    out = corpus.with_name("annotated.jsonl")
    with corpus.open("a") as file:
        file.write('{"id": "c6"}\n')
    with pytest.raises(RecordError, match=r"clips\.jsonl:7: field 'audio' is missing"):
        annotate(corpus, out, processes=processes)


def test_a_part_of_a_file(corpus, tmp_path):
    part = Clip(id="part", audio="audio/0.wav", start=0.1, end=0.35)
    write_records(tmp_path / "parts.jsonl", [part])
    annotate(tmp_path / "parts.jsonl", tmp_path / "out.jsonl", data_root=corpus.parent, processes=1)
    [clip] = read_records(tmp_path / "out.jsonl", Clip)
    assert clip.duration == 0.25
    assert clip.audio == "audio/0.wav"  # still relative to the data root
    assert (clip.start, clip.end) == (0.1, 0.35)


def test_very_short_clips_keep_a_positive_duration():
    clip = annotate_clip(Clip(id="a", audio="a"), np.ones(3, np.float32))
    assert clip.duration == 0.001
    assert not math.isnan(clip.duration)
