"""How emotions sound in the nano world: five styles of speaking, synthetic and no more than that.

Nobody feels anything here. A style is what listeners go by, as the literature has it: Scherer (2003, Speech
Communication 40) and Juslin and Laukka (2003, Psychological Bulletin 129) agree that sadness goes with slow,
soft, flat and falling speech of little high-frequency energy, anger with fast, bright and hard speech, joy
with a wide, rising melody, fear with fast speech, little melody and a shaky voice. The directions are theirs,
the strengths are ours, chosen so that a supervised listener can tell the styles apart (bench/nano_probe.py).
Trade-off: what a style does to rate, pitch and level is small against what speakers do anyway, so emotion
does not follow from the other attributes, nor they from it; the level of a clip is set after its style.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from desta2.data.audio import SAMPLE_RATE

_KNEE_HZ = 1_000.0  # where a tilt neither raises nor lowers
_TILTED_HZ = (250.0, 6_000.0)  # beyond these a tilt stays what it is there
_QUICK_S, _SLOW_S = 0.008, 0.12  # time constants that an onset is told by


@dataclass(frozen=True)
class Style:
    """One way of speaking.

    Attributes:
        rate: factor on the words per minute.
        pitch: added to espeak's pitch of 0 to 99.
        pitch_range: espeak's liveliness of intonation, 0 (monotone) to 99.
        glide: by how much the pitch rises from beginning to end, in semitones.
        rise_db: by how much the level rises from beginning to end.
        tilt_db: by how much an octave up is louder than in the plain voice.
        onset_db: by how much the beginnings of sounds stand out, at most.
        tremor: depth of a tremor, 0 to 1.
    """

    rate: float = 1.0
    pitch: int = 0
    pitch_range: int = 50
    glide: float = 0.0
    rise_db: float = 0.0
    tilt_db: float = 0.0
    onset_db: float = 0.0
    tremor: float = 0.0


# A narrow range of espeak's lowers the median pitch, too; `pitch` makes up for a part of that, lest pitch
# give the emotion away.
STYLES: dict[str, Style] = {
    "neutral": Style(),
    "happy": Style(rate=1.06, pitch_range=95, glide=4.0, rise_db=12.0, tilt_db=1.5),
    "sad": Style(rate=0.90, pitch=2, pitch_range=8, glide=-2.5, rise_db=-12.0, tilt_db=-4.0),
    "angry": Style(rate=1.06, pitch_range=60, tilt_db=4.5, onset_db=9.0),
    "afraid": Style(rate=1.12, pitch=8, pitch_range=10, tilt_db=2.0, tremor=0.9),
}
"""By emotion, as attributes name them in lower case."""


def _smooth(level: NDArray[np.float64], seconds: float) -> NDArray[np.float64]:
    """Moving average (samples,) of `seconds`."""
    width = round(seconds * SAMPLE_RATE)
    sums = np.cumsum(np.pad(level, (width, 0)))
    return np.asarray((sums[width:] - sums[:-width]) / width)


def _glide(speech: NDArray[np.float64], semitones: float) -> NDArray[np.float64]:
    """Play (samples,) slower at first and faster in the end, or the other way round; the middle stays."""
    place = np.linspace(-0.5, 0.5, len(speech))
    speed = 2 ** (semitones * place / 12)
    read_at = np.concatenate([[0.0], np.cumsum(speed)[:-1]])
    read_at *= (len(speech) - 1) / read_at[-1]
    return np.interp(read_at, np.arange(len(speech)), speech)


def _tilt(speech: NDArray[np.float64], db_per_octave: float) -> NDArray[np.float64]:
    length = next_fast_len(len(speech), real=True)
    octaves = np.log2(np.clip(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), *_TILTED_HZ) / _KNEE_HZ)
    spectrum = np.fft.rfft(speech, length) * 10 ** (db_per_octave * octaves / 20)
    return np.fft.irfft(spectrum, length)[: len(speech)]


def _onsets(speech: NDArray[np.float64], most_db: float) -> NDArray[np.float64]:
    """Raise what is louder than what was just before, by up to `most_db`."""
    power = speech**2
    floor = 1e-4 * power.mean() + 1e-20
    excess_db = 10 * np.log10((_smooth(power, _QUICK_S) + floor) / (_smooth(power, _SLOW_S) + floor))
    return np.asarray(speech * 10 ** (np.clip(excess_db, 0, most_db) / 20))


def apply_style(style: Style, speech: NDArray[np.float32], tremor_hz: float) -> NDArray[np.float32]:
    """Speech as the style has it, of the same length; rate, pitch and range are the synthesiser's to change.

    Args:
        style: one of `STYLES`.
        speech: (samples,) at 16 kHz, clean.
        tremor_hz: in this clip; 8 to 10 Hz sounds shaky, and is faster than syllables follow each other.
    """
    place = np.linspace(-0.5, 0.5, len(speech))
    styled = speech.astype(np.float64)
    if style.glide:
        styled = _glide(styled, style.glide)
    if style.tilt_db:
        styled = _tilt(styled, style.tilt_db)
    if style.onset_db:
        styled = _onsets(styled, style.onset_db)
    if style.tremor:
        wave = np.sin(2 * np.pi * tremor_hz * np.arange(len(speech)) / SAMPLE_RATE)
        styled = styled * (1 - style.tremor * (0.5 + 0.5 * wave))
    return np.asarray(styled * 10 ** (style.rise_db * place / 20), dtype=np.float32)
