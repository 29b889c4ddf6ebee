"""Asked, made to choose, describing: accuracies and their paired differences."""

import pytest

from desta2.errors import InputError
from desta2.evaluate.readings import score_readings
from desta2.evaluate.score import score_nano
from desta2.records import Prediction


def item(clip, task, response, label="low", **extra):
    fields = {"id": f"c{clip}/{task}", "task": task, "instruction": "?", "response": response, "label": label}
    return Prediction.model_validate({**fields, "clip": f"c{clip}", "speaker": f"s{clip}", **extra})


def read(task, responses, label="low"):
    return [item(clip, task, response, label) for clip, response in enumerate(responses)]


@pytest.fixture
def predictions():
    """Free: 1 of 4 and 4 of 4; chosen: 3 of 4 and 4 of 4; described: 2 of 4, one silent, and 4 of 4."""
    unclear = "The pitch is not clear."
    loud = ["The volume is loud."] * 4
    return [
        *read("attribute/pitch", ["low", unclear, unclear, "high"]),
        *read("attribute/volume", loud, "loud"),
        *read("forced/pitch", ["low", "low", "low", "high"]),
        *read("forced/volume", loud, "loud"),
        *read("describe/pitch", ["The pitch is low.", "Low, loud.", unclear, 'He says "low".']),
        *read("describe/volume", loud, "loud"),
    ]


def test_readings_and_what_asking_costs(predictions):
    found = score_readings(predictions)
    values = {name: score["value"] for name, score in found["reading_accuracy"].items()}
    assert values == {"free": 5 / 8, "forced": 7 / 8, "described": 6 / 8}
    assert list(found["by_reading"]) == ["pitch", "volume"]
    assert found["by_reading"]["pitch"]["forced"]["value"] == 3 / 4
    assert {name: gap["difference"] for name, gap in found["gaps"].items()} == {
        "free - forced": pytest.approx(-1 / 4),
        "free - described": pytest.approx(-1 / 8),
    }
    gap = found["gaps"]["free - forced"]
    assert gap["low"] < gap["difference"] < gap["high"] <= 0, "no clip is worse when made to choose"
    assert found["by_gap"]["pitch"]["free - forced"]["difference"] == pytest.approx(-1 / 2)
    assert found["by_gap"]["volume"]["free - described"]["difference"] == 0
    assert found["unmentioned"]["value"] == pytest.approx(1 / 8)


def test_what_was_not_read_is_left_out(predictions):
    free = [one for one in predictions if one.task.startswith("attribute/")]
    found = score_readings(free)
    assert list(found["reading_accuracy"]) == ["free"]
    assert (found["gaps"], found["by_gap"], found["unmentioned"]) == ({}, {}, None)
    with pytest.raises(InputError, match="the forced answers are not about the same clips and attributes"):
        score_readings([one for one in predictions if one.id != "c2/forced/pitch"])


def test_all_families_are_in_the_result(predictions):
    more = [
        item(0, "format/capitals", "LOW", key="pitch"),
        item(1, "unseen/pitch", "low"),
        item(1, "unseen/volume", "quiet", "loud"),
        item(0, "kind/count", "7", "7"),
        item(1, "kind/count", "8", "7"),
        item(0, "kind/yes-no", "Yes.", "yes"),
        item(0, "combination/options+capitals", "LOW", key="pitch"),
        item(1, "combination/options+capitals", "low", key="pitch"),
        item(2, "combination/word+end", '"fox". Bye.', "dog", phrase="Bye."),
        item(0, "unknown/age", "The age is not clear.", "not clear"),
        item(1, "unknown/age", "The age is adult.", "not clear"),
    ]
    speech = [*predictions, *more]
    text = [one for one in speech if one.task.split("/")[0] not in ("forced", "describe")]
    cascade = [one for one in speech if one.task.startswith("attribute/")]
    result = score_nano({"speech": speech, "cascade": cascade, "topline": text}, None)

    def values(key):
        return {name: score["value"] for name, score in result[key].items()}

    assert values("unseen_right") == {"speech": 1 / 2, "text": 1 / 2}
    assert values("kind_right") == {"speech": 3 / 4, "text": 3 / 4}
    assert list(result["by_kind"]) == ["count", "yes-no"]
    assert values("combination_rate")["speech"] == pytest.approx(3 / 4)
    assert values("combination_right")["speech"] == pytest.approx(1 / 4)
    assert result["by_combination_right"]["word+end"]["text"]["value"] == 0
    assert values("unanswerable") == {"speech": 1 / 2, "text": 1 / 2}
    assert values("unclear")["speech"] == pytest.approx(1 / 4)
    lost = [one for one in text if one.id != "c1/unknown/age"]
    with pytest.raises(InputError, match="text has no answer to 'c1/unknown/age', which another system"):
        score_nano({"speech": speech, "cascade": cascade, "topline": lost}, None)
