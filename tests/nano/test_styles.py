import numpy as np
import pytest

from desta2.nano.styles import STYLES, Style, apply_style

RATE = 16_000
TIME = np.arange(2 * RATE) / RATE


def level_db(samples):
    return 10 * np.log10(np.mean(samples.astype(np.float64) ** 2))


def buzz(hertz=150):
    """A tone with harmonics up to 6 kHz, (samples,)."""
    tone = sum(np.cos(2 * np.pi * hertz * k * TIME) / k for k in range(1, 6_000 // hertz))
    return (0.1 * tone).astype(np.float32)


def styled(**changes):
    return apply_style(Style(**changes), buzz(), tremor_hz=6.0)


def test_the_plain_style_changes_nothing():
    assert STYLES["neutral"] == Style()
    np.testing.assert_array_equal(styled(), buzz())


def test_every_style_keeps_length_and_stays_finite():
    for style in STYLES.values():
        speech = apply_style(style, buzz(), tremor_hz=6.0)
        assert speech.dtype == np.float32
        assert speech.shape == TIME.shape
        assert np.isfinite(speech).all()
    silence = np.zeros(999, np.float32)
    assert not any(apply_style(style, silence, 6.0).any() for style in STYLES.values())


def test_a_rise_is_a_line_in_db():
    speech = styled(rise_db=12.0)
    quarters = [level_db(part) for part in np.split(speech, 4)]
    assert np.diff(quarters) == pytest.approx([3, 3, 3], abs=0.2)


def test_a_glide_moves_the_pitch_from_end_to_end():
    speech = apply_style(Style(glide=4.0), np.sin(2 * np.pi * 200 * TIME).astype(np.float32), 6.0)
    crossings = [np.sum(np.diff(np.sign(part)) > 0) for part in (speech[: RATE // 2], speech[-RATE // 2 :])]
    # the first and the last quarter are centred on 3/8 of the glide below and above the middle
    assert 12 * np.log2(crossings[1] / crossings[0]) == pytest.approx(3.0, abs=0.25)


def test_a_tilt_is_db_an_octave_around_1_khz():
    after, before = (np.abs(np.fft.rfft(samples)) for samples in (styled(tilt_db=3.0), buzz()))
    for hertz, expected in ((450, 3 * np.log2(0.45)), (1_050, 3 * np.log2(1.05)), (4_050, 3 * np.log2(4.05))):
        assert 20 * np.log10(after[2 * hertz] / before[2 * hertz]) == pytest.approx(expected, abs=0.3)


def test_onsets_stand_out_and_no_more_than_they_may():
    sound = buzz() * (np.floor(TIME * 4) % 2)  # on and off four times a second
    speech = apply_style(Style(onset_db=9.0), sound, 6.0)
    gain = 20 * np.log10(np.abs(speech[sound != 0] / sound[sound != 0]))
    assert gain.max() == pytest.approx(9, abs=0.01)
    assert gain.min() > -0.01
    first, last = (slice(RATE // 4 + at, RATE // 4 + at + 400) for at in (0, 3_500))
    assert level_db(speech[first]) - level_db(sound[first]) > 5
    assert level_db(speech[last]) - level_db(sound[last]) < 1


def test_a_tremor_moves_the_level_so_often():
    envelope = np.abs(styled(tremor=0.5).astype(np.float64)).reshape(-1, 320).mean(1)  # 50 a second
    spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
    assert np.argmax(spectrum) / 2 == 6.0


def test_styles_differ_as_the_literature_says():
    sad, angry, happy, afraid = (STYLES[name] for name in ("sad", "angry", "happy", "afraid"))
    assert sad.rate < 1 < min(angry.rate, happy.rate, afraid.rate)
    assert sad.tilt_db < 0 < angry.tilt_db
    assert sad.rise_db < 0 < happy.rise_db
    assert sad.pitch_range < STYLES["neutral"].pitch_range < happy.pitch_range
    assert afraid.tremor > 0 == max(sad.tremor, angry.tremor, happy.tremor)
    assert angry.onset_db > 0
