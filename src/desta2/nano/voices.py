"""Who speaks in the nano world.

A speaker is an espeak-ng variant (a timbre) with a vocal-tract factor. Some variants are shipped, most are
ours (`timbres`). Those that are shipped are split by hand so that held-out speakers have timbres that no
training speaker has: variants whose formant tables are near copies (steph/steph2/steph3, linda/belinda,
f2/f5, m7/m8/Nguyen) stay on the same side. Ours are split by number, without those that
would sound like one on another side (`_TOO_NEAR`; a test measures how far apart the sides are). Robotic,
whispered and echoing variants are left out, as they carry no natural pitch or would spoil the reverberation
label, and so are grandma and grandpa, who would each be the only old voice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from random import Random

from desta2.nano.timbres import own_variants

GENDERS = ("female", "male")
_SHIPPED: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "female": (
            "anika", "f1", "f2", "f3", "f4", "f5", "steph", "steph2", "steph3", "Alicia",
        ),
        "male": (
            "Alex", "Andy", "Denis", "Gene", "Gene2", "michel", "Marco", "Mario", "Michael", "Mike",
            "m1", "m2", "m3", "m4", "m5", "m6", "antonio", "gustave", "max", "norbert", "john", "paul",
            "quincy", "pedro", "sandro",
        ),
    },
    "val": {"female": (), "male": ("pablo",)},
    "test": {
        "female": ("Andrea", "linda", "belinda"),
        "male": ("m7", "m8", "Nguyen"),
    },
}  # fmt: skip
# Numbers of our timbres in each split: (first, count).
_NUMBERS = {"train": (0, 36), "val": (36, 12), "test": (48, 16)}
# Ours that are left out: their spectrum is within 2.5 dB of a timbre of another split.
_TOO_NEAR = {
    "female": (1, 4, 6, 8, 10, 17, 18, 19, 23, 34, 35, 48, 58),
    "male": (0, 2, 4, 5, 7, 8, 11, 16, 18, 20, 21, 29, 30, 31, 36, 40, 42, 43, 45, 46, 47, 53, 55, 62),
}


def _ours(split: str, gender: str) -> tuple[str, ...]:
    first, count = _NUMBERS[split]
    return own_variants(gender, (n for n in range(first, first + count) if n not in _TOO_NEAR[gender]))


VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    split: {gender: (*shipped, *_ours(split, gender)) for gender, shipped in genders.items()}
    for split, genders in _SHIPPED.items()
}
"""espeak-ng variants by split and gender."""
OWN_VARIANTS = tuple(name for split in _NUMBERS for gender in GENDERS for name in _ours(split, gender))
"""Those of them that espeak-ng does not ship."""
# Four of espeak-ng's seven English accents that lie far apart: received pronunciation is too much like
# American, so the British voice is that of the West Midlands.
ACCENTS: dict[str, str] = {
    "American": "gmw/en-US",
    "British": "gmw/en-GB-x-gbcwmd",
    "Scottish": "gmw/en-GB-scotland",
    "Caribbean": "gmw/en-029",
}
_SPEAKERS_PER_VARIANT = 6


@dataclass(frozen=True)
class Speaker:
    """One voice.

    Attributes:
        id: such as "test-f5-3".
        gender: "female" or "male".
        variant: the espeak-ng variant.
        tract: factor on all frequencies (vocal-tract length), applied by resampling; 1 leaves it as it is.
    """

    id: str
    gender: str
    variant: str
    tract: float


@cache
def speakers(split: str) -> tuple[Speaker, ...]:
    """All speakers of a split, always the same ones."""
    found = []
    for gender, variants in VARIANTS[split].items():
        for variant in variants:
            for number in range(_SPEAKERS_PER_VARIANT):
                rng = Random(f"{variant}-{number}")
                tract = rng.uniform(0.94, 1.07)
                found.append(Speaker(f"{split}-{variant}-{number}", gender, variant, tract))
    return tuple(found)


def draw_speaker(rng: Random, split: str) -> Speaker:
    """Draw a speaker, both genders alike often."""
    gender = rng.choice(GENDERS)
    return rng.choice([speaker for speaker in speakers(split) if speaker.gender == gender])
