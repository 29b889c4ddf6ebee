"""The nano world: synthetic speech clips whose every attribute is known.

`make_corpus` writes wav files and ordinary Clip records; from there on nothing in the pipeline knows that the
corpus is synthetic. Labels that the world decides (gender, accent, emotion, intent) are corpus labels; noise,
rooms and speed are given as exact numbers (`snr_db`, `c50_db`, `syllables_per_s` over the time of speech,
without the pauses between sentences); pitch, volume and duration are left to be measured by `desta2
annotate`, as for any corpus. Emotions are synthetic styles of speaking (`styles`). The words for numbers, and
the limits between them, are the nano world's own (`SCHEME`); a copy lies beside the clips, where the stages
find it.

espeak-ng keeps state between sentences, so a clip depends on what its process said before. Clips are
therefore made in blocks of fixed size, each in a fresh process: the corpus is the same for any number of
cores, and the first clips of a larger corpus are those of a smaller one.
"""

from __future__ import annotations

import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import soxr

from desta2.data.acoustics import Room, coloured_noise, mix, reverberate
from desta2.data.audio import SAMPLE_RATE, write_wav
from desta2.data.pool import die_with_parent
from desta2.data.speed import count_syllables
from desta2.errors import InputError
from desta2.nano.espeak import require_espeak, synthesiser
from desta2.nano.grammar import INTENTS, SPLITS, draw_sentences
from desta2.nano.rooms import make_rooms
from desta2.nano.styles import STYLES, Style, apply_style
from desta2.nano.voices import ACCENTS, draw_speaker
from desta2.progress import track
from desta2.records import Clip, write_records

SCHEME = Path(__file__).with_name("attributes.yaml")
"""The words that the nano backbones were trained on, for `load_scheme`."""

MAX_SECONDS = 7.95
BLOCK = 400
_SNR_DB = {"clean": (28.0, 45.0), "mild": (13.0, 19.0), "noisy": (4.0, 9.0)}
_PEAK = 0.97
PITCHES = (18, 82)
"""espeak's pitch of 0 to 99 before the style changes it: the lowest and the highest."""
_FRAME = 160  # clips are whole frames of 10 ms


@dataclass(frozen=True)
class _Draw:
    """Everything that is decided about a clip before it is spoken."""

    sentences: tuple[str, ...]
    voice: str
    style: Style
    tremor_hz: float
    pause: float
    rate: int
    pitch: int
    level_db: float
    room: Room
    snr_db: float
    noise_colour: float
    before: float
    after: float


@cache
def _rooms(split: str) -> dict[str, list[Room]]:
    return make_rooms(seed=SPLITS.index(split))


def _say(draw: _Draw, sentence: str, tract: float) -> np.ndarray:
    """One sentence, clean (samples,) at 16 kHz, silence at both ends removed."""
    engine, style = synthesiser(), draw.style
    # Playing the samples back at another rate scales formants and pitch together, as another tract would.
    raw = engine.speak(
        sentence,
        draw.voice,
        rate=round(draw.rate * style.rate / tract),
        pitch=draw.pitch + style.pitch,
        pitch_range=style.pitch_range,
    )
    speech = soxr.resample(raw, engine.sampling_rate * tract, SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(speech) > 0.01 * np.abs(speech).max())
    return np.asarray(speech[loud[0] : loud[-1] + 1], dtype=np.float32)


def _speak(draw: _Draw, tract: float) -> tuple[np.ndarray, np.ndarray]:
    """The sentences in their style, clean (samples,) at 16 kHz, and where speech is, bool (samples,)."""
    pause = np.zeros(round(draw.pause * SAMPLE_RATE), np.float32)
    parts: list[np.ndarray] = []
    active: list[np.ndarray] = []
    for sentence in draw.sentences:
        if parts:
            parts.append(pause)
            active.append(np.zeros(len(pause), bool))
        parts.append(_say(draw, sentence, tract))
        active.append(np.ones(len(parts[-1]), bool))
    return apply_style(draw.style, np.concatenate(parts), draw.tremor_hz), np.concatenate(active)


def _render(draw: _Draw, speech: np.ndarray, spoken: np.ndarray, noise_seed: int) -> np.ndarray:
    """The clip (samples,) as the microphone hears the clean speech (samples,), active where `spoken`."""
    before, after = (round(seconds * SAMPLE_RATE) for seconds in (draw.before, draw.after))
    after -= (before + len(speech) + after) % _FRAME  # spectra of odd lengths cost ten times as much
    clip = np.zeros(before + len(speech) + after, np.float32)
    wet = reverberate(speech, draw.room)[: len(speech) + after]
    clip[before : before + len(wet)] = wet
    active = np.zeros(len(clip), bool)
    active[before : before + len(speech)] = spoken
    noise = coloured_noise(np.random.default_rng(noise_seed), len(clip), draw.noise_colour)
    clip = mix(clip, noise, active, draw.snr_db)
    clip = clip * (10 ** (draw.level_db / 20) / np.sqrt(np.mean(clip[active] ** 2)))
    too_loud = max(1.0, float(np.abs(clip).max()) / _PEAK)
    return np.asarray(clip / too_loud, dtype=np.float32)


