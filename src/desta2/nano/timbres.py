"""Timbres of our own: espeak-ng variant files, drawn from a seed.

espeak-ng ships few variants that sound like women, and several are near copies of each other. A variant is a
short text file, so more can be made: formant frequencies, strengths and widths as a vocal tract and a throat
might have them, a base pitch, a spectral slope, some breath. Trade-off: the ranges are chosen by ear and
measurement around those of the shipped variants, not from anatomy. Echo is left out (it would spoil the
reverberation label), and so is all that changes the timing. Fields: docs/voices.md of espeak-ng.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class _Ranges:
    """Within what the timbres of a gender lie; percentages are of espeak's own voice, a man's."""

    pitch_hz: tuple[int, int]
    scale: tuple[int, int]  # of all formants, percent
    width: tuple[int, int]  # of the formants, percent
    breath: int  # at most


_RANGES = {
    "female": _Ranges(pitch_hz=(158, 190), scale=(108, 125), width=(90, 170), breath=5),
    "male": _Ranges(pitch_hz=(74, 98), scale=(84, 102), width=(70, 140), breath=3),
}


def own_variants(gender: str, numbers: Iterable[int]) -> tuple[str, ...]:
    """Names of timbres, such as "female07"."""
    return tuple(f"{gender}{number:02d}" for number in numbers)


def variant_text(name: str) -> str:
    """The variant file of a name that `own_variants` gave; the same name gives the same text."""
    gender = name.rstrip("0123456789")
    rng, ranges = Random(f"timbre-{name}"), _RANGES[gender]
    base = rng.randint(*ranges.pitch_hz)
    lines = [
        "language variant",
        f"name {name}",
        f"gender {gender}",
        f"pitch {base} {round(base * rng.uniform(1.40, 1.55))}",
        f"flutter {rng.randint(0, 6)}",
        f"roughness {rng.randint(0, 3)}",
        f"voicing {rng.randint(70, 120)}",
        f"consonants {rng.randint(60, 130)} {rng.randint(60, 130)}",
        f"formant 0 {rng.randint(92, 108)} {rng.randint(60, 140)} {rng.randint(*ranges.width)}",
    ]
    scale = rng.uniform(*ranges.scale)
    for formant in range(1, 6):
        # The lower formants tell the vowels apart and move together; the higher ones are the speaker's own.
        own = rng.uniform(0.95, 1.05) if formant <= 3 else rng.uniform(0.85, 1.10)
        strength = rng.randint(75, 115) if formant <= 2 else rng.randint(35, 130)
        lines.append(f"formant {formant} {round(scale * own)} {strength} {rng.randint(*ranges.width)}")
    high = rng.randint(0, 100)
    lines += [f"formant {formant} {round(scale)} {high} {rng.randint(80, 120)}" for formant in (6, 7, 8)]
    slope = rng.uniform(0.55, 1.10)  # of the amplitude from one of these frequencies to the next
    tone = " ".join(f"{hertz} {min(255, round(190 * slope**i))}" for i, hertz in enumerate((600, 1200, 2200)))
    lines.append(f"tone {tone} {rng.choice((3000, 3600))} {min(255, round(190 * slope**3))}")
    if rng.random() < 0.5:
        breath = rng.randint(1, ranges.breath)
        lines.append("breath " + " ".join(str(rng.randint(0, breath)) for _ in range(8)))
    return "\n".join(lines) + "\n"


def lay_out(shipped: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Make a data folder for espeak-ng in which variants of ours stand beside the shipped ones.

    Of the languages only those around English are in it: espeak-ng warns of more than 349 files of voices.

    Args:
        shipped: espeak-ng's own data folder, which is left as it is: all else in `folder` are links into it.
        folder: empty.
        names: of the variants of ours.
    """
    variants, languages = Path("voices", "!v"), Path("lang")
    (folder / variants).mkdir(parents=True)
    (folder / languages).mkdir()
    places = [path.relative_to(shipped) for path in shipped.iterdir() if path.is_file()]
    places += [languages / "gmw", *(path.relative_to(shipped) for path in (shipped / variants).iterdir())]
    for place in places:
        (folder / place).symlink_to(shipped / place)
    for name in names:
        (folder / variants / name).write_text(variant_text(name))
