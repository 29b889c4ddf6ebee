"""Accuracies of multiple choice."""

import pytest

from desta2.errors import InputError
from desta2.evaluate.multiple_choice.benchmark import MultipleChoice
from desta2.evaluate.multiple_choice.score import score_choices
from desta2.records import Prediction


def answer(item, order, response, *, options=("dog", "cat"), label="dog", clip="c", **more):
    return Prediction(
        id=f"{item}#{order}", task="sound", instruction="?", response=response, label=label, item=item,
        options=list(options), clip=clip, **more,
    )  # fmt: skip


def test_accuracies():
    found = score_choices(
        [
            answer("a", 1, "A", clip="x", category="one"),
            answer("b", 1, "B", clip="y", category="one", difficulty="hard"),
            answer("c", 1, "dog or cat", clip="z", category="two"),
            answer("d", 1, "who knows", clip="z", options=("cat", "dog", "cow", "pig")),
        ]
    )
    assert (found["accuracy"]["value"], found["n"], found["answers"]) == (0.25, 4, 4)
    assert (found["ambiguous"], found["unclear"]) == (1, 1)
    assert found["chance"] == pytest.approx((3 / 2 + 1 / 4) / 4)
    assert "consistent" not in found
    assert found["by"].keys() == {"task", "category", "difficulty"}
    assert {name: score["value"] for name, score in found["by"]["category"].items()} == {"one": 0.5, "two": 0}
    assert found["by"]["difficulty"]["hard"]["n"] == 1
    words = MultipleChoice().in_words(found)
    assert words.startswith("accuracy (guessing: 43.75 %) ")
    assert words.splitlines()[-1] == (
        "of 4 answers 1 choose several options and 1 none that can be told; they are wrong"
    )


def test_orders_of_an_item_count_once():
    always_a = [
        answer("a", 1, "A", options=("dog", "cat")),
        answer("a", 2, "A", options=("cat", "dog")),
        answer("b", 1, "B", options=("dog", "cat"), label="cat", clip="d"),
        answer("b", 2, "A", options=("cat", "dog"), label="cat", clip="d"),
        answer("e", 1, "no idea"),
        answer("e", 2, "no idea"),
    ]
    found = score_choices(always_a)
    assert (found["accuracy"]["value"], found["n"], found["answers"]) == (pytest.approx(0.5), 3, 6)
    assert found["consistent"]["value"] == pytest.approx(1 / 3)
    assert "the same option in every order" in MultipleChoice().in_words(found)


def test_a_favour_for_a_place_gains_nothing(tmp_path):
    import json

    rows = [
        {"id": str(i), "audio": "a.wav", "question": "?", "choices": ["w", "x", "y", "z"], "answer": "w"}
        for i in range(5)
    ]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    questions = MultipleChoice(shuffles=4).questions(tmp_path)
    found = score_choices([Prediction(id=q.id, response="C", **q.fields) for q in questions])
    assert found["accuracy"] == {"value": 0.25, "low": 0.25, "high": 0.25, "n": 5}
    assert found["consistent"]["value"] == 0


def test_items_of_a_clip_are_resampled_together():
    rows = [
        answer(f"{clip}{i}", 1, "A" if clip < 5 else "B", clip=str(clip))
        for clip in range(10)
        for i in range(8)
    ]
    alone = [row.model_copy(update={"clip": row.id}) for row in rows]
    together, apart = score_choices(rows)["accuracy"], score_choices(alone)["accuracy"]
    assert together["value"] == apart["value"] == 0.5
    assert together["high"] - together["low"] > 2 * (apart["high"] - apart["low"])


def test_what_cannot_be_scored():
    with pytest.raises(InputError, match="there are no predictions to score"):
        score_choices([])
    bare = Prediction(id="a", task="t", instruction="?", response="A", label="dog")
    with pytest.raises(InputError, match="'a' has options=None, expected the list of texts as it was shown"):
        score_choices([bare])
    with pytest.raises(InputError, match="'a#1' has the label 'cow', expected one of dog, cat"):
        score_choices([answer("a", 1, "A", label="cow")])
    with pytest.raises(InputError, match="given 0 shuffles, expected 1 or more"):
        MultipleChoice(0)
