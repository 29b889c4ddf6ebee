"""Where somebody speaks: silence, noise, espeak speech in noise, and the shipped examples."""

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from desta2.data import vad
from desta2.data.audio import load_audio
from desta2.data.vad import available, has_speech, speech_seconds, speech_spans
from desta2.errors import RunError

RATE = 16_000
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.wav"))


def noise(seconds: float, level: float) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)


def test_no_speech_in_silence_and_noise():
    assert speech_seconds(np.zeros(2 * RATE, np.float32)) == 0.0
    assert speech_seconds(np.zeros(0, np.float32)) == 0.0
    assert speech_seconds(noise(2.0, 0.1)) < 0.2


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    """About two seconds of espeak speech between 0.5 s of silence."""
    pytest.importorskip("espeakng_loader", reason="needs the extra 'synth'")
    import soxr

    from desta2.nano.espeak import synthesiser

    speech = synthesiser().speak(
        "a small boy sees seven green birds near the old house", "gmw/en-US", 170, 50
    )
    speech = soxr.resample(speech, synthesiser().sampling_rate, RATE)
    silence = np.zeros(RATE // 2, np.float32)
    return np.concatenate([silence, speech, silence]).astype(np.float32)


@pytest.mark.parametrize("snr_db", [60.0, 10.0, 3.0])
def test_speech_seconds_of_speech_in_noise(spoken, snr_db):
    loud = np.flatnonzero(np.abs(spoken) > 0.01)
    true = (loud[-1] - loud[0]) / RATE
    power = np.mean(spoken[loud[0] : loud[-1]] ** 2)
    mixed = spoken + noise(len(spoken) / RATE, math.sqrt(power) * 10 ** (-snr_db / 20))[: len(spoken)]
    assert speech_seconds(mixed.astype(np.float32)) == pytest.approx(true, rel=0.2)


def test_speech_seconds_do_not_count_pauses_and_add_up(spoken):
    once = speech_seconds(spoken)
    assert speech_seconds(np.tile(spoken, 12)) == pytest.approx(
        12 * once, rel=0.05
    )  # more than one block of frames


def test_spans_lie_where_the_speech_is(spoken):
    twice = np.concatenate([spoken, spoken])
    spans = speech_spans(twice)
    assert all(0 <= start < end <= len(twice) for start, end in spans)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))
    silences = [RATE // 5, len(spoken), len(twice) - RATE // 5]  # at both ends, and between the two
    assert not any(start <= place < end for start, end in spans for place in silences)
    middle = len(spoken) // 2
    assert any(start <= middle < end for start, end in spans)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_shipped_examples_are_speech(path):
    assert has_speech(load_audio(path))


def test_a_click_is_no_speech(spoken):
    assert not has_speech(np.zeros(RATE, np.float32))
    assert not has_speech(noise(2.0, 0.1))
    start, _ = speech_spans(spoken)[0]
    assert has_speech(spoken)
    assert not has_speech(spoken[: start + RATE // 5]), "a fifth of a second at most"


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    assert available()
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "silero_vad" else find_spec(name)
    )
    vad._session.cache_clear()
    assert not available()
    with pytest.raises(RunError, match=r"not installed: pip install 'silero-vad>=6\.2\.2'"):
        has_speech(np.zeros(RATE, np.float32))
