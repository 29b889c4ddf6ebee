"""How much a room echoes: the clarity index of its impulse response.

Trade-off: C50 is exact where the impulse response is known, since the reverberation was added, and is not
guessed otherwise; whoever has a model that hears it names it in the scheme (`classifiers`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from desta2.data.audio import SAMPLE_RATE
from desta2.errors import AudioError

DRIEST_DB = 60.0
"""Where hardly anything arrives late, C50 is limited to this."""


def c50_db(response: NDArray[np.floating], sampling_rate: int = SAMPLE_RATE) -> float:
    """Clarity index C50 in dB: energy of the first 50 ms after the direct sound over all later energy.

    Args:
        response: impulse response from source to microphone, (taps,), at any scale.
        sampling_rate: of the response, in Hz.

    Source: ISO 3382-1, A.2.3. Limited to 60 dB, where nothing arrives late.

    Raises:
        AudioError: the response is silent or empty.
    """
    energy = response.astype(np.float64) ** 2
    if not energy.any():
        raise AudioError("an impulse response is silent, so it has no C50; leave it out, or record it again")
    # onset: first sample within 20 dB of the peak (ISO 3382-1)
    onset = int(np.argmax(energy >= 0.01 * energy.max()))
    border = onset + round(0.050 * sampling_rate)
    late = energy[border:].sum()
    if late <= 0:
        return DRIEST_DB
    return float(min(DRIEST_DB, 10 * np.log10(energy[onset:border].sum() / late)))
