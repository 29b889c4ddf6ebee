"""One clip with noise and a room: exact SNR and C50, times that stay true, labels that no longer do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.data.acoustics import reverberate
from desta2.data.attributes import load_scheme
from desta2.data.disturb import Copy, Recipe, augment_clip, copies_of, generator
from desta2.data.scenes import draw_room
from desta2.errors import InputError
from desta2.records import Clip


def bursts(pause=4_000, level=0.05):
    """Two stretches of "speech" with a pause between, and where they are."""
    samples = level * np.random.default_rng(1).standard_normal(24_000)
    active = np.ones(24_000, bool)
    active[10_000 : 10_000 + pause] = False
    return (samples * active).astype(np.float32), active


def clip(**fields):
    return Clip.model_validate({"id": "x", "audio": "x.wav", **fields})


def power(samples):
    return float(np.mean(samples.astype(np.float64) ** 2))


@settings(max_examples=60)
@given(
    # Up to 40: the gain is written with two decimals, and what it is off by must stay far below the noise.
    snr=st.floats(-10, 40).map(lambda value: round(value, 1)),
    own=st.one_of(st.none(), st.floats(-5, 60)),
    pause=st.integers(0, 8_000),
    level=st.floats(0.001, 0.5),
)  # fmt: skip
def test_the_written_snr_is_that_of_the_sound(snr, own, pause, level):
    """What is heard is speech, its own noise and the added noise: powers add."""
    samples, active = bursts(pause, level)
    measured = {} if own is None else {"snr_db": own}
    record, sound = augment_clip(
        clip(measured=measured), Copy(1, snr, False), samples, active, Recipe(), load_scheme()
    )
    gain = 10 ** (record.augmented["gain_db"] / 20)
    added = power(sound / gain - samples)
    share = 0 if own is None else 10 ** (-own / 10)  # own noise over speech
    speech = power(samples[active]) / (1 + share)
    # 0.06: the SNR is written with one decimal, the gain with two
    assert record.measured["snr_db"] == pytest.approx(
        10 * np.log10(speech / (added + share * speech)), abs=0.06
    )
    assert record.augmented["added_snr_db"] == snr
    assert np.abs(sound).max() <= 0.9701


def test_the_room_is_applied_in_time_and_its_c50_written():
    samples, active = bursts()
    record, sound = augment_clip(clip(), Copy(2, None, True), samples, active, Recipe(), load_scheme())
    _, room = draw_room(generator(0, "x", 2, "room"), None)
    assert record.measured == {"c50_db": round(room.c50_db, 1)}
    assert record.augmented == {"of": "x", "room": "simulated", "gain_db": record.augmented["gain_db"]}
    peak = int(np.argmax(np.abs(room.response)))
    np.testing.assert_allclose(
        sound,
        reverberate(samples, room)[peak:][:24_000] * 10 ** (record.augmented["gain_db"] / 20),
        rtol=2e-3,
    )
    click = np.zeros(24_000, np.float32)
    click[5_000] = 0.9
    _, heard = augment_clip(clip(), Copy(2, None, True), click, active, Recipe(), load_scheme())
    assert np.argmax(np.abs(heard)) == 5_000


def test_what_no_longer_holds_is_taken_out_of_the_record():
    samples, active = bursts()
    given_clip = clip(
        start=3.0, end=4.5, duration=1.5, text="hi", speaker="s", other=7,
        attributes={"gender": "Male", "noise_level": "Clean", "Reverberation": "Dry", "volume": "Quiet"},
        measured={"f0_median_hz": 120.0, "loudness_lufs": -40.0, "c50_db": 50.0},
        segments=[{"start": 0.0, "end": 0.5, "text": "hi"}],
    )  # fmt: skip
    noisy, _ = augment_clip(given_clip, Copy(1, 5.0, False), samples, active, Recipe(), load_scheme())
    assert noisy.id == "x+noise1"
    assert (noisy.start, noisy.end, noisy.duration) == (None, None, 1.5)
    assert noisy.attributes == {"gender": "Male", "Reverberation": "Dry"}
    assert noisy.measured == {"f0_median_hz": 120.0, "c50_db": 50.0, "snr_db": 5.0}
    assert noisy.segments == given_clip.segments
    assert (noisy.text, noisy.speaker, noisy.other) == ("hi", "s", 7)
    both, _ = augment_clip(given_clip, Copy(2, 5.0, True), samples, active, Recipe(), load_scheme())
    assert both.id == "x+reverb+noise2"
    assert both.attributes == {"gender": "Male"}
    guessed = clip(
        attributes={"noise_level": "Clean", "emotion": "Sad"},
        measured={"snr_db_estimated": 30.0},
        estimated={"noise_level": {"by": "WADA-SNR"}, "emotion": {"by": "m"}},
    )
    room, _ = augment_clip(guessed, Copy(1, None, True), samples, active, Recipe(), load_scheme())
    assert room.measured.keys() == {"c50_db"}
    assert (room.attributes, room.estimated) == ({"emotion": "Sad"}, {"emotion": {"by": "m"}})
    labelled = clip(attributes={"volume": "Loud"})  # the corpus's own word, of the voice
    kept, _ = augment_clip(labelled, Copy(1, 5.0, False), samples, active, Recipe(), load_scheme())
    assert kept.attributes == {"volume": "Loud"}


def test_a_loud_clip_is_scaled_and_says_so():
    samples, active = bursts(level=0.3)
    record, sound = augment_clip(clip(), Copy(1, -10.0, False), samples, active, Recipe(), load_scheme())
    assert np.abs(sound).max() == pytest.approx(0.97, abs=1e-4)
    assert record.augmented["gain_db"] < -3


def test_draws_depend_on_seed_id_and_number_alone():
    recipe = Recipe(copies=50)
    drawn = copies_of(clip(), recipe)
    assert drawn == copies_of(clip(text="other", duration=3.0), recipe)
    assert drawn[:9] == copies_of(clip(), Recipe(copies=drawn[8].number))
    assert drawn != copies_of(clip(), Recipe(copies=50, seed=1))
    assert drawn != copies_of(Clip(id="y", audio="x.wav"), recipe)
    # another probability of rooms leaves the noise as it was
    noisy = {
        copy.number: copy.snr_db for copy in copies_of(clip(), Recipe(copies=50, reverb_probability=0.0))
    }
    assert noisy == {copy.number: copy.snr_db for copy in drawn if copy.snr_db is not None}


def test_probabilities_and_range_hold():
    drawn = [
        copy
        for number in range(400)
        for copy in copies_of(Clip(id=f"c{number}", audio="a"), Recipe(snr_db=(5.0, 15.0)))
    ]
    noisy = [copy.snr_db for copy in drawn if copy.snr_db is not None]
    assert len(drawn) == pytest.approx(300, abs=35)  # one of four gets nothing
    assert len(noisy) == pytest.approx(200, abs=40)
    assert sum(copy.room for copy in drawn) == pytest.approx(200, abs=40)
    assert min(noisy) >= 5 and max(noisy) <= 15 and np.mean(noisy) == pytest.approx(10, abs=0.7)


def test_a_clip_from_an_audible_room_gets_no_second_one():
    always = Recipe(noise_probability=0.0, reverb_probability=1.0)
    assert copies_of(clip(measured={"c50_db": 12.0}), always) == []
    assert copies_of(clip(measured={"c50_db": 45.0}), always) == [Copy(1, None, True)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise_probability": 1.5}, r"noise_probability is 1\.5; it must be from 0 to 1"),
        ({"reverb_probability": float("nan")}, "reverb_probability is nan; it must be from 0 to 1"),
        (
            {"snr_db": (20.0, 5.0)},
            r"snr_db is 20\.0 to 5\.0; expected two finite numbers, the lower one first",
        ),
        ({"snr_db": (0.0, float("inf"))}, r"snr_db is 0\.0 to inf; expected two finite"),
        ({"copies": 0}, "copies is 0; it must be at least 1"),
    ],
)
def test_impossible_values(values, message):
    with pytest.raises(InputError, match=message):
        Recipe(**values)
