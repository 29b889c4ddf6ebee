"""How right the measured attributes are, on synthetic speech whose truth is known by construction.

    python bench/accuracy.py [--clips 60] [--json]

Sentences and held-out voices of the nano world. What is true, and why:

- F0: every clip is spoken anew by our own excitation. Linear prediction takes the filter of each 25 ms of
  espeak's speech; it is driven by a pulse train that follows a melody drawn by us (80 to 300 Hz), or by noise
  where espeak's voice is off. The melody is the truth; no pitch tracker has a part in it.
- SNR: noise is added at a drawn ratio, over the time of speech.
- C50: of simulated rooms, from the energies and the delays of the source's mirror images, which the geometry
  gives; measured is the C50 of the impulse response that the images make together.
- Speed: syllables are the nuclei among the phonemes that espeak spoke, the time is that of its samples.
  Measured is what `desta2 annotate` sees: spelling and detected speech.

Everything comes from one seed; the table is that of docs/attributes.md.
"""

import argparse
import ctypes
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import soxr
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from desta2.data.acoustics import Room, coloured_noise, mix, reverberate
from desta2.data.attributes import f0_median_hz
from desta2.data.reverberation import c50_db
from desta2.data.snr import wada_snr_db
from desta2.data.speed import speaking_rate, syllables_of
from desta2.data.vad import speech_seconds
from desta2.nano.espeak import synthesiser
from desta2.nano.grammar import draw_sentence
from desta2.nano.rooms import make_rooms
from desta2.nano.voices import ACCENTS, draw_speaker

RATE = 16_000
TRUE_SNR_DB = tuple(range(-5, 31, 5))
NOISES = {"white": 0.0, "pink": 1.0, "brown": 2.0}
ROOMS = 24
_FRAME, _HOP, _ORDER = 400, 200, 16  # 25 ms, half of it, coefficients
_NUCLEUS = re.compile(r"[aeiouAEIOUV@03&]")


