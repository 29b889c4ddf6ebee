import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import soxr

from desta2.data.attributes import f0_median_hz, load_scheme
from desta2.data.audio import load_audio
from desta2.data.speed import count_syllables
from desta2.errors import InputError
from desta2.nano import world
from desta2.nano.espeak import Synthesiser, synthesiser
from desta2.nano.grammar import INTENTS, split_of
from desta2.nano.language import spoken_value
from desta2.nano.styles import STYLES
from desta2.nano.voices import speakers
from desta2.nano.world import make_clip, make_corpus
from desta2.records import Clip, read_records

SEED = 5
PATIENT = pytest.mark.timeout(900)  # processes take long to start where others keep the machine busy


def content(folder):
    """Every file of a corpus with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def clips_of(folder):
    return list(read_records(folder / "clips.jsonl", Clip))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The same corpus of 4 clips from 1 and from 2 processes, and one of 3; blocks of 2 clips.

    Only `make_corpus`, in this process, reads the block size: its workers are told which clips to make.
    """
    folder = tmp_path_factory.mktemp("corpora")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "BLOCK", 2)
        make_corpus(4, folder / "one", "test", SEED, processes=1)
        make_corpus(4, folder / "two", "test", SEED, processes=2)
        make_corpus(3, folder / "smaller", "test", SEED, processes=1)
    return folder


@PATIENT
def test_a_corpus_is_the_same_for_any_number_of_processes(corpora):
    one = content(corpora / "one")
    wavs = [f"audio/nano-test-5-{i:06d}.wav" for i in range(4)]
    assert sorted(one) == ["attributes.yaml", *wavs, "clips.jsonl"]
    assert one["attributes.yaml"] == world.SCHEME.read_bytes()
    assert content(corpora / "two") == one


@PATIENT
def test_a_smaller_corpus_is_the_beginning_of_a_larger_one(corpora):
    larger, smaller = content(corpora / "one"), content(corpora / "smaller")
    manifest = smaller.pop("clips.jsonl")
    assert len(smaller) == 4
    assert smaller.items() <= larger.items()
    assert larger["clips.jsonl"].startswith(manifest)


@PATIENT
def test_clips_are_ordinary_records_and_true(corpora):
    clips = clips_of(corpora / "one")
    assert [clip.id for clip in clips] == [f"nano-test-5-{i:06d}" for i in range(4)]
    ids = {speaker.id: speaker for speaker in speakers("test")}
    for clip in clips:
        samples = load_audio(corpora / "one" / clip.audio)
        assert clip.duration == pytest.approx(len(samples) / 16_000, abs=5e-4)
        assert 0.5 < clip.duration <= world.MAX_SECONDS
        assert np.isfinite(samples).all()
        assert 0.001 < np.abs(samples).max() <= 1
        assert (clip.language, clip.source) == ("en", "nano")
        assert {split_of(sentence) for sentence in clip.text.split(". ")} == {"test"}
        assert clip.attributes["gender"] == ids[clip.speaker].gender.capitalize()
        assert all(spoken_value(key, clip.attributes[key]) for key in ("gender", "accent"))
        assert clip.attributes["emotion"].lower() in STYLES
        assert clip.attributes["intent"].lower() in INTENTS
        assert set(clip.attributes) == {"gender", "accent", "emotion", "intent"}
        assert set(clip.measured) == {"snr_db", "c50_db", "syllables_per_s"}


