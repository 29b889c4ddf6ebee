import gzip
import json

import pytest

from desta2.errors import InputError, RecordError
from desta2.evaluate.speech_ifeval.checkers import CLOSED, CREATIVE, REASONING
from desta2.evaluate.speech_ifeval.responses import Instructions, read_verdicts

QUOTE = {"instruction_id_list": ["startend:quotation"], "kwargs": [{}]}
CAPITALS = {"instruction_id_list": ["change_case:english_capital"], "kwargs": [{}]}
WORDS = {
    "instruction_id_list": ["length_constraints:number_words"],
    "kwargs": [{"num_words": 2, "relation": "at least"}],
}


@pytest.fixture
def file(tmp_path):
    """`file(line, …)`: a JSONL file of such lines; texts are written as they are."""

    def write(*lines, name="responses.jsonl"):
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


@pytest.fixture
def benchmark(tmp_path):
    """A benchmark of five instructions, two of them with the same text."""
    folder = tmp_path / "benchmark" / "eval_data"
    folder.mkdir(parents=True)
    parts = {
        "closed_ended_questions": [
            {"id": 0, "audio_filepath": "a/0.wav", "instruction": "Quote it.", "metric": "wer", **QUOTE},
            {"id": 1, "audio_filepath": "a/1.wav", "instruction": "Shout it.", "metric": "wer", **CAPITALS},
        ],
        "creative_writing": [
            {"id": 2, "audio_filepath": "b/0.wav", "instruction": "Two words.", "metric": "open", **WORDS},
            {"id": 3, "audio_filepath": "b/1.wav", "instruction": "Two words.", "metric": "open", **WORDS},
        ],
        "chain-of-thought": [{"audio_filepath": "c/9.wav", "instruction": "Step by step.", "metric": "cot"}],
        # Shares its ids with the closed-ended questions, and asks for no form.
        "closed_ended_questions-woprompt": [
            {"id": 0, "audio_filepath": "a/0.wav", "instruction": "Write it."}
        ],
    }
    for name, items in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return folder.parent


def test_lines_that_carry_their_instructions(file):
    both = {
        "instruction_id_list": QUOTE["instruction_id_list"] + CAPITALS["instruction_id_list"],
        "kwargs": [{"num_words": None}, {}],
    }
    path = file(
        {
            "id": 7,
            "response": '"Sad"',
            **both,
            "audio_filepath": "x/y.wav",
            "instruction": "Shout and quote.",
        },
        "",
        {"id": 8, "response": "one two", **WORDS, "correct": False},
    )
    first, second = read_verdicts(path)
    assert (first.part, first.names, first.followed) == (
        CLOSED,
        tuple(both["instruction_id_list"]),
        (True, False),
    )
    assert (first.item, first.clip) == ("y.wav\nShout and quote.", "y.wav")
    assert (second.part, second.followed, second.item, second.clip) == (CREATIVE, (True,), "8", "8")
    assert first.to_dict() == first.fields | {
        "follow_instruction_list": [True, False],
        "follow_all_instructions": False,
    }


def test_stored_judge_answers(file):
    answers = ["Result: YES", "It says Result: YES at first.\n**Result:** no", "RESULT: <yes>"]
    path = file(
        *({"metric": "cot", "eval_response": answer, "correct": False} for answer in answers),
        {"metric": "cot", "correct": True},
    )
    verdicts = read_verdicts(path)
    assert [verdict.followed for verdict in verdicts] == [(True,), (False,), (True,), (True,)]
    assert {verdict.part for verdict in verdicts} == {REASONING}
    assert verdicts[0].to_dict()["follow_instruction_list"] == [True]
    assert len({verdict.clip for verdict in verdicts}) == 4, "what is unknown is not the same clip"


