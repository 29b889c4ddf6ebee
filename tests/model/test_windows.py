"""Long clips cut into windows: laws for any clip, and cuts that lie in pauses."""

import logging

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from desta2.data import vad
from desta2.data.audio import load_audio
from desta2.model.windows import cuts, split

RATE = 16_000


def noise(length, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


@st.composite
def clips(draw):
    """A clip, the longest window, and where somebody speaks (None: unknown)."""
    longest = draw(st.integers(16, 400))
    length = draw(st.integers(longest + 1, 8 * longest))
    edges = sorted(draw(st.sets(st.integers(0, length), max_size=12)))
    speech = list(zip(edges[::2], edges[1::2], strict=False))
    return noise(length, seed=draw(st.integers(0, 3))), longest, draw(st.sampled_from([speech, None]))


@settings(max_examples=50)
@given(clips())
def test_windows_are_the_clip_and_fit(clip):
    samples, longest, speech = clip
    windows = np.split(samples, cuts(samples, longest, speech))
    assert np.array_equal(np.concatenate(windows), samples)
    assert all(longest // 8 <= len(window) <= longest for window in windows)
    assert all(len(window) >= longest // 2 for window in windows[:-1])


@settings(max_examples=50)
@given(clips())
def test_a_cut_tears_no_speech_where_there_is_a_pause(clip):
    samples, longest, speech = clip
    assume(speech is not None)
    start = 0
    for place in cuts(samples, longest, speech):
        first, last = start + longest // 2, min(start + longest, len(samples) - longest // 8)
        silent = np.ones(last - first, bool)
        for a, b in speech:
            silent[max(0, a - first) : max(0, b - first)] = False
        if silent.any():
            assert not any(a < place < b for a, b in speech)
        start = place


def test_the_longest_pause_is_taken_in_its_middle():
    samples = noise(3000)
    assert cuts(samples, 2000, [(0, 1100), (1150, 1500), (1700, 3000)]) == [1600]
    assert cuts(samples, 2000, [(0, 900), (1200, 3000)]) == [1100], "what of it lies in reach"
    assert cuts(samples, 2000, []) == [1500], "nobody speaks: the middle of what is in reach"


def test_without_a_pause_the_quietest_place_is_taken():
    samples = noise(4 * RATE)
    samples[int(2.4 * RATE) : int(2.6 * RATE)] *= 0.01
    for speech in ([(0, len(samples))], None):
        [place] = cuts(samples, 3 * RATE, speech)
        assert 2.4 * RATE <= place <= 2.6 * RATE


def test_a_clip_that_fits_is_its_own_window():
    samples = noise(2000)
    [window] = split(samples, 2000)
    assert window is samples
    assert len(split(samples, 1999)) == 2


@pytest.fixture(scope="module")
def talk(request):
    """Four clips with half a second of noise after each: about 13 s."""
    folder = request.config.rootpath / "examples"
    pause = noise(RATE // 2, 0.1)
    pieces = [load_audio(folder / f"{name}.wav") for name in ("american", "british", "caribbean", "scottish")]
    return np.concatenate([part for piece in pieces for part in (piece, pause)])


def test_talk_is_cut_between_sentences(talk):
    windows = split(talk, 5 * RATE)
    places = np.cumsum([len(window) for window in windows])[:-1]
    spans = vad.speech_spans(talk)
    assert len(windows) >= 3
    assert not any(a < place < b for place in places for a, b in spans)
    assert any(a < place < b for place in range(5 * RATE, len(talk), 5 * RATE) for a, b in spans)


def test_without_the_detector_energy_decides_and_the_log_says_so(talk, monkeypatch, caplog):
    monkeypatch.setattr(vad, "available", lambda: False)
    with caplog.at_level(logging.WARNING, "desta2"):
        windows = split(talk, 4 * RATE)
    assert np.cumsum([len(window) for window in windows])[:-1].tolist() == cuts(talk, 4 * RATE, None)
    assert "silero-vad is not installed: a long clip is cut at its quietest places" in caplog.text
