"""Noise and rooms from folders and made here: levels, repetition, determinism, and folders without use."""

import numpy as np
import pytest
import soundfile

from desta2.data.acoustics import SAMPLE_RATE
from desta2.data.disturb import generator
from desta2.data.reverberation import c50_db
from desta2.data.scenes import draw_noise, draw_room, recordings
from desta2.errors import AudioError, InputError


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.astype(np.float32), SAMPLE_RATE)


def level(noise):
    return np.sqrt(np.mean(noise.astype(np.float64) ** 2))


def test_generated_noise_has_every_colour():
    drawn = [draw_noise(generator(number), 1600, None) for number in range(20)]
    assert {name for name, _ in drawn} == {"white", "pink", "brown"}
    assert all(noise.shape == (1600,) and level(noise) == pytest.approx(1, abs=1e-5) for _, noise in drawn)


def test_noise_is_a_random_part_of_a_recording(tmp_path):
    ramp = np.linspace(0.1, 0.9, 5 * SAMPLE_RATE)  # its level tells the place
    write(tmp_path / "street" / "a.wav", ramp)
    places = set()
    for number in range(5):
        name, noise = draw_noise(generator(number), SAMPLE_RATE, tmp_path)
        assert name == "street/a.wav"
        assert noise.shape == (SAMPLE_RATE,) and level(noise) == pytest.approx(1, abs=1e-5)
        places.add(round(float(noise[-1] / noise[0]), 5))
    assert len(places) == 5
    again = [draw_noise(generator(3), SAMPLE_RATE, tmp_path)[1] for _ in range(2)]
    assert np.array_equal(*again)


def test_a_short_recording_is_repeated(tmp_path):
    write(tmp_path / "a.wav", 0.5 * np.sin(np.arange(1000)))
    _, noise = draw_noise(generator(0), 2500, tmp_path)
    assert np.array_equal(noise[:1000], noise[1000:2000])
    assert np.array_equal(noise[:500], noise[2000:])


def test_a_silent_recording_is_named(tmp_path):
    write(tmp_path / "a.wav", np.zeros(20_000))
    with pytest.raises(AudioError, match=r"a\.wav: silent in 10 places, so it cannot serve as noise"):
        draw_noise(generator(0), 1000, tmp_path)


def test_a_recording_with_one_silent_half_serves(tmp_path):
    half = np.zeros(8 * SAMPLE_RATE)
    half[4 * SAMPLE_RATE :] = 0.3
    write(tmp_path / "a.wav", half)
    for number in range(8):
        assert level(draw_noise(generator(number), 1000, tmp_path)[1]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("make", "message"), [(False, "is no folder"), (True, r"there is no audio in .*\.wav")]
)
def test_a_folder_without_use(tmp_path, make, message):
    folder = tmp_path / "noise"
    if make:
        folder.mkdir()
        (folder / "readme.txt").touch()
    with pytest.raises(InputError, match=message):
        recordings(folder)


def test_simulated_rooms_are_many_and_c50_is_that_of_the_response():
    rooms = [draw_room(generator(number), None) for number in range(12)]
    assert {name for name, _ in rooms} == {"simulated"}
    for _, room in rooms:
        assert room.c50_db == pytest.approx(c50_db(room.response), abs=1e-3)
    found = [room.c50_db for _, room in rooms]
    assert min(found) < 8 < 15 < max(found)  # echoing to nearly dry
    assert np.array_equal(draw_room(generator(0), None)[1].response, rooms[0][1].response)


def test_a_recorded_response(tmp_path):
    response = np.zeros(20_000)
    response[3_000], response[10_000] = 0.5, 0.05
    write(tmp_path / "hall.wav", response)
    name, room = draw_room(generator(0), tmp_path)
    assert name == "hall.wav"
    assert room.c50_db == pytest.approx(20, abs=0.01)
    write(tmp_path / "none" / "silent.wav", np.zeros(100))
    with pytest.raises(AudioError, match=r"silent\.wav: an impulse response must not be silent"):
        draw_room(generator(0), tmp_path / "none")
