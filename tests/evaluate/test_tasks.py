"""The nano benchmark's questions: the same for every system, and answerable from what is known."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.evaluate.nano_rows import nano_rows
from desta2.evaluate.rules import is_item_right, is_obeyed
from desta2.evaluate.tasks import FORMATS_PER_CLIP, facts_of, nano_items
from desta2.nano.language import ASPECT, ASPECTS, DESCRIBE, ENDS, FORMATS, HELD_OUT_COMBINATIONS, STARTS
from desta2.records import Clip, Prediction

WRITTEN = {
    "gender": "Female", "accent": "Scottish", "emotion": "Afraid", "pitch": "High", "volume": "Quiet",
    "speaking_speed": "Fast", "noise_level": "Noisy", "reverberation": "Dry", "duration": "3s", "intent": "Warning",
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
        "gender": "female", "accent": "Scottish", "emotion": "afraid", "pitch": "high", "volume": "quiet",
        "speaking_speed": "fast", "noise_level": "noisy", "reverberation": "dry", "duration": "3 seconds",
        "intent": "warning",
    }  # fmt: skip
    assert facts_of(clip(duration="1s")).values == {"duration": "1 second"}


@pytest.mark.parametrize(
    "attributes", [{"accent": "Texan"}, {"duration": "60s"}, {"emotion": "Bored"}, {"gender": ""}]
)
def test_values_outside_the_nano_world_are_left_out(attributes):
    assert facts_of(clip(**attributes)).values == {}
    assert nano_items([clip(**attributes)]) == []


def tasks_of(items, family):
    return [item.task.partition("/")[2] for item in items if item.task.startswith(f"{family}/")]


def said(item, response=""):
    """A prediction of an item."""
    return Prediction.model_validate(
        {"id": item.id, "task": item.task, "instruction": "", "response": response, "label": item.label}
        | {"key": item.key, "phrase": item.phrase}
    )


def test_a_clip_without_text_is_not_asked_for_its_words():
    kinds = {name for i in range(40) for name in tasks_of(nano_items([clip(f"c{i}", text=None)]), "kind")}
    assert kinds == {"two", "options", "yes-no", "negation", "steps", "follow-up"}


def test_each_known_attribute_is_asked_for_chosen_and_described_and_formats_are_two():
    items = nano_items([clip("a"), clip("b", gender="Male", pitch="Low")])
    own = [item for item in items if item.clip == "a"]
    keys = [aspect.key for aspect in ASPECTS if aspect.key != "age"]
    assert [tasks_of(own, family) for family in ("attribute", "describe", "forced")] == [keys] * 3
    asked = [item for item in items if item.task.startswith("attribute/")]
    labels = {item.task: item.label for item in asked if item.clip == "b"}
    assert labels == {"attribute/gender": "male", "attribute/pitch": "low"}
    questions = {item.key: item.instruction for item in asked if item.clip == "a"}
    assert {i.key: i.instruction for i in own if i.task.startswith("forced/")} == questions
    assert {i.instruction for i in own if i.task.startswith("describe/")} == {DESCRIBE}
    for name in "ab":
        assert len(tasks_of([item for item in items if item.clip == name], "format")) == FORMATS_PER_CLIP


def test_a_clip_is_asked_one_of_each_kind_and_one_of_all_others():
    counts = Counter()
    for i in range(200):
        items = nano_items([clip(f"c{i}")])
        kinds = tasks_of(items, "kind")
        assert len(kinds) == 8
        assert {"two", "options", "transcribe", "count", "follow-up", "word"} <= set(kinds)
        assert [len(tasks_of(items, name)) for name in ("unseen", "combination", "unknown")] == [1, 1, 1]
        [unknown] = [item for item in items if item.task.startswith("unknown/")]
        assert (unknown.key, unknown.label) == ("age", "not clear")
        counts.update(kinds + tasks_of(items, "combination"))
    assert 70 < counts["negation"] < 130
    assert all(40 < counts[kind] < 95 for kind in ("steps", "count-steps", "rate"))
    assert {name for name in counts if "+" in name} == {
        f"{kind}+{name}" for kind, name in HELD_OUT_COMBINATIONS
    }


def test_age_is_not_unanswerable_where_it_is_known():
    items = nano_items([clip(age="Elderly")])
    assert tasks_of(items, "unknown") == []
    assert tasks_of(items, "attribute") == ["age"]


def answer_to(item, facts):
    """The answer that the nano language gives, if its question can be told from the instruction alone."""
    kind = item.task.partition("/")[2].partition("+")[0]
    words = facts.words
    match kind:
        case "transcribe":
            return f'The speaker says "{facts.text}".'
        case "count":
            return f"The number of words is {len(words)}."
        case "count-steps":
            return f'Step 1: The speaker says "{facts.text}". Answer: The number of words is {len(words)}.'
        case "word":
            which = "first" if "first" in item.instruction else "last"
            return f'The {which} word is "{words[0 if which == "first" else -1]}".'
    return None


@given(some_clips)
@settings(max_examples=30)
def test_items_are_well_formed(one):
    items = nano_items([one])
    facts = facts_of(one)
    assert len({item.id for item in items}) == len(items)
    for item in items:
        assert item.id == f"{one.id}/{item.task}"
        assert item.clip == one.id
        family, _, name = item.task.partition("/")
        is_item_right(said(item))  # the scorer knows the task and its label
        if family == "kind" and (answer := answer_to(item, facts)):
            assert is_item_right(said(item, answer)), item
        if family in ("attribute", "forced"):
            assert item.instruction in ASPECT[name].trained, "wordings that the LLM knows"
        if family == "unseen":
            assert item.instruction in ASPECT[name].held_out
        if family in ("format", "combination"):
            fmt = name.partition("+")[2] or name
            assert bool(item.phrase) == (fmt in ("start", "end"))
            assert item.phrase in ({"start": STARTS, "end": ENDS}.get(fmt, [""]))
            assert item.phrase in item.instruction
            is_obeyed(said(item))
        assert bool(item.first) == (name.partition("+")[0] == "follow-up")


def test_rows_of_a_comparison_have_names_of_their_own():
    items = [item for i in range(60) for item in nano_items([clip(f"c{i}")])]
    names = [row.name for row in nano_rows([said(item) for item in items])]
    assert len(names) > 40
    assert [name for name, times in Counter(names).items() if times > 1] == []


@given(some_clips, some_clips)
@settings(max_examples=30)
def test_questions_depend_on_the_clip_alone(one, other):
    assert nano_items([one]) == nano_items([one])
    if one.id != other.id:
        assert nano_items([other, one]) == nano_items([other]) + nano_items([one])


def test_other_clips_get_other_wordings():
    asked = {tuple(item.instruction for item in nano_items([clip(f"c{i}")])) for i in range(20)}
    assert len(asked) == 20
    formats = {
        item.task
        for i in range(60)
        for item in nano_items([clip(f"c{i}")])
        if item.task.startswith("format/")
    }
    assert formats == {f"format/{name}" for name in FORMATS}


def test_one_word_is_not_asked_for_where_no_word_can_answer():
    for i in range(200):
        assert all(item.task != "format/word" for item in nano_items([clip(f"c{i}", duration="3s")]))
