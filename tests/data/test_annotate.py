"""The annotate stage on real files: words, order, resuming, and audio that cannot be read."""

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from desta2.data import annotate as stage
from desta2.data import models, pool
from desta2.data.annotate import annotate, annotate_clip
from desta2.data.attributes import Scheme, load_scheme
from desta2.data.estimates import estimates_of, mark_estimates
from desta2.errors import AudioError, RecordError
from desta2.nano.world import SCHEME
from desta2.records import Clip, Segment, read_records, write_records

RATE = 16_000
EXAMPLES = Path(__file__).parents[2] / "examples"


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
        "noise_level": "Very clean",
        "reverberation": "Very echoing",
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
    assert (result.attributes["pitch"], result.attributes["speaking_speed"]) == ("Very high", "Very fast")


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
    monkeypatch.setattr(stage, "speech_spans", lambda samples: [(0, RATE), (RATE, 2 * RATE)])
    clip = Clip.model_validate({"id": "a", "audio": "a", "language": "en"} | fields)
    measured = annotate_clip(clip, np.zeros(2 * RATE, np.float32)).measured
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


# Estimates, and models


def test_the_snr_is_estimated_where_it_is_not_known_and_marked():
    rng = np.random.default_rng(0)
    samples = (tone(150, 1.0, 0.3) + 0.02 * rng.standard_normal(RATE)).astype(np.float32)
    judged = annotate_clip(Clip(id="a", audio="a"), samples)
    assert judged.attributes["noise_level"] == load_scheme().of("noise_level").word(
        judged.measured["snr_db_estimated"]
    )
    assert estimates_of(judged) == {"noise_level": {"by": "WADA-SNR"}}
    exact = annotate_clip(Clip(id="a", audio="a", measured={"snr_db": 3.0}), samples)
    assert "snr_db_estimated" not in exact.measured
    assert exact.attributes["noise_level"] == "Noisy"
    assert estimates_of(exact) == {}
    stated = annotate_clip(Clip(id="a", audio="a", attributes={"Noise level": "Street"}), samples)
    assert stated.attributes["Noise level"] == "Street"
    assert estimates_of(stated) == {}


def test_pitch_goes_by_the_gender_that_the_corpus_states():
    samples = tone(140, 1.0, 0.5)
    pitches = [
        annotate_clip(Clip(id="a", audio="a", attributes=labels), samples).attributes["pitch"]
        for labels in ({}, {"gender": "Male"}, {"gender": "Female"})
    ]
    assert pitches == ["Medium", "High", "Very low"]


def test_a_scheme_beside_the_clips_is_used(corpus, tmp_path):
    (corpus.parent / "attributes.yaml").write_text(SCHEME.read_text())
    annotate(corpus, tmp_path / "out.jsonl", processes=1)
    pitches = [clip.attributes["pitch"] for clip in read_records(tmp_path / "out.jsonl", Clip)]
    assert pitches == ["Low", "Medium", "Medium", "High", "High", "High"]


@pytest.fixture
def loud_or_quiet(monkeypatch):
    """A scheme with a classifier; the model itself, which test_classifiers.py is about, looks at the level."""

    class Classifiers:
        batches: ClassVar[list[int]] = []

        def __init__(self, scheme):
            assert set(scheme.classifiers) == {"emotion"}

        def label(self, clips, samples_of):
            self.batches.append(len(clips))
            words = ["Excited" if np.abs(samples_of(clip)).max() > 0.4 else "Calm" for clip in clips]
            return [
                mark_estimates(
                    clip.model_copy(update={"attributes": clip.attributes | {"emotion": word}}),
                    {"emotion": {"by": "me"}},
                )
                for clip, word in zip(clips, words, strict=True)
            ]

    monkeypatch.setattr("desta2.data.classifiers.Classifiers", Classifiers)
    given = load_scheme().model_dump() | {"classifiers": {"emotion": {"model": "me"}}}
    return Scheme.model_validate(given), Classifiers.batches


@pytest.mark.parametrize("processes", [1, 2])
def test_classifiers_follow_in_order_and_bad_clips_pass_by(
    corpus, tmp_path, loud_or_quiet, processes, monkeypatch
):
    monkeypatch.setattr(models, "_BATCH", 4)
    scheme, batches = loud_or_quiet
    (corpus.parent / "audio" / "1.wav").unlink()
    out = tmp_path / "out.jsonl"
    summary = annotate(corpus, out, processes=processes, scheme=scheme, skip_bad=True)
    clips = list(read_records(out, Clip))
    assert [clip.id for clip in clips] == ["c0", "c2", "c3", "c4", "c5"]
    assert {clip.attributes["emotion"] for clip in clips} == {"Excited"}
    assert all(estimates_of(clip)["emotion"] == {"by": "me"} for clip in clips)
    assert [bad.id for bad in summary.bad_clips] == ["c1"]
    assert batches == [3, 2]
    batches.clear()
    assert annotate(corpus, out, processes=1, scheme=scheme, skip_bad=True).already_done == 5
    assert batches == [0]  # the clip that is still missing, and still bad


def test_missing_texts_are_written_before_the_measuring(tmp_path):
    records = list(read_records(EXAMPLES / "clips.jsonl", Clip))
    said, segmented, broken = records[0], records[2], Clip(id="broken", audio="none.wav")
    mute = records[3].model_copy(update={"text": None, "measured": {}})
    segmented = segmented.model_copy(
        update={"text": None, "segments": [Segment(start=0, end=1), Segment(start=1, end=2)]}
    )
    write_records(tmp_path / "clips.jsonl", [said, mute, segmented, broken])
    summary = annotate(
        tmp_path / "clips.jsonl",
        tmp_path / "out.jsonl",
        data_root=EXAMPLES,
        processes=1,
        skip_bad=True,
        transcribe="nano",
    )
    assert [bad.id for bad in summary.bad_clips] == ["broken"]
    found = list(read_records(tmp_path / "out.jsonl", Clip))
    assert found[0].text == said.text
    assert found[1].text and estimates_of(found[1])["text"] == {"by": "nano"}
    assert found[1].measured["syllables_per_s"] > 1
    assert found[2].text is None