@pytest.mark.slow
@PATIENT
def test_another_interpreter_and_a_true_block_border_change_nothing(tmp_path):
    """41 clips: the last one is the first of a third block."""
    code = (
        "import sys; from pathlib import Path; from desta2.nano import world; world.BLOCK = 20; "
        "world.make_corpus(int(sys.argv[1]), Path(sys.argv[2]), 'val', 3, int(sys.argv[3]))"
    )
    for name, n, processes in (("one", 41, 1), ("two", 41, 2), ("few", 6, 2)):
        command = [sys.executable, "-c", code, str(n), str(tmp_path / name), str(processes)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": str(len(name) + processes)})
    one, few = content(tmp_path / "one"), content(tmp_path / "few")
    assert len(one) == 43
    assert content(tmp_path / "two") == one
    assert one["clips.jsonl"].startswith(few.pop("clips.jsonl"))
    assert few.items() <= one.items()


def test_the_stated_numbers_are_the_true_ones(monkeypatch):
    """Against what `mix` was given and what it gave, for whole clips."""
    seen = []

    def spy(speech, noise, active, snr_db):
        mixed = mix(speech, noise, active, snr_db)
        seen.append((speech, mixed - speech, active))
        return mixed

    mix = world.mix
    monkeypatch.setattr(world, "mix", spy)
    for index in range(8):
        clip, samples = make_clip("val", index, SEED)
        speech, noise, active = (array.astype(np.float64) for array in seen[-1])
        snr_db = 10 * np.log10(np.mean(speech[active > 0] ** 2) / np.mean(noise**2))
        assert clip.measured["snr_db"] == pytest.approx(snr_db, abs=0.05)
        spoken = count_syllables(clip.text) * 16_000 / active.sum()
        assert clip.measured["syllables_per_s"] == pytest.approx(spoken, abs=0.006)
        # what follows is one gain: the clip is this mixture
        assert np.corrcoef(samples, speech + noise)[0, 1] == pytest.approx(1, abs=1e-6)


def test_numbers_fall_into_bins_of_the_nano_scheme_and_all_are_reached():
    """Noise and rooms are drawn for a word each; no draw may come near the border of two words."""
    scheme = {attribute.key: attribute for attribute in load_scheme(world.SCHEME).attributes}
    for kind, (low, high) in world._SNR_DB.items():
        assert (
            scheme["noise_level"].word(low - 1).lower()
            == scheme["noise_level"].word(high + 1).lower()
            == kind
        )


def test_clips_differ_by_index_split_and_seed():
    texts = {}
    for split, index, seed in (("test", 0, 1), ("test", 1, 1), ("test", 0, 2), ("train", 0, 1)):
        clip, _ = make_clip(split, index, seed)
        texts[clip.id] = (clip.text, clip.duration)
    assert len(texts) == len(set(texts.values())) == 4


def test_pauses_between_sentences_are_no_speech(monkeypatch):
    """A clip of two sentences: silence between them, and rates and ratios over the rest alone."""
    made = {}
    render = world._render

    def spy(draw, speech, spoken, noise_seed):
        made.update(draw=draw, speech=speech, spoken=spoken)
        return render(draw, speech, spoken, noise_seed)

    monkeypatch.setattr(world, "_render", spy)
    monkeypatch.setattr(world, "draw_sentences", lambda *_: ("the dog slept", "our cat waited"))
    clip, _ = make_clip("val", 0, SEED)
    assert clip.text == "the dog slept. our cat waited"
    pauses = np.flatnonzero(~made["spoken"])
    assert len(pauses) == round(made["draw"].pause * 16_000)
    assert pauses[-1] - pauses[0] == len(pauses) - 1
    assert np.abs(made["speech"][pauses[200:-200]]).max() < 0.01 * np.abs(made["speech"]).max()
    rate = 7 * 16_000 / made["spoken"].sum()
    assert count_syllables(clip.text) == 7
    assert clip.measured["syllables_per_s"] == pytest.approx(rate, abs=0.006)


def test_emotion_and_intent_are_drawn_alike_often_and_whatever_the_speaker(monkeypatch):
    """Only what is drawn: nothing is spoken."""
    monkeypatch.setattr(world, "_speak", lambda *_: (np.ones(16_000, np.float32), np.ones(16_000, bool)))
    monkeypatch.setattr(world, "_render", lambda draw, speech, *_: speech)
    clips = [make_clip("train", index, SEED)[0] for index in range(1_200)]
    for key, values in (("emotion", STYLES), ("intent", INTENTS)):
        counts = Counter(clip.attributes[key].lower() for clip in clips)
        assert counts.keys() == set(values)
        assert min(counts.values()) > 0.75 * 1_200 / len(values)
    together = Counter((clip.attributes["gender"], clip.attributes["emotion"]) for clip in clips)
    assert len(together) == 10
    assert min(together.values()) > 80
    several = sum(". " in clip.text for clip in clips)
    assert several / 1_200 == pytest.approx(0.25, abs=0.05)


def test_clips_that_would_be_too_long_are_drawn_again(monkeypatch):
    usual = [clip.duration for clip, _ in (make_clip("val", i, 0) for i in range(8))]
    assert max(usual) > 2
    monkeypatch.setattr(world, "MAX_SECONDS", 2.0)
    for index in range(8):
        clip, samples = make_clip("val", index, 0)
        assert len(samples) <= 2 * 16_000
        assert clip.duration == pytest.approx(len(samples) / 16_000, abs=5e-4)


def test_loud_clips_are_scaled_and_not_clipped(monkeypatch):
    monkeypatch.setattr(world, "_PEAK", 0.01)  # below every clip's own peak
    _, samples = make_clip("val", 0, 0)
    assert np.abs(samples).max() == pytest.approx(0.01, rel=1e-5)
    assert (np.abs(samples) > 0.0099).sum() < 5


@pytest.mark.parametrize(
    ("n", "split", "message"),
    [
        (1, "dev", "unknown split 'dev'; expected one of train, val, test"),
        (0, "test", "at least one clip, got n=0"),
        (-3, "test", "at least one clip, got n=-3"),
    ],
)
def test_impossible_corpora_are_refused_before_anything_is_written(tmp_path, n, split, message):
    with pytest.raises(InputError, match=message):
        make_corpus(n, tmp_path / "corpus", split)
    assert not (tmp_path / "corpus").exists()


# espeak-ng


def test_speech_is_a_waveform_that_follows_rate_and_pitch():
    engine = synthesiser()
    slow, fast = (engine.speak("the brave tiger", "gmw/en-US+f3", rate, 50) for rate in (110, 300))
    assert slow.dtype == np.float32
    assert slow.ndim == 1
    assert 0.05 < np.abs(slow).max() <= 1
    assert len(slow) > 1.5 * len(fast)

    def fundamental(pitch):
        wave = engine.speak("are you near our old river", "gmw/en-US+m3", 150, pitch)
        return f0_median_hz(soxr.resample(wave, engine.sampling_rate, 16_000))

    assert fundamental(90) > 1.3 * fundamental(10)


@pytest.mark.parametrize("voice", ["gmw/en-ZZ", "", "gmw/en-US+nobody", "gmw/en-US+", "nobody+f3"])
def test_voices_that_are_not_there_are_errors(voice):
    if voice == "gmw/en-US+":
        assert len(synthesiser().speak("red", voice, 200, 50))  # no variant is the plain voice
        return
    with pytest.raises(InputError, match=f"espeak-ng has no voice '{voice}'".replace("+", r"\+")):
        synthesiser().speak("red", voice, 200, 50)


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"needs the extra 'synth': pip install 'desta2\[synth\]'"):
        Synthesiser()
