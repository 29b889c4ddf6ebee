"""Transcripts taken out of answers by a judge, and what a judge may not do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback_judge import judging

from desta2.errors import InputError
from desta2.evaluate.judging.judge import Judge
from desta2.evaluate.judging.opening import open_judge
from desta2.evaluate.judging.transcripts import is_taken_from, judge_transcripts, read_transcript
from desta2.records import Prediction


def prediction(key, response):
    return Prediction(id=key, task="asr", instruction="What is said?", response=response, label="the cat sat")


PREDICTIONS = [
    prediction("a", "I believe that I heard the cats sat in it"),
    prediction("b", "I believe that I heard the mat sat in it"),
    prediction("c", " "),
    prediction("d", "Nothing that I could understand."),
    prediction("e", "?"),
]


def answer(prompt):
    assert "\nWhat is said?\n" in prompt and "the cat sat" not in prompt
    if "cats" in prompt:
        return "It is set off.\n<transcript>The cats sat</transcript>"
    if "mat" in prompt:
        return "<transcript>the cat sat</transcript>"  # mended, as no judge may
    return "<transcript></transcript>" if "Nothing" in prompt else "I cannot tell."


def test_transcripts_are_of_the_answers_own_words():
    with judging(answer) as server, Judge(open_judge(server.url)) as judge:
        found = judge_transcripts(judge, PREDICTIONS)
    assert found.by_id == {"a": "The cats sat", "c": "", "d": ""}
    assert sorted((said["id"], said["reason"]) for said in found.unjudged) == [
        ("b", "the transcript has words that the answer has not, or in another order"),
        ("e", "no verdict can be read from the answer"),
    ]
    assert (found.facts["id"], len(found.facts["prompt_hash"])) == ("judge-1", 64)
    assert len(server.bodies) == 3 + 3  # the blank is not asked about, "e" three times


def test_the_users_template_and_mistakes(tmp_path):
    (tmp_path / "judge.txt").write_text("{response}!")
    with judging(answer) as server, Judge(open_judge(server.url)) as judge:
        with pytest.raises(InputError, match="has no place for instruction"):
            judge_transcripts(judge, PREDICTIONS, tmp_path / "judge.txt")
        with pytest.raises(InputError, match="two predictions have the same id"):
            judge_transcripts(judge, [*PREDICTIONS, PREDICTIONS[0]])
    assert server.bodies == []


@pytest.mark.parametrize(
    ("said", "transcript"),
    [
        ("<transcript>a b</transcript>", "a b"),
        ("<transcript>x</transcript> No: <TRANSCRIPT>\na\nb </Transcript>", "a\nb"),
        ("<transcript></transcript>", ""),
        ("<transcript>a", None),
        ("a", None),
        ("", None),
    ],
)
def test_what_is_read(said, transcript):
    assert read_transcript(said) == transcript


@pytest.mark.parametrize(
    ("transcript", "response", "taken"),
    [
        ("Hello, you.", 'He says: "hello you"', True),
        ("hello you", '{"a": "hello", "b": "you"}', True),
        ("hello you", '{"text": "\\"hello\\nyou\\""}', True),
        ("you hello", "hello you", False),
        ("hello hello", "hello", False),
        ("hell", "hello", False),
        ("", "anything", True),
        ("anything", "", False),
    ],
)
def test_what_is_taken(transcript, response, taken):
    assert is_taken_from(transcript, response) is taken


@given(st.text())
def test_a_text_is_taken_from_itself(text):
    assert is_taken_from(text, text)
