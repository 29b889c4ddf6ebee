"""Rooms with a known C50 and noise at a known SNR, shared by augmentation and the nano world.

Trade-off: rooms are shoe boxes by the image-source method (pyroomacoustics), whose capped image order bends
the reverberation time that was asked for; so nothing is said of that time, and C50 is computed on the impulse
response itself. All signals are float32 (samples,) at 16 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from desta2.data.audio import SAMPLE_RATE
from desta2.data.reverberation import c50_db
from desta2.errors import InputError

_BEFORE_PEAK = 40  # samples kept before the strongest one: the filters of a response ring before it
_DIRECT = 120  # samples, from there on, that count as the direct sound


@dataclass(frozen=True)
class Room:
    """An impulse response, float32 (taps,) at 16 kHz with unit direct-path energy, and its C50 in dB."""

    response: np.ndarray
    c50_db: float


def room_of(response: np.ndarray, seconds: float | None = None) -> Room:
    """A room by its impulse response (taps,): starting with the direct sound, and as loud as without a room.

    Args:
        response: simulated or recorded.
        seconds: cut so long after the direct sound; C50 is that of the cut response.

    Raises:
        InputError: the response is silent.
    """
    peak = int(np.argmax(np.abs(response)))
    if not response[peak]:
        raise InputError("an impulse response must not be silent")
    end = None if seconds is None else peak + round(seconds * SAMPLE_RATE)
    response = response[max(0, peak - _BEFORE_PEAK) : end]
    direct = float(np.sqrt((response[:_DIRECT] ** 2).sum()))
    return Room(response / direct, c50_db(response))


def simulate(
    size: np.ndarray, absorption: float, source: np.ndarray, microphone: np.ndarray, image_order: int
) -> np.ndarray:
    """Impulse response (taps,) of a shoe box, by the image-source method.

    Args:
        size: length, width, height in metres.
        absorption: share of the energy that a wall swallows, the same for all walls and frequencies.
        source: place in metres, inside.
        microphone: place in metres, inside.
        image_order: reflections followed; the tail is cut where they end.

    Raises:
        InputError: the extra `synth` is not installed.
    """
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise InputError("room simulation needs the extra 'synth': pip install 'desta2[synth]'") from error
    room = pra.ShoeBox(size, fs=SAMPLE_RATE, materials=pra.Material(absorption), max_order=image_order)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    return np.asarray(room.rir[0][0], dtype=np.float32)


def reverberate(speech: np.ndarray, room: Room) -> np.ndarray:
    """Speech (samples,) as heard in the room; the tail is kept, so the result is longer."""
    return np.asarray(fftconvolve(speech, room.response), dtype=np.float32)


def coloured_noise(rng: np.random.Generator, n_samples: int, exponent: float) -> np.ndarray:
    """Noise with a power spectrum of 1/f^exponent (0 white, 1 pink, 2 brown), float32 (n_samples,), RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequency = np.maximum(np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE), 20.0)
    noise = np.fft.irfft(spectrum * frequency ** (-exponent / 2), n_samples)
    return np.asarray(noise / np.sqrt(np.mean(noise**2)), dtype=np.float32)


def mix(speech: np.ndarray, noise: np.ndarray, active: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise so that speech power (where `active` is true) over noise power is exactly `snr_db`.

    Args:
        speech: (samples,).
        noise: (samples,), RMS 1.
        active: (samples,) of bool, true where there is speech: pauses do not dilute the ratio.
        snr_db: signal-to-noise ratio in dB.
    """
    power = float(np.mean(speech[active].astype(np.float64) ** 2))
    return np.asarray(speech + noise * np.sqrt(power / 10 ** (snr_db / 10)), dtype=np.float32)
