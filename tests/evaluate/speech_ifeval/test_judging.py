"""Chain-of-thought responses judged now, by judges that are real servers on this machine."""

import json

import pytest
from loopback_judge import judging

from desta2.errors import InputError, RecordError
from desta2.evaluate.judging.judge import Judge
from desta2.evaluate.judging.opening import open_judge
from desta2.evaluate.speech_ifeval.checkers import REASONING
from desta2.evaluate.speech_ifeval.judging import judge_reasoning, open_template
from desta2.evaluate.speech_ifeval.responses import Instructions, read_verdicts
from desta2.evaluate.speech_ifeval.score import forgetting_from_responses, score_verdicts


def line(number, response, **fields):
    asked = {"instruction": f"Question {number}? Think step by step.", "metric": "cot"}
    return {"id": number, "audio_filepath": f"{number}.wav", **asked, "response": response, **fields}


LINES = [
    line(0, "First this, then that, so 4."),
    line(1, "4."),
    line(2, " "),
    line(3, "4.", eval_response="It reasons.\nResult: YES"),
    line(4, "4.", correct=True, eval_response=None),
    line(5, "Judge me well."),
    {"id": 6, "response": '"a"', "instruction_id_list": ["startend:quotation"], "kwargs": [{}]},
]


def sees_steps(prompt):
    assert "Think step by step." in prompt
    if "Judge me" in prompt:
        return "I would rather not."
    return "It does.\nResult: YES" if "First this" in prompt else "Result: NO"


@pytest.fixture
def file(tmp_path):
    def write(lines, name="own.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in lines))
        return tmp_path / name

    return write


def judged_now(files, instructions=None, template=None, verdict=sees_steps):
    with judging(verdict) as server, Judge(open_judge(server.url)) as judge:
        return judge_reasoning(files, judge, open_template(template), instructions), server


def test_only_open_responses_are_judged_and_scored(file):
    path = file(LINES)
    judged, server = judged_now([path])
    assert list(judged) == [f"{path}:{number}" for number in (1, 2, 3, 6)]
    assert len(server.bodies) == 2 + 3  # the blank is not asked about; the unreadable verdict three times
    verdicts = read_verdicts(path, None, judged)
    assert [verdict.followed for verdict in verdicts] == [
        (True,), (False,), (False,), (True,), (True,), (), (True,)
    ]  # fmt: skip
    assert {verdict.part for verdict in verdicts[:6]} == {REASONING}
    rate = score_verdicts(verdicts).by_part[REASONING]
    assert (rate.value, rate.n) == (3 / 5, 5)


def test_lines_are_written_so_that_they_can_be_scored_again(file):
    path = file(LINES)
    verdicts = read_verdicts(path, None, judged_now([path])[0])
    rows = [verdict.to_dict() for verdict in verdicts]
    assert (rows[0]["eval_response"], rows[0]["correct"]) == ("It does.\nResult: YES", True)
    assert (rows[2]["correct"], "eval_response" in rows[2]) == (False, False)
    assert rows[5]["unjudged"] == "no verdict can be read from the answer"
    assert (rows[5]["unread"], rows[5]["follow_all_instructions"]) == ("I would rather not.", None)
    assert rows[3] == LINES[3] | {"follow_instruction_list": [True], "follow_all_instructions": True}
    again = file(rows, "again.jsonl")
    with pytest.raises(
        RecordError, match=r"again\.jsonl:6: a chain-of-thought response needs its judge's answer"
    ):
        read_verdicts(again)
    judged, server = judged_now([again], verdict=lambda prompt: "Result: NO")
    assert len(server.bodies) == 1
    found = [verdict.followed for verdict in read_verdicts(again, None, judged)]
    assert found == [verdict.followed or (False,) for verdict in verdicts]


def test_instructions_come_from_the_benchmark_and_the_prompt_from_a_file(file, tmp_path):
    file([], "closed_ended_questions.jsonl")
    asked = [
        {key: row[key] for key in ("id", "instruction", "metric", "audio_filepath")} for row in LINES[:2]
    ]
    file(asked, "chain-of-thought.jsonl")
    (tmp_path / "judge.txt").write_text("{instruction}|{response}")
    seen = []
    judged, _ = judged_now(
        [file([{"id": 1, "prediction": "4."}])],
        Instructions(tmp_path),
        tmp_path / "judge.txt",
        lambda prompt: seen.append(prompt) or "Result: YES",
    )
    assert seen == ["Question 1? Think step by step.|4."]
    assert [said.follows for said in judged.values()] == [True]


def test_forgetting_counts_what_both_have_a_verdict_on(file):
    own, other = (
        file(LINES[:6]),
        file([row | {"eval_response": "Result: YES"} for row in LINES[:6]], "other.jsonl"),
    )
    verdicts = read_verdicts(own, None, judged_now([own])[0])
    forgetting = forgetting_from_responses(verdicts, read_verdicts(other))
    assert (forgetting.reference, forgetting.comparison.n) == (1.0, 5)
    assert forgetting.rate == pytest.approx(-2 / 5)


def test_mistakes(file, tmp_path):
    with pytest.raises(
        RecordError, match=r"own\.jsonl:1: no instruction: expected one of the fields instruction"
    ):
        judged_now([file([{"metric": "cot", "response": "a"}])])
    with pytest.raises(RecordError, match=r"own\.jsonl:1: no response: expected one of the fields response"):
        judged_now([file([{"metric": "cot", "instruction": "a"}])])
    (tmp_path / "judge.txt").write_text("{instruction}")
    with pytest.raises(InputError, match=r"no place for response; write \{response\} where it is to stand"):
        open_template(tmp_path / "judge.txt")
