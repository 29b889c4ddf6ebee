import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.answers import OTHER, is_right, normalise, read_answer
from desta2.evaluate.score import chance, score_nano, wer_interval
from desta2.evaluate.stats import Interval
from desta2.nano.language import ASPECT, ASPECTS, UNKNOWN
from desta2.records import Prediction

GENDERS = ["female", "male", "female", "female"]
DURATIONS = ["1 second", "3 seconds", "3 seconds", "8 seconds"]


def item(clip: int, task: str, response: str, label: str | None = None, **extra: str) -> Prediction:
    fields = {"id": f"c{clip}/{task}", "task": task, "instruction": "?", "response": response, "label": label}
    return Prediction.model_validate({**fields, "clip": f"c{clip}", "speaker": f"s{clip % 2}", **extra})


def answered(genders: Iterable[str], durations: Iterable[str]) -> list[Prediction]:
    """Attribute items of four clips, with the answers given."""
    items = []
    for clip, (gender, duration) in enumerate(zip(genders, durations, strict=True)):
        items += [
            item(clip, "attribute/gender", gender, GENDERS[clip]),
            item(clip, "attribute/duration", duration, DURATIONS[clip]),
        ]
    return items


@pytest.fixture
def systems() -> dict[str, list[Prediction]]:
    clear = "The gender is not clear."
    return {
        "speech": [
            *answered(["Female.", "FEMALE", clear, "a woman"], DURATIONS),
            item(0, "format/capitals", "FEMALE", "female", key="gender"),
            item(1, "format/start", "Sure. Low.", "high", key="pitch", phrase="Sure."),
        ],
        "cascade": answered([clear] * 4, ["The duration is not clear."] * 4),
        "topline": [
            item(1, "format/start", "High. Sure.", "high", key="pitch", phrase="Sure."),
            item(0, "format/capitals", "FEMALE", "female", key="gender"),
            *reversed(answered([f"The gender is {g}." for g in GENDERS], DURATIONS)),
        ],
    }


@pytest.mark.parametrize(
    ("key", "label", "response", "right"),
    [
        ("gender", "male", "The gender is male.", True),
        ("gender", "male", "The gender is female.", False),
        ("gender", "female", "FEMALE", True),
        ("gender", "male", "male or female", False),
        ("gender", "male", "The gender is not clear.", False),
        ("gender", "male", "", False),
        ("accent", "Scottish", "the speaker has a\nscottish accent", True),
        ("duration", "1 second", "The duration is 1 second.", True),
        ("duration", "1 second", "11 seconds", False),
        ("duration", "1 second", "1 seconds", False),
        ("duration", "5 seconds", "3.5 seconds", False),
        ("duration", "3 seconds", '{"duration": "3 seconds"}', True),
        ("duration", "3 seconds", "* The duration is 3  seconds.", True),
        ("duration", "3 seconds", "3, seconds?", True),
        ("duration", "3 seconds", "3 or more seconds", False),
        ("speaking_speed", "slow", "speaking_speed_slow", True),
        ("pitch", "low", "lower", False),
    ],
)
def test_is_right(key, label, response, right):
    assert is_right(key, label, response) is right


def test_every_statement_of_the_language_is_right_for_its_own_label_only():
    for aspect in ASPECTS:
        for said in aspect.options:
            for sentence in (aspect.say(said), aspect.aside.format(said), f"{said.capitalize()}."):
                assert [label for label in aspect.options if is_right(aspect.key, label, sentence)] == [said]
        assert read_answer(aspect.key, aspect.say(None)) == UNKNOWN


def test_read_answer():
    assert read_answer("pitch", "Unclear.") == UNKNOWN
    assert read_answer("pitch", "The gender is not clear. The pitch is high.") == "high"
    assert read_answer("pitch", "low, medium or high") == OTHER
    assert read_answer("pitch", "I like tea.") == OTHER


@given(st.text(st.characters()), st.sampled_from(sorted(ASPECT)))
def test_any_response_is_read_and_padding_does_not_matter(text, key):
    answer = read_answer(key, text)
    assert answer in (*ASPECT[key].options, UNKNOWN, OTHER)
    assert read_answer(key, f' "{text.upper()}" ') == read_answer(key, text.upper())
    assert normalise(normalise(text)) == normalise(text)


def test_is_right_refuses_what_it_does_not_know():
    with pytest.raises(InputError, match="no attribute 'mood'; expected one of gender, age, accent"):
        is_right("mood", "good", "good")
    with pytest.raises(InputError, match="label '9 seconds', but duration is one of 1 second, 2 seconds"):
        is_right("duration", "9 seconds", "9 seconds")


def test_chance_says_the_most_frequent_label():
    guesses = chance(answered(["x"] * 4, ["x"] * 4))
    assert {(guess.task, guess.response) for guess in guesses} == {
        ("attribute/gender", "female"),
        ("attribute/duration", "3 seconds"),
    }
    tie = [item(0, "attribute/pitch", "", "high"), item(1, "attribute/pitch", "", "low")]
    assert [guess.response for guess in chance(tie)] == ["low", "low"]


