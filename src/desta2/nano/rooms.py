"""Where it is said: simulated rooms with a known C50, and noise at a known SNR.

Impulse responses come from the image-source method (pyroomacoustics). Their C50 is computed on the impulse
response itself, because a capped image order bends the reverberation time that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from scipy.signal import fftconvolve

from desta2.data.audio import SAMPLE_RATE
from desta2.data.reverberation import c50_db
from desta2.errors import InputError

ROOMS_PER_KIND = 24
_KINDS = {
    # wall absorption, shortest and longest wall in metres, distance to the microphone in metres
    "dry": ((0.75, 0.90), (2.5, 5.0), (0.3, 0.8)),
    "light": ((0.30, 0.42), (3.0, 6.0), (0.8, 1.4)),
    "echoing": ((0.10, 0.18), (4.0, 8.0), (1.0, 1.8)),
}
_IMAGE_ORDER = {"dry": 8, "light": 10, "echoing": 20}


@dataclass(frozen=True)
class Room:
    """An impulse response, float32 (taps,) at 16 kHz with unit direct-path energy, and its C50 in dB."""

    response: np.ndarray
    c50_db: float


def _simulate(kind: str, rng: Random) -> Room:
    try:
        import pyroomacoustics as pra
    except ImportError as error:
        raise InputError("room simulation needs the extra 'synth': pip install 'desta2[synth]'") from error
    absorption, wall, distance = _KINDS[kind]
    size = np.array([rng.uniform(*wall), rng.uniform(*wall), rng.uniform(2.4, 3.5)])
    room = pra.ShoeBox(
        size, fs=SAMPLE_RATE, materials=pra.Material(rng.uniform(*absorption)), max_order=_IMAGE_ORDER[kind]
    )
    source = size * [rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.6)]
    angle = rng.uniform(-0.6, 0.6)
    step = min(rng.uniform(*distance), 0.9 * (size[0] - source[0]))
    microphone = source + np.array([step * np.cos(angle), step * np.sin(angle) * 0.5, 0.0])
    microphone = np.clip(microphone, 0.1, size - 0.1)
    room.add_source(source)
    room.add_microphone(microphone)
    room.compute_rir()
    response = np.asarray(room.rir[0][0], dtype=np.float32)
    onset = int(np.argmax(np.abs(response)))
    response = response[max(0, onset - 40) : onset + round(0.8 * SAMPLE_RATE)]
    direct = float(np.sqrt((response[: 40 + 80] ** 2).sum()))
    return Room(response / direct, c50_db(response))


def make_rooms(seed: int, per_kind: int = ROOMS_PER_KIND) -> dict[str, list[Room]]:
    """Rooms of each kind; the same ones for the same seed."""
    return {kind: [_simulate(kind, Random(f"{seed}-{kind}-{i}")) for i in range(per_kind)] for kind in _KINDS}


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
