"""Estimates are marked, and can be left out."""

import pytest

from desta2.data.estimates import estimates_of, mark_estimates, without_estimates
from desta2.errors import RecordError
from desta2.records import Clip


def test_marks_add_up_and_live_in_the_record():
    clip = Clip(id="a", audio="a", attributes={"gender": "Female"})
    assert mark_estimates(clip, {}) == clip
    assert estimates_of(clip) == {}
    once = mark_estimates(clip, {"gender": {"by": "model", "confidence": 0.9}})
    twice = mark_estimates(once, {"noise_level": {"by": "WADA-SNR"}})
    again = Clip.model_validate(twice.to_dict())
    assert estimates_of(again) == {
        "gender": {"by": "model", "confidence": 0.9}, "noise_level": {"by": "WADA-SNR"},
    }  # fmt: skip
    assert estimates_of(clip) == {}


def test_what_is_estimated_can_be_left_out():
    clip = Clip(
        id="a",
        audio="a",
        text="hello",
        attributes={"Noise level": "Clean", "gender": "Female", "pitch": "High"},
        measured={"snr_db_estimated": 30.0, "f0_median_hz": 220.0},
        estimated={"noise_level": {"by": "WADA-SNR"}, "text": {"by": "whisper"}},
    )
    kept = without_estimates(clip)
    assert kept.attributes == {"gender": "Female", "pitch": "High"}
    assert kept.measured == {"f0_median_hz": 220.0}
    assert kept.text == "hello"


@pytest.mark.parametrize("value", ["yes", ["gender"], {"gender": "model"}])
def test_a_field_of_the_same_name_is_an_error(value):
    with pytest.raises(
        RecordError, match=r"clip 'a': 'estimated' must be an object .*give that field another name"
    ):
        estimates_of(Clip(id="a", audio="a", estimated=value))
