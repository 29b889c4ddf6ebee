"""The nano benchmark's questions: the same for every system, and answerable from what is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.evaluate.formats import obeys
from desta2.evaluate.score import is_right
from desta2.evaluate.tasks import FORMATS_PER_CLIP, facts_of, nano_items
from desta2.nano.language import ASPECT, ASPECTS, ENDS, FORMATS, STARTS
from desta2.records import Clip

WRITTEN = {
    "gender": "Female", "accent": "Scottish", "pitch": "High", "volume": "Quiet", "speaking_speed": "Fast",
    "noise_level": "Noisy", "reverberation": "Dry", "duration": "3s",
}  # fmt: skip


def clip(name="c1", text="the fox says hello", **attributes):
    return Clip(id=name, audio="a.wav", text=text, attributes=attributes or WRITTEN)


some_clips = st.dictionaries(st.sampled_from(sorted(WRITTEN)), st.none(), min_size=1).flatmap(
    lambda keys: st.builds(
        clip, st.text(min_size=1, max_size=8), **{key: st.just(WRITTEN[key]) for key in keys}
    )
)


def test_facts_are_what_sentences_say():
    facts = facts_of(clip())
    assert facts.text == "the fox says hello"
    assert facts.values == {
        "gender": "female", "accent": "Scottish", "pitch": "high", "volume": "quiet", "speaking_speed": "fast",
        "noise_level": "noisy", "reverberation": "dry", "duration": "3 seconds",
    }  # fmt: skip
    assert facts_of(clip(duration="1s")).values == {"duration": "1 second"}


@pytest.mark.parametrize(
    "attributes", [{"accent": "Texan"}, {"duration": "60s"}, {"emotion": "Happy"}, {"gender": ""}]
)
def test_values_outside_the_nano_world_are_left_out(attributes):
    assert facts_of(clip(**attributes)).values == {}
    assert nano_items([clip(**attributes)]) == []


def test_a_clip_without_text_can_be_asked_about():
    assert len(nano_items([clip(text=None)])) == len(nano_items([clip()]))


def test_each_known_attribute_is_asked_for_once_and_formats_twice():
    items = nano_items([clip("a"), clip("b", gender="Male", pitch="Low")])
    asked = [item for item in items if item.task.startswith("attribute/")]
    tasks = [item.task for item in asked if item.clip == "a"]
    assert tasks == [f"attribute/{aspect.key}" for aspect in ASPECTS]
    labels = {item.task: item.label for item in asked if item.clip == "b"}
    assert labels == {"attribute/gender": "male", "attribute/pitch": "low"}
    for name in "ab":
        assert sum(item.clip == name and item not in asked for item in items) == FORMATS_PER_CLIP


@given(some_clips)
def test_items_are_well_formed(one):
    items = nano_items([one])
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.id == f"{one.id}/{item.task}"
        assert item.clip == one.id
        kind, _, name = item.task.partition("/")
        assert is_right(item.key, item.label, ASPECT[item.key].say(item.label))
        if kind == "attribute":
            assert item.instruction in ASPECT[name].questions, "wordings that the LLM knows"
            assert item.key == name
            assert item.phrase == ""
        else:
            assert kind == "format" and name in FORMATS
            assert any(question in item.instruction for question in ASPECT[item.key].questions)
            assert bool(item.phrase) == (name in ("start", "end"))
            assert item.phrase in ({"start": STARTS, "end": ENDS}.get(name, [""]))
            assert item.phrase in item.instruction
            obeys(name, "an answer", item.phrase)  # the scorer knows the format


@given(some_clips, some_clips)
def test_questions_depend_on_the_clip_alone(one, other):
    assert nano_items([one]) == nano_items([one])
    if one.id != other.id:
        assert nano_items([other, one]) == nano_items([other]) + nano_items([one])


def test_other_clips_get_other_wordings():
    asked = {tuple(item.instruction for item in nano_items([clip(f"c{i}")])) for i in range(20)}
    assert len(asked) == 20
    formats = {item.task for i in range(60) for item in nano_items([clip(f"c{i}")]) if "format" in item.task}
    assert formats == {f"format/{name}" for name in FORMATS}


def test_one_word_is_not_asked_for_where_no_word_can_answer():
    for i in range(200):
        assert all(item.task != "format/word" for item in nano_items([clip(f"c{i}", duration="3s")]))
