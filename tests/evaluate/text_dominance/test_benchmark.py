"""What the audio adds, and whom conflicts follow."""

import pytest

from desta2.errors import InputError
from desta2.evaluate.text_dominance.benchmark import TextDominance
from desta2.evaluate.text_dominance.items import CONDITIONS
from desta2.evaluate.text_dominance.score import score_dominance
from desta2.records import Prediction


def four(number, responses, label="sad", words_label="happy", key="emotion"):
    """The predictions of one item: responses to audio, transcript, conflict, stated."""
    return [
        Prediction(
            id=f"c{number}/{key}/{condition}", task=f"attribute/{key}", instruction="?", response=response,
            label=label, words_label=words_label, condition=condition, options=["happy", "sad", "very sad"],
            clip=f"c{number}", speaker=f"s{number % 10}",
        )
        for condition, response in zip(CONDITIONS, responses, strict=True)
    ]  # fmt: skip


def all_of(n, *responses, **more):
    return [row for i in range(n) for row in four(i, responses, **more)]


def test_a_model_that_listens():
    found = score_dominance(all_of(20, "Sad.", "It is not clear.", "sad", "It is sad."))
    assert (found["accuracy"]["audio"]["value"], found["accuracy"]["transcript"]["value"]) == (1, 0)
    assert (found["audio_adds"]["difference"], found["audio_adds"]["n"], found["n"]) == (1, 20, 20)
    assert found["audio_adds"]["p_value"] < 0.01
    assert [found["follows"]["conflict"][side]["value"] for side in ("voice", "words", "neither")] == [
        1,
        0,
        0,
    ]
    assert found["words_pull"]["stated"]["difference"] == 0


def test_a_model_that_reads():
    found = score_dominance(all_of(20, "sad", "sad", "happy", "happy"))
    assert (found["accuracy"]["audio"]["value"], found["audio_adds"]["difference"]) == (1, 0)
    for name in ("conflict", "stated"):
        sides = {side: score["value"] for side, score in found["follows"][name].items()}
        assert sides == {"voice": 0, "words": 1, "neither": 0}
        assert found["words_pull"][name]["difference"] == 1


def test_errors_are_no_pull_of_the_words():
    found = score_dominance(all_of(20, "happy", "happy", "happy", "very sad"))
    assert found["follows"]["conflict"]["words"]["value"] == 1
    assert found["words_pull"]["conflict"]["difference"] == 0
    assert found["words_pull"]["stated"]["difference"] == -1
    assert found["follows"]["stated"]["neither"]["value"] == 1


def test_an_answer_with_two_values_names_none():
    found = score_dominance(all_of(4, "happy or sad", "sad", "neither happy nor sad", "sad"))
    assert found["accuracy"]["audio"]["value"] == 0
    assert found["follows"]["conflict"]["neither"]["value"] == 1


def test_attributes_count_alike():
    rows = all_of(9, "sad", "", "sad", "sad") + all_of(1, "happy", "", "sad", "sad", key="mood")
    found = score_dominance(rows)
    assert found["accuracy"]["audio"]["value"] == pytest.approx(0.5)
    assert found["by_attribute"].keys() == {"emotion", "mood"}
    assert found["by_attribute"]["mood"]["audio_adds"]["difference"] == 0
    assert found["accuracy"]["chance"]["value"] == 1
    lines = TextDominance().in_words(found).splitlines()
    assert lines[0].startswith("accuracy with voice and transcript ") and "  50.00 %   [" in lines[0]
    assert lines[3].startswith("the voice adds ") and " +50.00 points [" in lines[3]
    assert "with another clip's words and labels" in lines
    assert "emotion" in lines and "mood" in lines


def test_what_cannot_be_scored():
    with pytest.raises(InputError, match="there are no predictions to score"):
        score_dominance([])
    rows = all_of(2, "sad", "sad", "sad", "sad")
    with pytest.raises(
        InputError, match=r"'c1/emotion' has no answer under conflict, stated; score all shares"
    ):
        score_dominance(rows[:-2])
    other = Prediction(id="x", task="t", instruction="?", response="sad", label="sad")
    with pytest.raises(InputError, match="'x' is no prediction of: desta2 evaluate text-dominance"):
        score_dominance([other])
