"""Seconds of audio that are annotated in a second: on one core, on all, and by librosa.

Audio: recordings of about ten seconds, sentences of one espeak voice with pauses and noise, 16 kHz wav, with
their texts. Measured is `annotate` whole: reading records, decoding, duration, F0, loudness, speech
detection, speed, SNR, writing. On several cores the time includes starting the processes. Beside it, in the
same run and on a part of the same files, what is usually written for the purpose: librosa.load, librosa.pyin
for F0, pyloudnorm, librosa's energy-based split for speech, and the same syllable count. Every process has
one thread.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

WANTED_REAL_TIME, WANTED_CORES = 100.0, 1.8
_PAUSE_S, _LENGTH_S = (0.1, 0.5), 10.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of audio for desta2")
    parser.add_argument(
        "--peer-minutes", type=float, default=1.0, help="minutes of it for librosa; 0 leaves it out"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs that the medians are over")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Times as fast as the audio is long, for each way; medians over the repeats."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from desta2.data.annotate import annotate

    with tempfile.TemporaryDirectory(prefix="desta2-bench-") as name:
        folder = Path(name)
        seconds = make_audio(folder, options.minutes)
        annotate(folder / "warm.jsonl", folder / "warm.out.jsonl", processes=1)
        ways: dict[str, list[float]] = {"one core": [], "all cores": []}
        for repeat in range(options.repeats):
            for way, processes in zip(ways, (1, options.processes), strict=True):
                out = folder / f"{way}-{repeat}.jsonl"
                started = time.perf_counter()
                annotate(folder / "clips.jsonl", out, processes=processes)
                ways[way].append(seconds / (time.perf_counter() - started))
        found = {way: statistics.median(speeds) for way, speeds in ways.items()}
        if options.peer_minutes:
            found["librosa"] = by_librosa(folder / "clips.jsonl", 60 * options.peer_minutes)
    return {
        "minutes": seconds / 60,
        "processes": options.processes,
        "times_real_time": found,
        "cores": found["all cores"] / found["one core"],
        "met": {
            "one core": found["one core"] >= WANTED_REAL_TIME,
            "cores": found["all cores"] / found["one core"] >= WANTED_CORES,
        },
    }


def make_audio(folder: Path, minutes: float) -> float:
    """Write recordings and `clips.jsonl` (and `warm.jsonl`, the first of them); gives the seconds."""
    from random import Random

    from desta2.data.audio import SAMPLE_RATE, write_wav
    from desta2.records import Clip, write_records

    clips: list[Clip] = []
    total = 0.0
    while total < 60 * minutes:
        samples, text = record(Random(f"recording-{len(clips)}"))
        clip = Clip(id=f"r{len(clips)}", audio=f"r{len(clips)}.wav", text=text, language="en")
        write_wav(folder / clip.audio, samples)
        total += len(samples) / SAMPLE_RATE
        clips.append(clip)
    write_records(folder / "clips.jsonl", clips)
    write_records(folder / "warm.jsonl", clips[:1])
    return total


def record(rng: Any) -> tuple[Any, str]:
    """Sentences of one voice with pauses between them, in pink noise 15 to 35 dB below; and their text."""
    import numpy as np
    import soxr

    from desta2.data.acoustics import coloured_noise, mix
    from desta2.data.audio import SAMPLE_RATE
    from desta2.nano.espeak import synthesiser
    from desta2.nano.grammar import draw_sentence
    from desta2.nano.voices import draw_speaker

    voice, pitch = f"gmw/en-US+{draw_speaker(rng, 'test').variant}", rng.randint(20, 80)
    parts: list[Any] = []
    texts: list[str] = []
    while sum(map(len, parts)) < _LENGTH_S * SAMPLE_RATE:
        texts.append(draw_sentence(rng, "test"))
        raw = synthesiser().speak(texts[-1], voice, rate=rng.randint(130, 220), pitch=pitch)
        speech = soxr.resample(raw, synthesiser().sampling_rate, SAMPLE_RATE)
        parts += [speech, np.zeros(round(rng.uniform(*_PAUSE_S) * SAMPLE_RATE))]
    speech = np.concatenate(parts).astype(np.float32)
    noise = coloured_noise(np.random.default_rng(rng.getrandbits(32)), len(speech), 1.0)
    mixed = mix(speech, noise, np.abs(speech) > 0.01, rng.uniform(15, 35))
    return 0.5 * mixed / np.abs(mixed).max(), " ".join(texts)


def by_librosa(manifest: Path, seconds: float) -> float:
    """Times real time of an annotation with librosa, on the first `seconds` of audio."""
    import librosa
    import numpy as np
    import pyloudnorm

    from desta2.data.speed import syllables_of
    from desta2.records import Clip, read_records

    def annotate(clip: Clip) -> tuple[float, dict[str, float]]:
        samples, rate = librosa.load(manifest.parent / clip.audio, sr=None)
        f0, voiced, _ = librosa.pyin(samples, fmin=50, fmax=600, sr=rate)
        speech = librosa.effects.split(samples, top_db=30)
        active = sum(end - start for start, end in speech) / rate
        inside = np.concatenate([samples[start:end] for start, end in speech])
        outside = np.delete(samples, np.r_[tuple(slice(*span) for span in speech)])
        return len(samples) / rate, {
            "f0": float(np.nanmedian(f0[voiced])),
            "lufs": pyloudnorm.Meter(rate).integrated_loudness(samples),
            "speed": (syllables_of(clip.text or "", "en") or 0) / active,
            "snr": float(10 * np.log10(np.mean(inside**2) / max(np.mean(outside**2), 1e-12))),
        }

    clips = list(read_records(manifest, Clip))
    annotate(clips[0])  # librosa compiles at the first call
    done, started = 0.0, time.perf_counter()
    for clip in clips:
        done += annotate(clip)[0]
        if done >= seconds:
            break
    return done / (time.perf_counter() - started)


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    verdict = {True: "as wanted", False: "missed"}
    speeds, met = result["times_real_time"], result["met"]
    rows = [
        f"{result['minutes']:.0f} minutes of audio",
        "",
        "| | times real time | wanted |",
        "| --- | --- | --- |",
        f"| one core | {speeds['one core']:.0f} | {WANTED_REAL_TIME:.0f}: {verdict[met['one core']]} |",
        f"| {result['processes']} cores | {speeds['all cores']:.0f} = {result['cores']:.2f} × one "
        f"| {WANTED_CORES} ×: {verdict[met['cores']]} |",
    ]
    if "librosa" in speeds:
        ratio = speeds["one core"] / speeds["librosa"]
        rows.append(
            f"| librosa.pyin, one core | {speeds['librosa']:.1f} (desta2 is {ratio:.0f} times as fast) | |"
        )
    return "\n".join(rows)
