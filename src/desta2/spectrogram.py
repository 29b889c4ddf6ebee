"""A picture of a clip: its log-mel-like spectrogram, and over it where the voice's pitch is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from desta2.data.attributes import f0_contour_hz
from desta2.data.audio import SAMPLE_RATE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WINDOW, _HOP = 512, 128  # 32 ms, 8 ms
_RANGE_DB = 70
_TOP_HZ = 5000  # what is above says little about a voice
_PITCH = (50, 500)  # Hz, of the axis on the right


def spectrogram(samples: np.ndarray) -> Figure:
    """Draw a clip.

    Args:
        samples: (samples,) at 16 kHz.
    """
    from matplotlib.figure import Figure
    from scipy.signal import stft

    padded = np.pad(samples, (0, max(0, _WINDOW - len(samples))))
    hertz, seconds, values = stft(padded, SAMPLE_RATE, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)
    level = 20 * np.log10(np.abs(values) + 1e-8)  # (frequencies, frames), dB
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    kept = hertz <= _TOP_HZ
    axes.pcolormesh(
        seconds, hertz[kept] / 1000, level[kept], cmap="magma", vmin=level.max() - _RANGE_DB, rasterized=True
    )
    axes.set(xlabel="seconds", ylabel="kHz", xlim=(0, len(samples) / SAMPLE_RATE))
    times, pitch = f0_contour_hz(samples)
    right = axes.twinx()
    right.plot(times, pitch, color="#7fe7ff", linewidth=2.2, label="F0")
    right.set(ylabel="F0, Hz", ylim=_PITCH)
    right.legend(loc="upper right", frameon=True)
    return figure