def make_clip(split: str, index: int, seed: int) -> tuple[Clip, np.ndarray]:
    """Make clip number `index` of a split.

    Returns:
        its record (audio path relative to the corpus folder), and the samples, float32 (samples,) at 16 kHz.
    """
    rng = Random(f"{seed}-{split}-{index}")
    speaker = draw_speaker(rng, split)
    accent = rng.choice(tuple(ACCENTS))
    emotion, intent = rng.choice(tuple(STYLES)), rng.choice(INTENTS)
    while True:
        kind = rng.choice(("dry", "dry", "light", "echoing"))
        noise = rng.choice(("clean", "clean", "mild", "noisy"))
        rate = rng.choice((rng.randint(115, 145), rng.randint(160, 200), rng.randint(230, 290)))
        draw = _Draw(
            sentences=draw_sentences(rng, split, intent),
            voice=f"{ACCENTS[accent]}+{speaker.variant}",
            style=STYLES[emotion],
            tremor_hz=rng.uniform(8, 10),
            pause=rng.uniform(0.15, 0.45),
            rate=rate,
            pitch=rng.randint(*PITCHES),
            level_db=rng.choice((rng.uniform(-45, -37), rng.uniform(-31, -26), rng.uniform(-20, -15))),
            room=rng.choice(_rooms(split)[kind]),
            snr_db=round(rng.uniform(*_SNR_DB[noise]), 1),
            noise_colour=rng.choice((0.0, 1.0, 2.0)),
            before=rng.uniform(0.05, 0.25),
            after=rng.uniform(0.10, 0.50),
        )
        speech, spoken = _speak(draw, speaker.tract)
        noise_seed = rng.getrandbits(32)
        if len(speech) / SAMPLE_RATE + draw.before + draw.after < MAX_SECONDS:
            break
    samples = _render(draw, speech, spoken, noise_seed)
    text = ". ".join(draw.sentences)
    identifier = f"nano-{split}-{seed}-{index:06d}"
    clip = Clip(
        id=identifier,
        audio=f"audio/{identifier}.wav",
        duration=round(len(samples) / SAMPLE_RATE, 3),
        text=text,
        language="en",
        speaker=speaker.id,
        source="nano",
        attributes={
            "gender": speaker.gender.capitalize(),
            "accent": accent,
            "emotion": emotion.capitalize(),
            "intent": intent.capitalize(),
        },
        measured={
            "snr_db": draw.snr_db,
            "c50_db": round(draw.room.c50_db, 1),
            "syllables_per_s": round(count_syllables(text) * SAMPLE_RATE / spoken.sum(), 2),
        },
    )
    return clip, samples


def _make_block(job: tuple[str, int, int, int, str]) -> list[Clip]:
    """Make the clips of one block, in a process that has said nothing before."""
    split, first, count, seed, folder = job
    clips = []
    for index in range(first, first + count):
        clip, samples = make_clip(split, index, seed)
        path = Path(folder) / clip.audio
        write_wav(path, samples)
        clips.append(clip)
    return clips


def make_corpus(
    n: int, folder: Path, split: str = "train", seed: int = 0, processes: int | None = None
) -> Path:
    """Write `n` clips of a split: `folder/audio/*.wav`, `folder/attributes.yaml` and `folder/clips.jsonl`.

    Args:
        n: number of clips, at least 1.
        folder: made if it is not there.
        split: "train", "val" or "test": other speakers, sentences and rooms in each.
        seed: another seed draws other clips from the same speakers.
        processes: how many to use; all cores by default. The result does not depend on it.

    Returns:
        path of the manifest.

    Raises:
        InputError: unknown split, `n` below 1, or the extra `synth` is not installed.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if n < 1:
        raise InputError(f"a corpus needs at least one clip, got n={n}")
    require_espeak()  # complain about a missing extra here, not in a worker
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    jobs = [(split, first, min(BLOCK, n - first), seed, str(folder)) for first in range(0, n, BLOCK)]
    clips: list[Clip] = []
    context = multiprocessing.get_context("spawn")  # a fork would inherit what this process has said
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=die_with_parent, max_tasks_per_child=1
    ) as pool:
        blocks = pool.map(_make_block, jobs)
        for block in track(blocks, total=len(jobs), description=f"speaking {n} {split} clips"):
            clips += block
    shutil.copyfile(SCHEME, folder / SCHEME.name)
    manifest = folder / "clips.jsonl"
    write_records(manifest, clips)
    return manifest
