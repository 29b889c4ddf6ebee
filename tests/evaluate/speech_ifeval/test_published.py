"""The published verdicts on DeSTA2's published responses, where the shared data lies beside the repository."""

import json
import os
import time
from pathlib import Path

import pytest
from loopback_judge import judging

from desta2.evaluate.judging.judge import Judge
from desta2.evaluate.judging.opening import open_judge
from desta2.evaluate.speech_ifeval.checkers import CLOSED, CREATIVE, REASONING
from desta2.evaluate.speech_ifeval.judging import judge_reasoning, open_template
from desta2.evaluate.speech_ifeval.responses import Instructions, read_verdicts
from desta2.evaluate.speech_ifeval.score import forgetting_from_rate, score_verdicts

# DESTA2_SHARED names the folder where a checkout lies elsewhere.
SHARED = Path(os.environ.get("DESTA2_SHARED", Path(__file__).parents[4] / "shared")) / "speech_ifeval"
RULED = [
    SHARED / "desta2" / f"rule_eval@{part}.jsonl.jsonl"
    for part in ("closed_ended_questions", "creative_writing")
]
JUDGED = SHARED / "desta2" / "llm_eval@chain-of-thought.jsonl"

pytestmark = pytest.mark.skipif(not JUDGED.exists(), reason=f"the shared data is not at {SHARED}")


def test_every_verdict_is_the_published_one():
    verdicts = [verdict for path in RULED for verdict in read_verdicts(path)]
    assert len(verdicts) == 1333
    differing = [v.fields["id"] for v in verdicts if list(v.followed) != v.fields["follow_instruction_list"]]
    assert differing == []


def test_published_rates_within_ten_seconds():
    started = time.perf_counter()
    score = score_verdicts([verdict for path in (*RULED, JUDGED) for verdict in read_verdicts(path)])
    assert time.perf_counter() - started < 10
    percents = {part: round(100 * rate.value, 2) for part, rate in score.by_part.items()}
    assert percents == {CLOSED: 83.71, CREATIVE: 91.75, REASONING: 91.5}
    assert score.if_rate is not None
    assert round(100 * score.if_rate.value, 2) == 88.99
    assert score.overall.n == 1533
    assert round(100 * forgetting_from_rate(score, 0.9253).rate, 2) == -3.83


def test_the_same_verdicts_with_instructions_from_the_folder(tmp_path):
    instructions = Instructions(SHARED)
    for path in RULED:
        published = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        kept = [
            {
                "audio": f"/data/{row['audio_filepath']}",
                "prompt": row["instruction"],
                "output": row["response"],
            }
            for row in published
        ]
        (tmp_path / path.name).write_text("".join(json.dumps(row) + "\n" for row in kept))
        by_text = read_verdicts(tmp_path / path.name, instructions)
        assert [list(v.followed) for v in by_text] == [row["follow_instruction_list"] for row in published]


def test_a_judge_asked_now_that_says_what_is_stored_gives_the_published_rate(tmp_path):
    published = [json.loads(line) for line in JUDGED.read_text("utf-8").splitlines()]
    stored = {
        (row["instruction"].strip(), row["response"].strip()): row["eval_response"] for row in published
    }
    own = tmp_path / "own.jsonl"
    open_ = [
        {key: row[key] for key in ("audio_filepath", "instruction", "response", "metric")}
        for row in published
    ]
    own.write_text("".join(json.dumps(row) + "\n" for row in open_))

    def remembers(prompt):
        instruction = prompt.split("<instruction>\n")[1].split("\n</instruction>")[0]
        response = prompt.split("<response>\n")[1].split("\n</response>")[0]
        return stored[instruction.strip(), response.strip()]

    with judging(remembers) as server, Judge(open_judge(server.url)) as judge:
        judged = judge_reasoning([own], judge, open_template(None))
    assert [said.follows for said in judged.values()] == [row["correct"] for row in published]
    rate = score_verdicts(read_verdicts(own, None, judged)).overall
    assert (round(100 * rate.value, 2), rate.n) == (91.5, 200)
