"""Answers without a word, and answers without their end."""

import pytest

LONG = "The speaker tells a story of the sea, and then of the land behind it. " * 3


@pytest.mark.parametrize("answer", ["", " \n\t", "...", "\x00\x1b[", "\u200b\ufeff", "—", "🙂"])
def test_empty(find, answer):
    assert find("empty", answer).reason == "the answer has no letter or digit"


@pytest.mark.parametrize("answer", ["A", "7", "是", "نعم", "\x00a"])
def test_not_empty(find, answer):
    assert find("empty", answer) is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("The speaker is a man,", "the answer ends with ','"),
        ('The speaker says "', "the answer ends with '\"'"),
        ("The speaker (", "the answer ends with '('"),
        ("The speaker is a man and the", "the answer ends with 'the'"),
        ("What we hear from the speaker is", "the answer ends with 'is'"),
        (
            LONG + "And then he goes on to tell us about some other",
            "a long answer ends in the middle of a sentence",
        ),
    ],
)
def test_truncated(find, answer, reason):
    found = find("truncated", answer)
    assert found.reason == reason
    assert found.excerpt.endswith(answer[-20:])


@pytest.mark.parametrize(
    "answer",
    [
        "", "Male", "A man speaks", "The answer is A", "Of", "A short answer without a full stop at its end",
        LONG, LONG.strip() + '"', LONG + "\n\n- a list item that has quite a few words but no full stop",
        LONG + "\n\nA title", LONG + "🙂", LONG + "\n---", "He says “yes”", 'He says "yes"', "Is it 5%", "```\n{}\n```",
        "他说话很快。", "The end...", "HE SAT DOWN WEAK BEWILDERED AND ONE THOUGHT WAS UPPERMOST ZORA " * 5,
    ],
)  # fmt: skip
def test_whole(find, answer):
    assert find("truncated", answer) is None
