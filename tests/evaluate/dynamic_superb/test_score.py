"""The scores: the rule, the means, what is apart, and what cannot be scored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.dynamic_superb.benchmark import DynamicSuperb
from desta2.evaluate.dynamic_superb.score import check, is_right, score_superb
from desta2.evaluate.dynamic_superb.table import load_table
from desta2.records import Prediction

TABLE = load_table()


@pytest.mark.parametrize(
    ("label", "response", "right"),
    [
        ("yes", "Yes.", True),
        ("Yes", "The answer is: YES!", True),
        ("no", "I do not know", False),
        ("no", "No, it is not.", True),
        ("happy", "The speaker is unhappy.", False),
        ("no emotion", "There is no\nemotion.", True),
        ("no emotion", "There is no clear emotion.", False),
        ("0.4m", "It is 0.4 m away", True),
        ("5", "It is 15 dB.", False),
        ("change_language", "change language", True),
        ("it's", "its", True),
        ("bonafide", "", False),
    ],
)
def test_the_rule(label, response, right):
    assert is_right(label, response) is right


@given(st.text(), st.text(), st.text(alphabet="abc xyz.,!", min_size=1))
def test_a_label_between_any_words_is_found(before, after, label):
    if any(map(str.isalnum, label)):
        assert is_right(label, f"{before} {label.upper()} {after}")


def test_a_label_without_words():
    with pytest.raises(InputError, match=r"given the label '\?!', expected one with letters or digits"):
        is_right("?!", "yes")


def item(task, number, right, **more):
    return Prediction(
        id=f"{task}/{number}",
        task=task,
        instruction="?",
        label="yes",
        response="yes" if right else "no",
        **more,
    )


def some(task, right, wrong, **more):
    return [item(task, i, i < right, **more) for i in range(right + wrong)]


def test_means_over_tasks_not_sums():
    predictions = [
        *some("SpeechDetection_LJSpeech", 10, 0),
        *some("SpokenTermDetection_LJSpeech", 1, 1),
        *some("SarcasmDetection_Mustard", 0, 4),
        *some("BirdSoundDetection_Warblrb10k", 4, 0),
    ]
    found = score_superb(predictions, TABLE)
    assert found["by_task"]["SpokenTermDetection_LJSpeech"]["value"] == 0.5
    assert found["by_dimension"].keys() == {"content", "semantics", "audio"}
    assert found["by_dimension"]["content"]["value"] == pytest.approx((1 + 0.5) / 2), "not 11 of 12"
    assert found["by_dimension"]["content"]["n"] == 12
    assert found["by_dimension"]["audio"]["value"] == 1
    assert found["average"]["value"] == pytest.approx((1 + 0.5 + 0) / 3), "over tasks, without those apart"
    assert found["average"]["n"] == 16
    assert found["n"] == 20
    assert len(found["missing"]) == 45
    for score in (found["average"], *found["by_dimension"].values(), *found["by_task"].values()):
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
        assert score["low"] < score["high"]


def test_clips_are_resampled():
    alone = score_superb(some("SarcasmDetection_Mustard", 20, 20), TABLE)["average"]
    together = [item("SarcasmDetection_Mustard", i, i < 20, clip=f"c{i // 10}") for i in range(40)]
    shared = score_superb(together, TABLE)["average"]
    assert shared["high"] - shared["low"] > 1.5 * (alone["high"] - alone["low"])


def test_sounds_alone_have_no_average():
    found = score_superb(some("BirdSoundDetection_Warblrb10k", 1, 1), TABLE)
    assert found["average"] is None
    assert found["by_dimension"].keys() == {"audio"}
    assert "audio, apart" in DynamicSuperb(TABLE).in_words(found)


def test_tasks_spelt_otherwise():
    found = score_superb(some("DynamicSuperb/NoiseDetectiongaussian_VCTKMusan", 1, 1), TABLE)
    assert found["by_task"].keys() == {"NoiseDetection_VCTK_MUSAN-Gaussian"}


def test_a_judges_verdicts_beside_the_rule():
    predictions = some("SarcasmDetection_Mustard", 1, 3)
    verdicts = {prediction.id: True for prediction in predictions}
    found = score_superb(predictions, TABLE, verdicts)
    assert found["average"]["value"] == 0.25
    assert found["judged"]["average"]["value"] == 1
    assert found["judged"]["by_task"]["SarcasmDetection_Mustard"]["n"] == 4
    assert "by the judge, who gave 4 verdicts:" in DynamicSuperb(TABLE).in_words(found)
    del verdicts[predictions[2].id]
    verdicts[predictions[0].id] = False
    judged = score_superb(predictions, TABLE, verdicts)["judged"]
    assert judged["n"] == len(predictions) - 1
    assert judged["by_task"]["SarcasmDetection_Mustard"]["n"] == judged["n"]
    assert judged["average"]["value"] == pytest.approx(1 - 1 / judged["n"])
    with pytest.raises(InputError, match=r"none of the \d predictions has a verdict"):
        score_superb(predictions, TABLE, {"other": True})


def test_a_task_without_any_verdict_is_missing_by_the_judge_alone():
    predictions = some("SarcasmDetection_Mustard", 1, 1) + some("StressDetection_MIRSD", 1, 0)
    found = score_superb(predictions, TABLE, {predictions[0].id: True, predictions[1].id: True})
    assert "StressDetection_MIRSD" not in found["missing"]
    assert "StressDetection_MIRSD" in found["judged"]["missing"]
    assert found["judged"]["by_task"].keys() == {"SarcasmDetection_Mustard"}


def test_in_words():
    found = score_superb(some("SarcasmDetection_Mustard", 1, 3), TABLE)
    lines = DynamicSuperb(TABLE).in_words(found).splitlines()
    assert lines[0].startswith("average over 1 tasks ")
    assert "  25.00 %   [" in lines[0] and lines[0].endswith("]   n = 4")
    assert [line.split()[0] for line in lines[1:3]] == ["semantics", "SarcasmDetection_Mustard"]
    assert lines[3].startswith("not answered, and no part of the average: LanguageIdentification_VoxForge, ")


def test_what_cannot_be_scored():
    with pytest.raises(InputError, match="there are no predictions to score"):
        score_superb([], TABLE)
    with pytest.raises(InputError) as caught:
        score_superb([item("Nonsense_X", 1, True)], TABLE)
    assert str(caught.value) == (
        "'Nonsense_X/1' has the task 'Nonsense_X', which the table does not know; another table is given with "
        "--tasks, another spelling with --names"
    )
    bare = item("SarcasmDetection_Mustard", 1, True).model_copy(update={"label": None})
    with pytest.raises(
        InputError, match="'SarcasmDetection_Mustard/1' has no label; items of Dynamic-SUPERB need"
    ):
        check([bare])
