"""What augmentation does to one clip: noise at a drawn level, a room, and a record that says so exactly.

What is drawn depends on the seed, the clip's id and the copy's number alone. Two definitions make the written
values exact. `snr_db` is the mean power of the (reverberant) speech, taken where somebody speaks, over the
mean power of the noise, taken over the whole clip; where the clip comes with an `snr_db` of its own, its own
noise is counted too, otherwise the recording is taken as clean. `c50_db` is that of the impulse response that
was applied; so a clip that comes from a known, audible room (`c50_db` below 30) gets no second one.

Trade-off: a copy is as long as its clip. The reverberation after the end is cut, so that duration, transcript
and the times of segments stay true.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from desta2.data.acoustics import mix, reverberate
from desta2.data.attributes import ESTIMATED, SAMPLE_RATE, Scheme, key_of
from desta2.data.estimates import estimates_of
from desta2.data.scenes import draw_noise, draw_room
from desta2.errors import InputError
from desta2.records import Clip

_PEAK = 0.97
_OWN_ROOM_DB = 30.0  # a clip with a lower C50 of its own comes from an audible room


@dataclass(frozen=True)
class Recipe:
    """What is done to the clips; the arguments of `augment` of the same names."""

    noise: Path | None = None
    rirs: Path | None = None
    noise_probability: float = 0.5
    reverb_probability: float = 0.5
    snr_db: tuple[float, float] = (0.0, 30.0)
    copies: int = 1
    originals: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("noise_probability", "reverb_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        low, high = self.snr_db
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise InputError(f"snr_db is {low} to {high}; expected two finite numbers, the lower one first")
        if self.copies < 1:
            raise InputError(f"copies is {self.copies}; it must be at least 1")


@dataclass(frozen=True)
class Copy:
    """What one copy of a clip gets: noise at `snr_db` (None for no noise), a room, or both."""

    number: int
    snr_db: float | None
    room: bool

    def id_of(self, clip: Clip) -> str:
        """The copy's id, such as "x+reverb+noise1"."""
        kinds = ("+reverb" if self.room else "") + ("+noise" if self.snr_db is not None else "")
        return f"{clip.id}{kinds}{self.number}"


def copies_of(clip: Clip, recipe: Recipe) -> list[Copy]:
    """What is drawn for the copies of a clip, those left out that would get nothing."""
    own_room = clip.measured.get("c50_db", math.inf) < _OWN_ROOM_DB
    drawn = []
    for number in range(1, recipe.copies + 1):
        for_noise, for_room, place = generator(recipe.seed, clip.id, number).random(3)
        low, high = recipe.snr_db
        snr = round(low + (high - low) * float(place), 1) if for_noise < recipe.noise_probability else None
        copy = Copy(number, snr, room=for_room < recipe.reverb_probability and not own_room)
        if copy.room or copy.snr_db is not None:
            drawn.append(copy)
    return drawn


def generator(*parts: object) -> np.random.Generator:
    """A random generator for what is named by `parts`: the same on every machine and in every process."""
    digest = hashlib.blake2b("\n".join(map(str, parts)).encode("utf-8", "surrogatepass"), digest_size=16)
    return np.random.default_rng(int.from_bytes(digest.digest(), "big"))


def augment_clip(
    clip: Clip,
    copy: Copy,
    samples: NDArray[np.float32],
    active: NDArray[np.bool_],
    recipe: Recipe,
    scheme: Scheme,
) -> tuple[Clip, NDArray[np.float32]]:
    """Make one copy of a clip.

    Args:
        clip: keeps everything that stays true; `start` and `end` are dropped, since the copy is cut.
        copy: what it gets.
        samples: its audio, float32 (samples,) at 16 kHz.
        active: bool (samples,), true where somebody speaks; some of it must be where noise is added.
        recipe: where noise and rooms come from.
        scheme: names the labels that are no longer true.

    Returns:
        its record, whose `audio` is still that of the clip, and its audio, float32 (samples,) within ±0.97.
        The field `augmented` tells what was done: `of`, `noise` with the `added_snr_db`, `room`, and
        `gain_db` of the whole.
    """
    told: dict[str, str | float] = {"of": clip.id}
    exact: dict[str, float] = {}
    if copy.room:
        name, room = draw_room(generator(recipe.seed, clip.id, copy.number, "room"), recipe.rirs)
        delay = int(np.argmax(np.abs(room.response)))
        samples = reverberate(samples, room)[delay : delay + len(samples)]
        exact["c50_db"], told["room"] = round(room.c50_db, 1), name
    if copy.snr_db is not None:
        rng = generator(recipe.seed, clip.id, copy.number, "noise")
        name, noise = draw_noise(rng, len(samples), recipe.noise)
        own = 10 ** (-clip.measured.get("snr_db", math.inf) / 10)  # the recording's noise over its speech
        samples = mix(samples, noise, active, copy.snr_db + 10 * math.log10(1 + own))
        exact["snr_db"] = round(-10 * math.log10(10 ** (-copy.snr_db / 10) + own), 1)
        told |= {"noise": name, "added_snr_db": copy.snr_db}
    gain = min(1.0, _PEAK / max(float(np.abs(samples).max()), 1e-9))
    told["gain_db"] = round(20 * math.log10(gain), 2)
    untrue = _untrue(clip, exact)
    labels = {attribute.key for attribute in scheme.attributes if attribute.measured in untrue}
    known = {key: value for key, value in clip.measured.items() if key.removesuffix(ESTIMATED) not in untrue}
    update: dict[str, Any] = {
        "id": copy.id_of(clip),
        "start": None,
        "end": None,
        "duration": max(0.001, round(len(samples) / SAMPLE_RATE, 3)),
        "attributes": {key: label for key, label in clip.attributes.items() if key_of(key) not in labels},
        "measured": known | exact,
        "augmented": told,
    }
    if estimated := estimates_of(clip):
        update["estimated"] = {key: source for key, source in estimated.items() if key not in labels}
    return clip.model_copy(update=update), np.asarray(samples * gain, dtype=np.float32)


def _untrue(clip: Clip, exact: Mapping[str, float]) -> set[str]:
    """The numbers that do not hold for a copy, nor do the words that come from them.

    Those of noise and room where these were added; loudness, where the clip has the number (a volume that the
    corpus states without one is that of the voice, and stays); and whatever was estimated from the sound.
    """
    estimated = {key.removesuffix(ESTIMATED) for key in clip.measured if key.endswith(ESTIMATED)}
    return {*exact, *estimated, *(clip.measured.keys() & {"loudness_lufs"})}
