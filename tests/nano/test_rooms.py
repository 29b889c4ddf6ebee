"""The three kinds of rooms of the nano world."""

import numpy as np
import pytest

from desta2.data.attributes import load_scheme
from desta2.data.reverberation import c50_db
from desta2.nano.grammar import SPLITS
from desta2.nano.rooms import make_rooms
from desta2.nano.world import SCHEME


@pytest.fixture(scope="module")
def rooms():
    """The rooms of each split."""
    return {split: make_rooms(seed) for seed, split in enumerate(SPLITS)}


def test_every_room_sounds_as_its_kind_says(rooms):
    scheme = {attribute.key: attribute for attribute in load_scheme(SCHEME).attributes}
    for split, kinds in rooms.items():
        for kind, found in kinds.items():
            heard = {scheme["reverberation"].word(round(room.c50_db, 1)).lower() for room in found}
            assert heard == {kind}, split


def test_c50_and_level_belong_to_the_response(rooms):
    for room in (room for kinds in rooms.values() for found in kinds.values() for room in found):
        assert room.response.dtype == np.float32
        assert room.c50_db == pytest.approx(c50_db(room.response), abs=1e-3)
        onset = int(np.argmax(np.abs(room.response)))
        direct = room.response[max(0, onset - 40) : onset + 80].astype(np.float64)
        assert (direct**2).sum() == pytest.approx(1.0, abs=1e-4)


def test_rooms_depend_on_the_seed_alone(rooms):
    again = make_rooms(1, per_kind=2)
    for kind, found in again.items():
        for room, first in zip(found, rooms["val"][kind], strict=False):
            assert np.array_equal(room.response, first.response)
    responses = {
        room.response.tobytes() for kinds in rooms.values() for found in kinds.values() for room in found
    }
    assert len(responses) == sum(len(found) for kinds in rooms.values() for found in kinds.values())
