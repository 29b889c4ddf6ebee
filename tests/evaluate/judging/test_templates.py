import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.judging.templates import read_template, shipped_template

NEEDS = ("question", "answer")


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "judge.txt").write_text(text, "utf-8")
        return tmp_path / "judge.txt"

    return write


def test_a_template_is_filled_and_named_by_its_hash(file):
    template = read_template(file('{"q": {question}} {answer} {other}'), NEEDS)
    assert template.fill({"question": "Who?", "answer": "Me."}) == '{"q": Who?} Me. {other}'
    other = read_template(file("{question} {answer}"), NEEDS)
    assert len(template.digest) == 64
    assert template.digest != other.digest == read_template(file("{question} {answer}"), NEEDS).digest


@given(st.text(), st.text())
def test_what_goes_in_is_not_filled_in_itself(tmp_path_factory, question, answer):
    path = tmp_path_factory.getbasetemp() / "laws.txt"
    path.write_text("<{question}|XAnswerX>")
    template = read_template(path, NEEDS, {"XAnswerX": "answer"})
    filled = template.fill({"question": "{answer}" + question, "answer": "{question}" + answer})
    assert filled == f"<{{answer}}{question}|{{question}}{answer}>"


def test_half_characters_become_whole_ones(file):
    template = read_template(file("{question}{answer}"), NEEDS)
    assert template.fill({"question": "a\ud800b", "answer": "😀"}) == "a\ufffdb😀"


def test_mistakes(file, tmp_path):
    with pytest.raises(
        InputError, match=r"judge\.txt has no place for answer; write \{answer\} where it is to"
    ):
        read_template(file("{question}"), NEEDS)
    with pytest.raises(InputError, match=r"for answer; write \{answer\} or XAnswerX where"):
        read_template(file("{question}"), NEEDS, {"XAnswerX": "answer"})
    with pytest.raises(InputError, match=r"cannot read the judge's template .*none\.txt"):
        read_template(tmp_path / "none.txt", NEEDS)
    (tmp_path / "bytes.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"cannot read the judge's template .*bytes\.txt"):
        read_template(tmp_path / "bytes.txt", NEEDS)


def test_the_shipped_templates_are_there():
    for name, needs in {
        "air_bench_chat": ("description", "question", "answer_1", "answer_2"),
        "speech_ifeval_reasoning": ("instruction", "response"),
        "label": ("instruction", "label", "response"),
    }.items():
        filled = shipped_template(name, needs).fill({need: f"«{need}»" for need in needs})
        assert all(filled.count(f"«{need}»") == 1 for need in needs)
        assert "{" not in filled
