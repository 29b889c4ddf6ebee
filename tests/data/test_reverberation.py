"""C50 of impulse responses that can be computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data.reverberation import c50_db
from desta2.errors import AudioError

SAMPLE_RATE = 16_000


@given(
    reverberation_time=st.floats(0.15, 3.0),
    delay=st.integers(0, 5_000),
    gain=st.floats(1e-3, 1e3),
)  # fmt: skip
@settings(max_examples=50)
def test_c50_of_an_exponential_decay_is_the_closed_form(reverberation_time, delay, gain):
    """Energy e^(-kt), k = ln(10^6)/T60: C50 = 10 log10(e^(0.05 k) - 1), whatever the delay and the level."""
    k = np.log(1e6) / reverberation_time
    time = np.arange(round(3 * reverberation_time * SAMPLE_RATE)) / SAMPLE_RATE
    response = np.concatenate([np.zeros(delay), gain * np.exp(-k * time / 2)])
    assert c50_db(response) == pytest.approx(min(60.0, 10 * np.log10(np.exp(0.05 * k) - 1)), abs=0.01)


def test_c50_counts_the_first_50_ms_from_the_direct_sound_on():
    response = np.zeros(4_000, np.float32)
    response[1_000] = 1.0
    response[1_000 + 799] = 1.0  # the last early sample
    response[1_000 + 800] = 1.0  # the first late one
    assert c50_db(response) == pytest.approx(10 * np.log10(2))
    assert c50_db(response, sampling_rate=8_000) == pytest.approx(-10 * np.log10(2))


@pytest.mark.parametrize("place", [0, 7, 999])
def test_c50_of_one_impulse_is_60_db(place):
    response = np.zeros(1_000, np.float32)
    response[place] = 0.3
    assert c50_db(response) == 60.0


def test_c50_is_limited_to_60_db():
    response = np.zeros(2_000, np.float32)
    response[0], response[1_500] = 1.0, 1e-4  # 80 dB
    assert c50_db(response) == 60.0
    response[1_500] = 1e-2
    assert c50_db(response) == pytest.approx(40.0)


@pytest.mark.parametrize("taps", [0, 100])
def test_silence_has_no_c50(taps):
    with pytest.raises(AudioError, match="an impulse response is silent, so it has no C50"):
        c50_db(np.zeros(taps))
