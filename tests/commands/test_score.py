"""The verb score on a small benchmark of our own."""

import json

import pytest

RATE = {"follow_rate", "n", "low", "high"}


def line(number, response, name="startend:quotation", **fields):
    rule = {"instruction_id_list": [name], "kwargs": [{}]}
    return {"id": number, "response": response, "audio_filepath": f"{number}.wav", **rule, **fields}


@pytest.fixture
def files(tmp_path):
    """Files of the three parts: half, all and none of them follow."""
    rows = {
        "closed": [line(0, '"a\ud800"'), line(1, "a", "change_case:english_capital")],
        "creative": [line(2, "a", "length_constraints:number_paragraphs", kwargs=[{"num_paragraphs": 1}])],
        "cot": [{"id": 3, "metric": "cot", "response": "a", "eval_response": "Result: NO"}],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    return [tmp_path / f"{name}.jsonl" for name in rows]


def test_one_file(files, result, cli):
    found = result("score", "speech-ifeval", files[0])
    assert found.keys() == RATE | {"by_checker"}
    assert (found["follow_rate"], found["n"]) == (0.5, 2)
    assert found["low"] <= 0.5 <= found["high"]
    assert list(found["by_checker"]) == ["change_case:english_capital", "startend:quotation"]
    assert all(rate.keys() == RATE for rate in found["by_checker"].values())
    code, out, _ = cli("score", "speech-ifeval", files[0])
    assert code == 0
    assert out.splitlines()[0].split() == [
        "responses",
        "that",
        "follow",
        "50.00",
        "%",
        "[0.00",
        "…",
        "100.00]",
        "n",
        "=",
        "2",
    ]
    assert "IFrate" not in out


def test_all_parts_and_items(tmp_path, files, result, cli):
    argv = ("score", "speech-ifeval", *files, "--items", tmp_path / "items.jsonl", "--reference", "80%")
    found = result(*argv)
    assert {part: rate["follow_rate"] for part, rate in found["by_part"].items()} == {
        "closed-ended": 0.5,
        "creative": 1.0,
        "chain-of-thought": 0.0,
    }
    assert found["if_rate"]["value"] == 0.5
    assert found["forgetting"] == {"rate": pytest.approx(-0.375), "reference": 0.8}
    written = [json.loads(row) for row in (tmp_path / "items.jsonl").read_text().splitlines()]
    given = [json.loads(row) for file in files for row in file.read_text().splitlines()]
    verdicts = [[True], [False], [True], [False]]
    assert written == [
        row | {"follow_instruction_list": verdict, "follow_all_instructions": verdict[0]}
        for row, verdict in zip(given, verdicts, strict=True)
    ]
    assert result("score", "speech-ifeval", tmp_path / "items.jsonl")["follow_rate"] == 0.5
    out = cli(*argv)[1]
    assert "IFrate, the mean of the three" in out
    assert out.splitlines()[-1].split() == ["forgetting", "-37.50", "%", "against", "80.00", "%"]


def test_reference_responses(files, result, cli):
    argv = ("score", "speech-ifeval", *files, *(word for file in files for word in ("--reference", file)))
    assert result(*argv)["forgetting"] == {
        "rate": 0.0,
        "reference": 0.5,
        "difference": 0.0,
        "low": 0.0,
        "high": 0.0,
        "p_value": 1.0,
        "n": 4,
    }
    assert cli(*argv)[1].endswith("0.00     [0.00 … 0.00], p = 1.0000; within noise\n")


def test_instructions_from_a_folder(tmp_path, files, result):
    rows = [{"instruction": str(number), **line(number, "")} for number in range(2)]
    text = "".join(json.dumps({k: v for k, v in row.items() if k != "response"}) + "\n" for row in rows)
    (tmp_path / "closed_ended_questions.jsonl").write_text(text)
    (tmp_path / "own.jsonl").write_text('{"id": 1, "prediction": "\\"a\\""}\n')
    assert (
        result("score", "speech-ifeval", tmp_path / "own.jsonl", "--instructions", tmp_path)["follow_rate"]
        == 1
    )


def test_mistakes(tmp_path, files, mistake):
    assert "No such command 'speech-ifevil'" in mistake("score", "speech-ifevil", files[0])
    assert (
        mistake("score", "speech-ifeval", tmp_path / "none.jsonl") == f"{tmp_path}/none.jsonl does not exist"
    )
    (tmp_path / "bad.jsonl").write_text('\n{"response": 5}\n')
    assert mistake("score", "speech-ifeval", tmp_path / "bad.jsonl").startswith(
        f"{tmp_path}/bad.jsonl:2: given a line with 'response', expected 'instruction_id_list'"
    )
    assert mistake("score", "speech-ifeval", files[0], "--reference", "0") == (
        "a reference's IFrate needs the responses of all parts (closed-ended, creative, chain-of-thought), given "
        "closed-ended; give all files, or the reference's responses instead of its rate"
    )
    assert mistake("score", "speech-ifeval", files[0], "--items", tmp_path / "items.txt").startswith(
        f"cannot write records to {tmp_path}/items.txt: expected .jsonl"
    )
