import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from random import Random

import espeakng_loader
import numpy as np
import pytest
import soxr

from desta2.data.attributes import f0_median_hz
from desta2.nano.espeak import synthesiser
from desta2.nano.grammar import SPLITS
from desta2.nano.styles import STYLES
from desta2.nano.timbres import variant_text
from desta2.nano.voices import ACCENTS, GENDERS, OWN_VARIANTS, VARIANTS, draw_speaker, speakers
from desta2.nano.world import PITCHES

EDGES_HZ = np.geomspace(150, 7_000, 25)
SENTENCE = "our brave teacher found the yellow book"


def spoken(variant, pitch=50, accent="gmw/en-US"):
    return synthesiser().speak(SENTENCE, f"{accent}+{variant}", rate=200, pitch=pitch)


def spectrum(variant):
    """Long-term average spectrum in dB, level removed (24,), over three pitches: harmonics are no timbre."""
    power = np.zeros(len(EDGES_HZ) - 1)
    for pitch in (40, 50, 60):
        wave = spoken(variant, pitch)
        bins = np.abs(np.fft.rfft(wave)) ** 2
        hertz = np.fft.rfftfreq(len(wave), 1 / synthesiser().sampling_rate)
        power += np.histogram(hertz, EDGES_HZ, weights=bins)[0]
    level = 10 * np.log10(power + 1e-9 * power.max())
    return level - level.mean()


@pytest.fixture(scope="module")
def spectra():
    return {
        (split, gender): {variant: spectrum(variant) for variant in VARIANTS[split][gender]}
        for split in SPLITS
        for gender in GENDERS
    }


def test_there_are_enough_timbres_of_each_gender_on_each_side():
    for split, least in (("train", 24), ("val", 6), ("test", 10)):
        assert VARIANTS[split].keys() == set(GENDERS)
        assert all(len(set(variants)) == len(variants) >= least for variants in VARIANTS[split].values())


def test_no_timbre_is_a_near_copy_of_one_on_another_side(spectra):
    """The same timbre at other pitches is within 1.2 dB, near copies that espeak-ng ships within 1.7.

    Chosen to be 2.5 dB apart; breath is noise and moves some distances by a tenth or two.
    """
    for gender in GENDERS:
        for one, two in combinations(SPLITS, 2):
            near = [
                (variant, other)
                for variant, level in spectra[one, gender].items()
                for other, another in spectra[two, gender].items()
                if np.sqrt(np.mean((level - another) ** 2)) < 2.3
            ]
            assert near == [], (one, two)


def test_the_measure_tells_copies():
    again = np.sqrt(np.mean((spectrum("steph2") - spectrum("steph3")) ** 2))
    assert again < 1.7


def test_every_timbre_of_ours_has_a_pitch_as_its_gender_has():
    """Also the lowest and the highest that clips are spoken at; men are lower than women in between."""
    heard = {}
    for variant in OWN_VARIANTS:
        for pitch in (18, 50, 82) if variant in OWN_VARIANTS[::8] else (50,):
            wave = soxr.resample(spoken(variant, pitch), synthesiser().sampling_rate, 16_000)
            heard[variant, pitch] = f0_median_hz(wave)
            assert heard[variant, pitch] is not None, variant
            assert 55 < heard[variant, pitch] < 380, variant
    middle = {
        gender: [heard[v, 50] for v in OWN_VARIANTS if v.rstrip("0123456789") == gender] for gender in GENDERS
    }
    assert max(middle["male"]) < 145 < 165 < min(middle["female"])


def test_a_timbre_is_always_the_same_and_leaves_room_and_timing_alone():
    texts = [variant_text(name) for name in OWN_VARIANTS]
    assert texts == [variant_text(name) for name in OWN_VARIANTS]
    assert len(set(texts)) == len(texts)
    fields = {line.split()[0] for text in texts for line in text.splitlines()}
    assert fields == {
        "language", "name", "gender", "pitch", "flutter", "roughness", "voicing", "consonants", "formant", "tone",
        "breath",
    }  # fmt: skip


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_voice_of_the_nano_world_speaks(accent):
    engine, heard = synthesiser(), {}
    for variant in (
        variant for split in VARIANTS.values() for variants in split.values() for variant in variants
    ):
        heard[variant] = engine.speak("red", f"{ACCENTS[accent]}+{variant}", rate=200, pitch=50)
    assert all(len(wave) > 0.1 * engine.sampling_rate for wave in heard.values())
    assert len({wave.tobytes() for wave in heard.values()}) == len(heard)


def test_splits_share_no_variant_and_no_speaker():
    for field in ("variant", "id"):
        sets = [{getattr(speaker, field) for speaker in speakers(split)} for split in SPLITS]
        assert len(set.union(*sets)) == sum(map(len, sets))


def test_speakers_differ_in_tract():
    for split in SPLITS:
        tracts = [speaker.tract for speaker in speakers(split)]
        assert len(set(tracts)) == len(tracts)
        assert all(0.94 <= tract <= 1.07 for tract in tracts)


def test_both_genders_speak_alike_often():
    genders = Counter(draw_speaker(Random(i), "test").gender for i in range(300))
    assert 110 < genders["male"] < 190


LOWEST_PITCH, WIDEST_RANGE = 15, 95  # of espeak's 0 to 99: the lowest and widest that the world asks for


def lowest_hz(variant):
    """How low espeak-ng's melody gets (SetPitch2 in its source): the base falls as the range is widened.

    A variant's two pitches are the ends of its melody in Hz; the base is scaled by a table that doubles over
    50 steps, and comes down by 18 × 108 / 4096 of what the range gains.
    """
    low, high = map(int, re.search(r"^pitch\s+(\d+)\s+(\d+)", text_of(variant), re.MULTILINE).groups())
    scaled = low * 0.5 * 2 ** (LOWEST_PITCH / 50)
    return scaled - (high - low) * 18 * 108 / 4096 * (WIDEST_RANGE / 50 - 1)


def text_of(variant):
    shipped = Path(espeakng_loader.get_data_path()) / "voices" / "!v" / variant
    return shipped.read_text(errors="replace") if shipped.is_file() else variant_text(variant)


def test_no_voice_gets_so_low_that_espeak_crashes():
    everyone = [v for genders in VARIANTS.values() for variants in genders.values() for v in variants]
    lowest = {v: lowest_hz(v) for v in everyone if "\npitch" in text_of(v)}
    assert len(lowest) > 100
    assert {v: hertz for v, hertz in lowest.items() if hertz < 20} == {}
    assert max(map(lowest_hz, ("Annie", "Hugo", "rob", "robert", "shelby"))) < 20, "these crash"


def test_the_world_asks_for_nothing_lower_or_wider():
    draws = [style for style in STYLES.values() if style.pitch_range > 50]
    assert min(PITCHES[0] + style.pitch for style in draws) >= LOWEST_PITCH
    assert max(style.pitch_range for style in draws) <= WIDEST_RANGE