@dataclass
class Spoken:
    """A sentence: clean speech (samples,) at 16 kHz without silence around it, and how it was made."""

    text: str
    voice: str
    speech: np.ndarray
    rng: Random

    def padded(self, speech: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Speech with 0.3 s of silence around it, and where it is."""
        silence = round(0.3 * RATE)
        samples = np.pad(speech, silence).astype(np.float32)
        active = np.zeros(len(samples), bool)
        active[silence : silence + len(self.speech)] = True
        return samples, active


def main() -> None:
    """Measure, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(options.clips)
    print(json.dumps(result) if options.json else tables(result))


def measure(n: int) -> dict[str, Any]:
    """All errors on `n` sentences."""
    clips = [speak(Random(f"accuracy-{i}")) for i in range(n)]
    rooms = make_rooms(seed=99)
    return {
        "clips": n,
        "f0": f0_errors(clips, rooms),
        "snr": snr_errors(clips, rooms),
        "c50": c50_errors(Random("accuracy")),
        "speed": speed_errors(clips, rooms),
    }


def speak(rng: Random) -> Spoken:
    """Draw a sentence and a held-out voice, and speak it."""
    speaker, engine = draw_speaker(rng, "test"), synthesiser()
    text, voice = draw_sentence(rng, "test"), f"{ACCENTS[rng.choice(tuple(ACCENTS))]}+{speaker.variant}"
    raw = engine.speak(text, voice, rate=rng.randint(115, 290), pitch=rng.randint(5, 95))
    speech = soxr.resample(raw, engine.sampling_rate, RATE)
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    return Spoken(text, voice, speech[loud[0] : loud[-1] + 1], rng)


# Conditions: what stands between mouth and file


def _as_it_is(clip: Spoken, speech: np.ndarray, rooms: dict[str, list[Room]]) -> np.ndarray:
    return clip.padded(speech)[0]


def _noisy(clip: Spoken, speech: np.ndarray, rooms: dict[str, list[Room]]) -> np.ndarray:
    samples, active = clip.padded(speech)
    noise = coloured_noise(np.random.default_rng(len(clip.text)), len(samples), 1.0)
    return mix(samples, noise, active, 5.0)


def _echoing(clip: Spoken, speech: np.ndarray, rooms: dict[str, list[Room]]) -> np.ndarray:
    return reverberate(clip.padded(speech)[0], rooms["echoing"][len(clip.text) % 24])


CONDITIONS: dict[str, Callable[..., np.ndarray]] = {
    "as spoken": _as_it_is,
    "pink noise, 5 dB": _noisy,
    "echoing room (C50 below 8 dB)": _echoing,
}


# F0


def f0_errors(clips: list[Spoken], rooms: dict[str, list[Room]]) -> dict[str, Any]:
    """Error of the median F0, in percent of the true one."""
    sung = [sing(clip) for clip in clips]
    result = {}
    for name, condition in CONDITIONS.items():
        errors = []
        for clip, (speech, truth) in zip(clips, sung, strict=True):
            found = f0_median_hz(condition(clip, speech, rooms))
            errors.append(np.nan if found is None else 100 * abs(found / truth - 1))
        result[name] = _spread(errors)
    return result


def sing(clip: Spoken) -> tuple[np.ndarray, float]:
    """The clip spoken to a melody of ours, and the melody's median F0 in Hz over the voiced frames."""
    melody = _melody(clip.rng, len(clip.speech))
    pulses = _pulses(melody)
    noise = np.random.default_rng(1).standard_normal(len(clip.speech)) * pulses.std()
    window = np.hanning(_FRAME + 1)[:-1]
    out = np.zeros(len(clip.speech) + _FRAME)
    voiced_at = []
    for first in range(0, len(clip.speech) - _FRAME, _HOP):
        frame = clip.speech[first : first + _FRAME].astype(np.float64) * window
        voiced = _is_voiced(frame)
        source = (pulses if voiced else noise)[first : first + _FRAME] * window
        coefficients, gain = _predict(frame)
        ringing = lfilter([gain / max(source.std(), 1e-9)], coefficients, np.pad(source, (0, _FRAME)))
        out[first : first + 2 * _FRAME] += ringing[: len(out) - first]
        if voiced:
            voiced_at.append(first + _FRAME // 2)
    speech = out[: len(clip.speech)]
    return (0.5 * speech / np.abs(speech).max()).astype(np.float32), float(np.median(melody[voiced_at]))


def _melody(rng: Random, n: int) -> np.ndarray:
    """F0 of every sample in Hz: a base, falling by 15 %, with accents of up to 20 %."""
    time = np.arange(n) / RATE
    accents = 1 + rng.uniform(0.05, 0.2) * np.sin(
        2 * np.pi * rng.uniform(0.8, 2.5) * time + rng.uniform(0, 6)
    )
    return float(np.exp(rng.uniform(np.log(80), np.log(300)))) * (1 - 0.15 * time / time[-1]) * accents


def _pulses(melody: np.ndarray) -> np.ndarray:
    """A pulse train of that F0, as a sum of all harmonics below 7.5 kHz."""
    phase = 2 * np.pi * np.cumsum(melody) / RATE
    train = np.zeros(len(melody))
    for harmonic in range(1, int(7500 / melody.min()) + 1):
        train += np.where(harmonic * melody < 7500, np.cos(harmonic * phase), 0.0)
    return train


def _is_voiced(frame: np.ndarray) -> bool:
    power = np.abs(np.fft.rfft(frame)) ** 2
    low = power[: round(1000 * len(frame) / RATE)].sum()
    return bool(np.mean(frame**2) > 1e-4 * 0.05 and low > 0.6 * power.sum())


def _predict(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """Linear prediction by autocorrelation: coefficients of 1/A(z), and the residual's deviation."""
    correlation = np.correlate(frame, frame, "full")[len(frame) - 1 : len(frame) + _ORDER]
    correlation[0] = correlation[0] * 1.0001 + 1e-9
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    residual = correlation[0] - predictor @ correlation[1:]
    return np.concatenate([[1.0], -predictor]), float(np.sqrt(max(residual, 0.0) / len(frame)))


# SNR


def snr_errors(clips: list[Spoken], rooms: dict[str, list[Room]]) -> dict[str, Any]:
    """|error| and bias of WADA-SNR in dB, by true SNR and kind of noise or room."""
    result: dict[str, Any] = {}
    for true in TRUE_SNR_DB:
        found: dict[str, list[float]] = {name: [] for name in (*NOISES, "white, echoing room")}
        for i, clip in enumerate(clips):
            dry, active = clip.padded(clip.speech)
            wet = reverberate(dry, rooms["echoing"][i % 24])[: len(dry)]
            for name in found:
                exponent = NOISES.get(name, 0.0)
                noise = coloured_noise(np.random.default_rng(i), len(dry), exponent)
                mixed = mix(dry if name in NOISES else wet, noise, active, float(true))
                found[name].append(wada_snr_db(mixed) - true)  # type: ignore[operator]
        result[str(true)] = {
            name: {"error": float(np.mean(np.abs(errors))), "bias": float(np.mean(errors))}
            for name, errors in found.items()
        }
    return result


# C50


def c50_errors(rng: Random) -> dict[str, Any]:
    """|error| in dB for shoebox rooms of many kinds, against the energies of their mirror images."""
    import pyroomacoustics as pra

    errors = []
    for _ in range(ROOMS):
        size = np.array([rng.uniform(2.5, 9), rng.uniform(2.5, 9), rng.uniform(2.4, 4)])
        room = pra.ShoeBox(size, fs=RATE, materials=pra.Material(rng.uniform(0.1, 0.8)), max_order=20)
        room.add_source(size * [rng.uniform(0.2, 0.45), rng.uniform(0.2, 0.8), 0.5])
        room.add_microphone(size * [rng.uniform(0.55, 0.8), rng.uniform(0.2, 0.8), 0.4])
        room.compute_rir()
        mirrored = room.sources[0]
        distances = np.linalg.norm(mirrored.images - room.mic_array.R, axis=0)
        energies = (mirrored.damping[0] / distances) ** 2
        late = distances - distances.min() > 0.050 * room.c
        true = 10 * np.log10(energies[~late].sum() / energies[late].sum())
        errors.append(abs(c50_db(room.rir[0][0]) - true))
    return _spread(errors)


# Speed


def speed_errors(clips: list[Spoken], rooms: dict[str, list[Room]]) -> dict[str, Any]:
    """Error of the speaking speed, in percent of the true one, and of its two parts."""
    true = [nuclei(clip.text, clip.voice) for clip in clips]
    result: dict[str, Any] = {
        "syllables by spelling": _spread(
            [
                100 * abs((syllables_of(clip.text, "en") or 0) / n - 1)
                for clip, n in zip(clips, true, strict=True)
            ]
        )
    }
    for name, condition in CONDITIONS.items():
        errors = []
        for clip, syllables in zip(clips, true, strict=True):
            rate = syllables * RATE / len(clip.speech)
            active = speech_seconds(condition(clip, clip.speech, rooms))
            found = speaking_rate(syllables_of(clip.text, "en") or 0, active)
            errors.append(np.nan if found is None else 100 * abs(found / rate - 1))
        result[name] = _spread(errors)
    return result


def nuclei(text: str, voice: str) -> int:
    """Vowels and syllabic consonants among the phonemes that espeak makes of a text."""
    engine = synthesiser()
    engine.speak(text, voice, 170, 50)  # sets the voice
    translate = engine._lib.espeak_TextToPhonemes
    translate.restype = ctypes.c_char_p
    place = ctypes.pointer(ctypes.c_char_p(text.encode()))
    words = []
    while place.contents.value:
        words.append((translate(place, 1, ord("_") << 8) or b"").decode())  # phonemes parted by "_"
    phonemes = re.split(r"[_\s]+", " ".join(words))
    bare = [phoneme.lstrip("',%=|") for phoneme in phonemes]
    return sum(bool(_NUCLEUS.match(phoneme)) or phoneme.endswith("-") for phoneme in bare)


# Tables


def _spread(errors: list[float]) -> dict[str, float]:
    """Mean, median and 95th percentile of what was measured, and the share that was not."""
    known = [error for error in errors if not np.isnan(error)]
    return {
        "mean": float(np.mean(known)),
        "median": float(np.median(known)),
        "p95": float(np.percentile(known, 95)),
        "missing": 1 - len(known) / len(errors),
    }


def tables(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    lines = [
        f"{result['clips']} sentences",
        "",
        "| \\|error\\| | mean | median | 95 % below | not measured |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows = {
        **{f"median F0, {name}": (errors, "%") for name, errors in result["f0"].items()},
        **{f"speed, {name}": (errors, "%") for name, errors in result["speed"].items()},
        "C50 of an impulse response": (result["c50"], "dB"),
    }
    for name, (errors, unit) in rows.items():
        cells = [f"{errors[key]:.2f} {unit}" for key in ("mean", "median", "p95")]
        lines.append(f"| {name} | {' | '.join(cells)} | {errors['missing']:.0%} |")
    kinds = list(next(iter(result["snr"].values())))
    lines += ["", f"| true SNR, dB | {' | '.join(kinds)} |", "| --- |" + " --- |" * len(kinds)]
    for true, errors in result["snr"].items():
        cells = [f"{errors[kind]['error']:.1f} ({errors[kind]['bias']:+.1f})" for kind in kinds]
        lines.append(f"| {true} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
