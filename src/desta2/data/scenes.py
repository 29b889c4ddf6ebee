"""Where the noise and the rooms of augmentation come from: folders of recordings, or generated here.

Trade-off: generated noise is coloured (white, pink or brown), and generated rooms are empty shoe boxes. Both
need no download and are exact, but sound like a laboratory; babble, traffic and real rooms come from folders.
A folder is listed once in each process, in the order of its names, and everything is drawn from the given
generator, so that a clip gets the same noise and room wherever it is made.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from desta2.data.acoustics import Room, coloured_noise, room_of, simulate
from desta2.data.audio import SAMPLE_RATE, audio_seconds, load_audio
from desta2.errors import AudioError, InputError

_COLOURS = ("white", "pink", "brown")  # power spectrum 1/f^0, 1/f^1, 1/f^2
_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm", ".mka"}
_SILENCE = 1e-5  # RMS (-100 dBFS): no noise to be scaled
_TRIES = 10
_PADDING_S = 0.2  # what `audio_seconds` may count too much

_WALLS_M = np.array([[3.0, 10.0], [3.0, 8.0], [2.4, 4.0]])  # shortest and longest: length, width, height
_ABSORPTION = (0.06, 0.7)  # of the walls: bare concrete to a furnished, carpeted room
_DISTANCE_M = (0.3, 3.0)  # speaker to microphone
_MARGIN_M = 0.4  # of both to the walls
_IMAGE_ORDERS = (6, 24)  # fewest and most reflections followed
_QUIET_SHARE = 1e-4  # reflections are followed down to -40 dB, where the order allows


@lru_cache(maxsize=4)
def recordings(folder: Path) -> tuple[Path, ...]:
    """Audio files in a folder and its folders, by their suffix, in the order of their names.

    Raises:
        InputError: there are none, or there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; expected one with recordings")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not found:
        raise InputError(f"there is no audio in {folder}; expected {', '.join(sorted(_SUFFIXES))}")
    return tuple(found)


def draw_noise(rng: np.random.Generator, n_samples: int, folder: Path | None) -> tuple[str, np.ndarray]:
    """Noise of a given length, generated or a random part of a random recording in `folder`.

    A recording that is too short is repeated.

    Returns:
        its name (colour, or path within the folder), and float32 (n_samples,) at 16 kHz, RMS 1.

    Raises:
        AudioError: a recording cannot be read, or is silent wherever one listens.
        InputError: as `recordings`.
    """
    if folder is None:
        colour = int(rng.integers(len(_COLOURS)))
        return _COLOURS[colour], coloured_noise(rng, n_samples, float(colour))
    files = recordings(folder)
    path = files[int(rng.integers(len(files)))]
    needed = n_samples / SAMPLE_RATE
    spare = audio_seconds(path) - needed - _PADDING_S
    for _ in range(_TRIES):
        start = rng.uniform(0, max(0.0, spare))
        part = load_audio(path, start=start, end=start + needed) if spare > 0 else load_audio(path)
        noise = np.resize(part, n_samples)
        level = float(np.sqrt(np.mean(noise.astype(np.float64) ** 2)))
        if level > _SILENCE:
            return path.relative_to(folder).as_posix(), np.asarray(noise / level, dtype=np.float32)
    raise AudioError(f"{path}: silent in {_TRIES} places, so it cannot serve as noise; take it out")


def draw_room(rng: np.random.Generator, folder: Path | None) -> tuple[str, Room]:
    """A room, simulated or a random impulse response in `folder`.

    Returns:
        its name ("simulated", or path within the folder), and the room.

    Raises:
        AudioError: a response cannot be read, or is silent.
        InputError: as `recordings`, or the extra `synth` is not installed.
    """
    if folder is None:
        return "simulated", _shoe_box(rng)
    files = recordings(folder)
    path = files[int(rng.integers(len(files)))]
    return path.relative_to(folder).as_posix(), _recorded_room(path)


@lru_cache(maxsize=64)
def _recorded_room(path: Path) -> Room:
    response = load_audio(path)
    try:
        return room_of(response)
    except InputError as error:
        raise AudioError(f"{path}: {error}") from error


def _shoe_box(rng: np.random.Generator) -> Room:
    size = rng.uniform(*_WALLS_M.T)
    absorption = float(np.exp(rng.uniform(*np.log(_ABSORPTION))))
    low, high = np.full(3, _MARGIN_M), size - _MARGIN_M
    source = rng.uniform(low, high)
    direction = rng.normal(size=3)
    step = rng.uniform(*_DISTANCE_M) * direction / np.linalg.norm(direction)
    microphone = np.clip(source + step, low, high)
    if np.linalg.norm(microphone - source) < _DISTANCE_M[0]:  # pressed against a wall: the other way
        microphone = np.clip(source - step, low, high)
    order = np.clip(np.log(_QUIET_SHARE) / np.log(1 - absorption), *_IMAGE_ORDERS)
    return room_of(simulate(size, absorption, source, microphone, round(float(order))))
