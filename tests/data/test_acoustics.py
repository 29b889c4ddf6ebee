"""Rooms and noise: C50 and SNR against closed forms, and responses whatever they come from."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data.acoustics import (
    SAMPLE_RATE,
    Room,
    coloured_noise,
    mix,
    reverberate,
    room_of,
    simulate,
)
from desta2.errors import InputError


def test_a_room_starts_with_the_direct_sound_at_unit_energy():
    response = np.zeros(30_000, np.float32)
    response[5_000], response[5_100], response[20_000] = -4.0, 1.0, 2.0
    room = room_of(response)
    assert len(room.response) == 25_040  # 2.5 ms before the direct sound are kept
    assert room.response[40] == -1.0
    assert room.c50_db == pytest.approx(10 * np.log10(17 / 4))
    assert room_of(response, seconds=0.5).c50_db == 60.0  # the late sound is cut off


def test_a_silent_response_is_refused():
    with pytest.raises(InputError, match="an impulse response must not be silent"):
        room_of(np.zeros(100, np.float32))


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroomacoustics", None)
    with pytest.raises(InputError, match=r"needs the extra 'synth': pip install 'desta2\[synth\]'"):
        simulate(np.ones(3), 0.5, np.full(3, 0.5), np.full(3, 0.6), 1)


def test_reverberation_keeps_the_tail():
    speech = np.array([1.0, 2.0, 0.0, -1.0], np.float32)
    heard = reverberate(speech, Room(np.array([0.0, 1.0, 0.5], np.float32), 60.0))
    np.testing.assert_allclose(heard, np.convolve(speech, [0.0, 1.0, 0.5]), atol=1e-6)
    assert heard.dtype == np.float32


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_its_colour_and_unit_level(exponent):
    noise = coloured_noise(np.random.default_rng(5), 4 * SAMPLE_RATE, exponent)
    assert noise.dtype == np.float32
    assert np.sqrt(np.mean(noise.astype(np.float64) ** 2)) == pytest.approx(1.0, abs=1e-5)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    bands = np.geomspace(30, 7_900, 25)
    level = [power[(frequency >= low) & (frequency < high)].mean() for low, high in pairwise(bands)]
    slope = np.polyfit(np.log(np.sqrt(bands[:-1] * bands[1:])), np.log(level), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


def test_noise_depends_on_its_generator():
    first, again, other = (coloured_noise(np.random.default_rng(seed), 999, 1.0) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@given(
    snr_db=st.floats(-10, 50),
    seed=st.integers(0, 1_000),
    exponent=st.sampled_from([0.0, 1.0, 2.0]),
    pause=st.integers(0, 6_000),
    level=st.floats(1e-2, 10),
)  # fmt: skip
@settings(max_examples=50)
def test_snr_is_exact_where_somebody_speaks(snr_db, seed, exponent, pause, level):
    rng = np.random.default_rng(seed)
    speech = np.concatenate([np.zeros(pause), level * rng.standard_normal(8_000)]).astype(np.float32)
    active = np.arange(len(speech)) >= pause
    noise = coloured_noise(rng, len(speech), exponent)
    added = mix(speech, noise, active, snr_db).astype(np.float64) - speech
    signal = np.mean(speech[active].astype(np.float64) ** 2)
    assert 10 * np.log10(signal / np.mean(added**2)) == pytest.approx(snr_db, abs=0.02)
    assert np.corrcoef(added, noise)[0, 1] == pytest.approx(1.0, abs=1e-3)
