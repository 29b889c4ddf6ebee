"""WADA-SNR: the numbers of the model, and signals that are as the model says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data.snr import HIGHEST_DB, LOWEST_DB, SHAPE, expected_g, wada_snr_db

RATE = 16_000


def model_signal(snr_db: float, seconds: float = 10.0, seed: int = 0) -> np.ndarray:
    """Speech and noise as the method takes them to be: gamma-distributed with random signs, and Gaussian."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    speech = rng.gamma(SHAPE, size=n) * rng.choice([-1.0, 1.0], n)
    power = SHAPE * (SHAPE + 1)
    mixed = speech + rng.standard_normal(n) * math.sqrt(power / 10 ** (snr_db / 10))
    return (0.02 * mixed).astype(np.float32)


def test_the_limits_are_those_of_noise_alone_and_of_speech_alone():
    # Gaussian: E|z| = sqrt(2/pi), E ln|z| = -(gamma + ln 2)/2. Gamma variable: ln k - digamma(k).
    noise = math.log(math.sqrt(2 / math.pi)) + (np.euler_gamma + math.log(2)) / 2
    assert expected_g(-30) == pytest.approx(noise, abs=2e-5)
    digamma = -2.5613845445851
    assert expected_g(200) < math.log(SHAPE) - digamma
    assert math.log(SHAPE) - digamma - expected_g(60) == pytest.approx(0.1151, abs=1e-3)


@pytest.mark.parametrize("snr_db", [-10.0, 0.0, 10.0, 30.0])
def test_the_integrals_are_the_means_of_a_large_sample(snr_db):
    z = np.abs(model_signal(snr_db, seconds=250).astype(np.float64))  # 4 million draws
    assert expected_g(snr_db) == pytest.approx(np.log(z.mean()) - np.log(z).mean(), abs=0.004)


def test_g_ascends_with_the_snr():
    values = [expected_g(level) for level in np.arange(LOWEST_DB, HIGHEST_DB + 1)]
    assert all(np.diff(values) > 0)


@given(st.floats(0, 40), st.integers(0, 99))
@settings(max_examples=25)
def test_signals_as_the_model_says_are_judged_right(snr_db, seed):
    assert wada_snr_db(model_signal(snr_db, seed=seed)) == pytest.approx(snr_db, abs=2.5)


@given(st.floats(0.3, 20), st.floats(-0.2, 0.2))
@settings(max_examples=25)
def test_neither_level_nor_offset_matters(gain, offset):
    samples = model_signal(12.0, seconds=2.0)
    moved = (gain * samples + np.float32(offset)).astype(np.float32)
    assert wada_snr_db(moved) == pytest.approx(wada_snr_db(samples), abs=0.3)


def test_digital_silence_is_no_part_of_the_recording():
    samples = model_signal(8.0, seconds=2.0)
    padded = np.concatenate([np.zeros(RATE, np.float32), samples, np.zeros(3 * RATE, np.float32)])
    assert wada_snr_db(padded) == wada_snr_db(samples)
    assert wada_snr_db(padded[: RATE + RATE // 4]) is None


def test_results_stay_within_limits():
    rng = np.random.default_rng(0)
    square = np.tile([0.5, -0.5], RATE).astype(np.float32)  # flatter than any noise
    clicks = np.tile([1.0, -1.0, *[1e-6] * 98], RATE // 100).astype(np.float32)
    assert wada_snr_db(square) == LOWEST_DB
    assert wada_snr_db(clicks) == HIGHEST_DB
    assert LOWEST_DB <= wada_snr_db(rng.standard_normal(RATE).astype(np.float32)) < 0


@pytest.mark.parametrize(
    "samples", [np.zeros(2 * RATE, np.float32), np.zeros(0, np.float32), np.ones(RATE // 4, np.float32)]
)
def test_silence_and_very_short_clips_have_none(samples):
    assert wada_snr_db(samples) is None