def test_score_nano_gives_the_json_of_the_command(systems):
    wer = Interval(0.2, 0.1, 0.3, 4)
    result = json.loads(json.dumps(score_nano(systems, wer), allow_nan=False))
    accuracy = result["attribute_accuracy"]
    assert {name: score["value"] for name, score in accuracy.items()} == {
        "speech": (1 / 4 + 1) / 2,
        "cascade": 0.0,
        "topline": 1.0,
        "chance": (3 / 4 + 2 / 4) / 2,
    }
    assert all(
        list(score) == ["value", "low", "high", "n"] and score["n"] == 8 for score in accuracy.values()
    )
    assert {key: list(scores) for key, scores in result["by_attribute"].items()} == {
        "gender": list(accuracy),
        "duration": list(accuracy),
    }
    assert result["by_attribute"]["gender"]["speech"]["value"] == 0.25
    assert result["by_attribute"]["gender"]["speech"]["n"] == 4
    assert {name: score["value"] for name, score in result["format_rate"].items()} == {
        "speech": 1.0,
        "text": 0.5,
    }
    assert {name: score["value"] for name, score in result["format_right"].items()} == {
        "speech": 0.5,  # the other is obedient and wrong
        "text": 0.5,  # the other is right and disobedient
    }
    assert result["by_format_right"]["capitals"]["text"]["value"] == 1.0
    assert result["by_format"]["start"]["text"] == {"value": 0.0, "low": 0.0, "high": 0.95, "n": 1}
    assert result["asr_wer"] == {"value": 0.2, "low": 0.1, "high": 0.3, "n": 4}
    assert [score["value"] for score in result["unclear"].values()] == [1 / 8, 1.0, 0.0]
    assert result["confusion"]["gender"] == {
        "labels": ["female", "male"],
        "answers": ["female", "male", UNKNOWN, OTHER],
        "counts": [[1, 0, 1, 1], [1, 0, 0, 0]],
    }
    assert result["confusion"]["duration"]["labels"] == ["1 second", "3 seconds", "8 seconds"]


def test_score_nano_does_not_depend_on_the_order_of_items(systems):
    mixed = {name: sorted(items, key=lambda p: p.id[::-1]) for name, items in systems.items()}
    assert score_nano(mixed, None) == score_nano(systems, None)
    assert score_nano(systems, None)["asr_wer"] is None


def test_intervals_resample_speakers(systems):
    gender = score_nano(systems, None)["by_attribute"]["gender"]["chance"]
    # Speaker 0 (clips 0, 2) is always guessed right, speaker 1 (1, 3) half the time.
    assert (gender["low"], gender["high"]) == (0.5, 1.0)


def test_score_nano_names_items_that_do_not_match(systems):
    with pytest.raises(InputError, match="given predictions of speech; expected speech, cascade, topline"):
        score_nano({"speech": systems["speech"]}, None)
    lost = systems["cascade"].pop()
    with pytest.raises(InputError, match=f"cascade has no answer to '{lost.id}', which another system"):
        score_nano(systems, None)
    systems["cascade"] += [lost, lost]
    with pytest.raises(InputError, match=f"cascade answered '{lost.id}' more than once"):
        score_nano(systems, None)
    systems["cascade"] = []
    with pytest.raises(InputError, match="'c1/attribute/gender', 'c2/attribute/duration' and 3 more"):
        score_nano(systems, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "male"}, "different tasks or labels"),
        ({"task": "attribute/mood", "label": "good"}, "different tasks or labels"),
        (
            {"task": "transcript"},
            "task 'transcript'; expected NAME behind one of attribute/, unseen/, format/",
        ),
    ],
)
def test_score_nano_refuses_items_that_differ(systems, change, message):
    systems["cascade"][0] = systems["cascade"][0].model_copy(update=change)
    with pytest.raises(InputError, match=message):
        score_nano(systems, None)


def test_score_nano_needs_labels_speakers_and_both_kinds(systems):
    formats_only = {name: [p for p in items if "format" in p.task] for name, items in systems.items()}
    with pytest.raises(InputError, match="no attribute items to score"):
        score_nano(formats_only, None)
    attributes_only = {name: [p for p in items if "attribute" in p.task] for name, items in systems.items()}
    with pytest.raises(InputError, match="no format items to score"):
        score_nano(attributes_only, None)
    bare = Prediction(
        id="c0/attribute/gender", task="attribute/gender", instruction="?", response="", label="male"
    )
    capitals = item(0, "format/capitals", "YES", "male", key="gender")
    with pytest.raises(InputError, match="'c0/attribute/gender' has no speaker"):
        score_nano({"speech": [bare, capitals], "cascade": [bare], "topline": [bare, capitals]}, None)
    unlabelled = bare.model_copy(update={"label": None})
    with pytest.raises(InputError, match="'c0/attribute/gender' has no label"):
        chance([unlabelled])


def test_wer_is_of_the_corpus_and_ignores_case_and_punctuation():
    references = ["The red fox.", "a b c d e f g", "", "don't"]
    hypotheses = ["the RED fox", "a x c d e f", "hm", "dont"]
    wer = wer_interval(references, hypotheses, ["s", "t", "u", "v"])
    assert wer.value == pytest.approx(3 / 11)  # one substitution, one deletion, one insertion
    assert wer.n == 4
    assert wer.low == 0.0
    assert wer.high > wer.value


def test_wer_errors():
    with pytest.raises(InputError, match="given 2 references, 1 hypotheses and 2 clusters"):
        wer_interval(["a", "b"], ["a"], ["s", "t"])
    with pytest.raises(InputError, match="the references hold no words"):
        wer_interval(["", "!"], ["a", "b"], ["s", "t"])
