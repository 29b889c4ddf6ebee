import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.evaluate.judging.verdicts import read_marks, read_yes_no

MARKS = st.integers(0, 20).map(lambda halves: halves / 2)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("Result: YES", True),
        ("It does.\n**Result:** no.", False),
        ("Result: YES\nOn reflection:\nresult: NO", False),
        ("Result: YESTERDAY", None),
        ("**YES.**", True),
        (" no\n", False),
        ("YES, it does.", None),
        ("YES NO", None),
        ("", None),
    ],
)
def test_yes_no(answer, verdict):
    assert read_yes_no(answer) is verdict


@pytest.mark.parametrize(
    ("answer", "marks"),
    [
        ("7 9", (7, 9)),
        ("7 9\n\nAnswer 2 is better by 3 points.", (7, 9)),
        ("I compared both.\n  **Scores: 7.5, 9** ", (7.5, 9)),
        ("`10   0`", (10, 0)),
        ("7 9\n7 9", (7, 9)),
        ("7 9\n9 7", None),
        ("7 11", None),
        ("100 9", None),
        ("7", None),
        ("7 8 9", None),
        ("-7 8", None),
        ("7/10 8/10", None),
        ("Answer 1 gets 7 8", None),
        ("٧ ٨ ٩", None),
        ("", None),
    ],
)
def test_marks(answer, marks):
    assert read_marks(answer) == marks


@given(MARKS, MARKS, st.sampled_from([" ", ", ", "  ", "\t"]))
def test_marks_are_read_as_written(first, second, between):
    assert read_marks(f"Thoughts.\n{first:g}{between}{second:g}\n") == (first, second)


@given(st.text(st.sampled_from("0123456789 .,\n*:scoremark") | st.characters(), max_size=200))
def test_any_answer_is_read(text):
    marks = read_marks(text)
    assert marks is None or all(0 <= mark <= 10 for mark in marks)
    assert read_yes_no(text) in (True, False, None)