@pytest.mark.parametrize("place", [".", "eval_data"])
@pytest.mark.parametrize(
    "key", ["response", "prediction", "output", "model_response", "generated_text", "completion"]
)
def test_instructions_are_looked_up(file, benchmark, place, key):
    path = file(
        {"id": 1, key: "SAD"},
        {"id": "1", key: "sad", "instruction_id_list": None, "kwargs": None},
        {"id": 1, key: "SAD", "instruction": "Listen. Shout it. Now."},  # a template around the instruction
        {"id": 1, key: '"sad"', "prompt": "Quote it. "},  # an id of its own
        {"audio": "/elsewhere/1.wav", "question": "Two words.", key: "one", "metric": None},
        {"instruction": "Step by step.", key: "First", "correct": True},
    )
    verdicts = read_verdicts(path, Instructions(benchmark / place))
    assert [verdict.followed[0] for verdict in verdicts] == [True, False, True, True, False, True]
    parts = [CLOSED, CLOSED, CLOSED, CLOSED, CREATIVE, REASONING]
    assert [verdict.part for verdict in verdicts] == parts
    assert [verdict.clip for verdict in verdicts] == ["1.wav", "1.wav", "1.wav", "0.wav", "1.wav", "9.wav"]
    assert verdicts[3].item == "0.wav\nQuote it."
    assert verdicts[4].fields == {
        "audio": "/elsewhere/1.wav",
        "question": "Two words.",
        key: "one",
        "metric": None,
    }


def test_compressed_and_lone_surrogates(tmp_path):
    line = json.dumps({"response": '"\ud800"', **QUOTE})
    assert "\\ud800" in line
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as out:
        out.write(line)
    assert read_verdicts(tmp_path / "r.jsonl.gz")[0].followed == (True,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON in UTF-8: Expecting property name"),
        ("NaN", "not valid JSON in UTF-8: NaN is not JSON"),
        ("[" * 100_000, "not valid JSON in UTF-8: it is nested too deeply"),
        ("[1]", "given a list, expected a JSON object"),
        ({"response": "a"}, "given a line with 'response', expected 'instruction_id_list' with 'kwargs', or 'metric': \"cot\"; if responses do not carry their instructions, give the benchmark's folder with --instructions"),
        ({"response": "a", "instruction_id_list": ["startend:quotation"]}, "expected 'instruction_id_list' with 'kwargs'"),
        ({}, "given a line with nothing, expected"),
        ({"answer": "a", **QUOTE}, "no response: expected one of the fields response, prediction, "),
        ({"response": ["a"], **QUOTE}, "given response=['a'], expected a text; an empty one for no answer"),
        ({"response": "a", **QUOTE, "instruction_id_list": "startend:quotation"}, "given instruction_id_list='startend:quotation', expected a list of one or more names"),
        ({"response": "a", **QUOTE, "kwargs": {}}, "given kwargs={}, expected a list with an object for each instruction"),
        ({"response": "a", **QUOTE, "kwargs": []}, "given 0 kwargs for 1 instructions, expected as many"),
        ({"response": "a", **QUOTE, "instruction_id_list": ["startend:shout"]}, "there is no instruction 'startend:shout'; known are "),
        ({"response": "a", "metric": "cot"}, "a chain-of-thought response needs its judge's answer: expected the field 'eval_response'"),
        ({"metric": "cot", "eval_response": "Result: maybe"}, "the judge's answer ends 'Result: maybe', expected 'Result: YES' or 'Result: NO'"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(file, line, message):
    path = file({"response": "a", **QUOTE}, line)
    with pytest.raises(RecordError) as error:
        read_verdicts(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": 99},
        {"id": 0, "instruction": "Sing it."},
        {"instruction": "Two words."},  # about which of two clips?
        {"instruction": "Two words.", "audio": "7.wav"},
    ],
)
def test_an_instruction_that_is_not_the_benchmarks(file, benchmark, fields):
    with pytest.raises(
        RecordError, match=r":1: given a line with .*: no single instruction of the benchmark has"
    ):
        read_verdicts(file(fields | {"response": "a"}), Instructions(benchmark))


def test_files_that_are_not_there(tmp_path, file, benchmark):
    with pytest.raises(InputError, match="does not exist"):
        read_verdicts(tmp_path / "none.jsonl")
    with pytest.raises(
        InputError, match=r"responses.jsonl holds no responses; expected one JSON object a line"
    ):
        read_verdicts(file(""))
    with pytest.raises(
        InputError,
        match=r"holds no closed_ended_questions.jsonl, expected the benchmark's folder or its eval_data",
    ):
        Instructions(tmp_path)
    (benchmark / "eval_data" / "creative_writing.jsonl").write_text('{"id": 2}\n')
    with pytest.raises(
        RecordError, match=r"creative_writing.jsonl:1: the benchmark's line has no text 'instruction'"
    ):
        Instructions(benchmark)
