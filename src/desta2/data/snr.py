"""How noisy a recording is, judged from the recording alone: WADA-SNR.

Kim and Stern, "Robust signal-to-noise ratio estimation based on waveform amplitude distribution analysis",
Interspeech 2008. The samples of clean speech are many small ones and few large ones: their magnitudes are
gamma-distributed with a shape of 0.4. Noise is Gaussian. The sum of the two lies the nearer to a Gaussian the
more noise there is, which one number tells: G = ln E|z| - E ln|z|. What G belongs to which SNR follows from
the model alone; `expected_g` computes it, where the authors give a table.

Trade-off: a dozen operations a sample and no training data, against an answer that holds as far as the two
distributions do. Noise that is not Gaussian (a second talker, music) is not seen for what it is, and
reverberation looks like noise. So the result is an estimate, and is marked as one; docs/attributes.md shows
its errors. Where noise was added on purpose, its exact SNR is known and nothing is estimated.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from desta2.data.audio import SAMPLE_RATE

SHAPE = 0.4
"""Of the gamma distribution of the magnitudes of clean speech, as the authors found it."""

LOWEST_DB, HIGHEST_DB = -10.0, 60.0
"""Beyond these G hardly moves any more; results are limited to them."""

_SHORTEST_S = 0.5  # fewer samples make E ln|z| a matter of luck
_BLOCK = SAMPLE_RATE // 100
_STEP_DB = 0.5
_SMALLEST = 0.5 / 32768 / np.e  # stands for 0: what ln|z| is on the average within half a step of 16 bits


def wada_snr_db(samples: NDArray[np.float32]) -> float | None:
    """Estimate the SNR in dB: power of the speech over that of the noise.

    As published, over the whole recording with its pauses, but for digital silence, which is no recording.
    Judged over detected speech alone, espeak sentences came out better at 25 dB and above (|error| 8 instead
    of 14 dB at 30 dB), but twice as bad in echoing rooms.

    Args:
        samples: (samples,) float32, full scale 1.0, at 16 kHz.

    Returns:
        dB, limited to `LOWEST_DB` and `HIGHEST_DB`; None for less than half a second and for silence.
    """
    samples = _without_digital_silence(samples)
    if len(samples) < _SHORTEST_S * SAMPLE_RATE:
        return None
    magnitudes = np.abs(samples - samples.mean(dtype=np.float64).astype(np.float32))
    mean = float(magnitudes.mean(dtype=np.float64))
    if mean <= _SMALLEST:
        return None
    logarithms = np.log(np.maximum(magnitudes, np.float32(_SMALLEST)))
    g = np.log(mean) - float(logarithms.mean(dtype=np.float64))
    levels, values = _table()
    return float(np.interp(g, values, levels))


def expected_g(snr_db: float) -> float:
    """G = ln E|z| - E ln|z| of z = speech + noise under the model, at an SNR in dB.

    The speech is a gamma variable of shape `SHAPE` with a random sign, the noise Gaussian. Both means follow
    from the characteristic function phi of z, which is the product of those of the two:

        E|z|    = 2/pi * integral over t > 0 of (1 - phi(t)) / t^2
        E ln|z| = -gamma - integral over t > 0 of (phi(t) - [t < 1]) / t      (gamma: Euler's constant)

    Taken over u = ln t both are integrals of smooth functions, for which the trapezoidal rule does. From -20
    to 60 dB the result is right to 1e-6, which is less than 0.01 dB.
    """
    noise = 10 ** (-snr_db / 10) * SHAPE * (SHAPE + 1)  # its power, where the gamma variable has scale 1
    below = np.linspace(-15.0, 0.0, 1501)  # u; where t is smaller, 1 - phi(t), of order t^2, is nothing
    above = np.linspace(0.0, 15.0, 1501)  # where t is larger, the noise has damped phi(t) to nothing

    def phi(u: NDArray[np.float64]) -> NDArray[np.float64]:
        t = np.exp(u)
        speech = (1 + t * t) ** (-SHAPE / 2) * np.cos(SHAPE * np.arctan(t))
        return np.asarray(speech * np.exp(-0.5 * noise * t * t))

    whole = np.concatenate([below, above[1:]])
    mean = 2 / np.pi * (np.trapezoid((1 - phi(whole)) * np.exp(-whole), whole) + np.exp(-above[-1]))
    mean_log = -np.euler_gamma - np.trapezoid(phi(below) - 1, below) - np.trapezoid(phi(above), above)
    return float(np.log(mean) - mean_log)


def _without_digital_silence(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples without stretches that are exactly zero, looked at in blocks of 10 ms."""
    whole = len(samples) // _BLOCK * _BLOCK
    blocks = samples[:whole].reshape(-1, _BLOCK)
    return np.concatenate([blocks[blocks.any(axis=1)].reshape(-1), samples[whole:]])


@cache
def _table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    levels = np.arange(LOWEST_DB, HIGHEST_DB + _STEP_DB, _STEP_DB)
    return levels, np.array([expected_g(float(level)) for level in levels])
