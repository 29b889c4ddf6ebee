"""The rooms of the nano world: three kinds, named by how they sound."""

from __future__ import annotations

from random import Random

import numpy as np

from desta2.data.acoustics import Room, room_of, simulate

ROOMS_PER_KIND = 24
_KINDS = {
    # wall absorption, shortest and longest wall in metres, distance to the microphone in metres
    "dry": ((0.75, 0.90), (2.5, 5.0), (0.3, 0.8)),
    "light": ((0.30, 0.42), (3.0, 6.0), (0.8, 1.4)),
    "echoing": ((0.10, 0.18), (4.0, 8.0), (1.0, 1.8)),
}
_IMAGE_ORDER = {"dry": 8, "light": 10, "echoing": 20}
_SECONDS = 0.8


def _draw(kind: str, rng: Random) -> Room:
    walls, wall, distance = _KINDS[kind]
    size = np.array([rng.uniform(*wall), rng.uniform(*wall), rng.uniform(2.4, 3.5)])
    absorption = rng.uniform(*walls)
    source = size * [rng.uniform(0.2, 0.4), rng.uniform(0.2, 0.8), rng.uniform(0.4, 0.6)]
    angle = rng.uniform(-0.6, 0.6)
    step = min(rng.uniform(*distance), 0.9 * (size[0] - source[0]))
    microphone = source + np.array([step * np.cos(angle), step * np.sin(angle) * 0.5, 0.0])
    microphone = np.clip(microphone, 0.1, size - 0.1)
    return room_of(simulate(size, absorption, source, microphone, _IMAGE_ORDER[kind]), _SECONDS)


def make_rooms(seed: int, per_kind: int = ROOMS_PER_KIND) -> dict[str, list[Room]]:
    """Rooms of each kind; the same ones for the same seed. InputError without the extra `synth`."""
    return {kind: [_draw(kind, Random(f"{seed}-{kind}-{i}")) for i in range(per_kind)] for kind in _KINDS}
