"""Who speaks in the nano world.

A speaker is an espeak-ng variant (a timbre) with a vocal-tract factor and a habitual pitch. Variants are
split by hand so that held-out speakers have timbres that no training speaker has: variants whose formant
tables are near copies (steph/steph2/steph3, linda/belinda, f2/f5, m7/m8/Nguyen, the Hugo family) stay on
the same side. Robotic, whispered and echoing variants are left out: they carry no natural pitch or would
spoil the reverberation label.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "female": (
            "Annie", "anika", "aunty", "f1", "f3", "f4", "shelby", "steph", "steph2", "steph3", "Alicia",
        ),
        "male": (
            "Alex", "Andy", "Denis", "Gene", "Gene2", "Hugo", "michel", "Marco", "Mario", "Michael", "Mike",
            "m1", "m3", "m4", "m6", "antonio", "gustave", "max", "norbert", "john", "paul", "rob", "robert",
            "quincy", "victor", "grandpa",
        ),
    },
    "val": {"female": ("grandma",), "male": ("pablo", "pedro")},
    "test": {
        "female": ("f2", "f5", "Andrea", "linda", "belinda"),
        "male": ("m2", "m5", "m7", "m8", "Nguyen", "sandro"),
    },
}  # fmt: skip
ACCENTS: dict[str, str] = {
    "American": "gmw/en-US",
    "British": "gmw/en-GB-x-rp",
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


def speakers(split: str) -> list[Speaker]:
    """All speakers of a split, always the same ones."""
    found = []
    for gender, variants in VARIANTS[split].items():
        for variant in variants:
            for number in range(_SPEAKERS_PER_VARIANT):
                rng = Random(f"{variant}-{number}")
                tract = rng.uniform(0.94, 1.07)
                found.append(Speaker(f"{split}-{variant}-{number}", gender, variant, tract))
    return found


def draw_speaker(rng: Random, split: str) -> Speaker:
    """Draw a speaker, both genders alike often."""
    gender = rng.choice(("female", "male"))
    return rng.choice([speaker for speaker in speakers(split) if speaker.gender == gender])
