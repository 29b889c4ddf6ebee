"""Judging and scoring, against judges that are real servers on this machine."""

import json
import re

import pytest
from air_bench import TASKS, answered, rows, shown
from loopback_judge import judging
from loopback_llm import Raw

from desta2.errors import InputError, RunError
from desta2.evaluate.air_bench_chat.items import match_answers
from desta2.evaluate.air_bench_chat.score import score_answers
from desta2.evaluate.judging.judge import Judge
from desta2.evaluate.judging.opening import open_judge


def scored(verdict, lines, items=None, template=None):
    """The result, the comparisons, and the server."""
    with judging(verdict) as server, Judge(open_judge(server.url, retries=0)) as judge:
        answers = match_answers((f"line {i}", line) for i, line in enumerate(lines))
        return *score_answers(answers, judge, items, template), server


def fair(marks):
    """A judge that gives each answer its own mark, wherever it stands: 8 to references."""

    def verdict(prompt):
        return " ".join(str(8 if text.startswith("Reference") else marks(text)) for text in shown(prompt))

    return verdict


def test_a_judge_that_prefers_the_first_place_gives_exactly_equal_scores():
    result, compared, server = scored(lambda prompt: "9 3", answered(rows()))
    assert len(server.bodies) == 2 * 16
    for found in [*result["categories"].values(), *result["by_task"].values(), result["average"]]:
        assert found["score"] == found["reference"]
        assert found["score"]["value"] == 6
        assert found["win_rate"]["value"] == 0.5
    assert result["position_favour"] == {"value": 6.0, "low": 6.0, "high": 6.0, "n": 16}
    assert {(each.marks.score, each.marks.reference, each.marks.win) for each in compared} == {
        (6.0, 6.0, 0.5)
    }


def test_a_fair_judge_shows_no_favour_and_its_marks_come_through():
    result, compared, _ = scored(fair(lambda text: int(text.split()[1]) % 10), answered(rows()))
    assert result["position_favour"]["value"] == 0
    assert [each.marks.score for each in compared] == [number % 10 for number in range(16)]
    assert {each.marks.reference for each in compared} == {8}
    assert sum(each.marks.win for each in compared) == 1  # 9 alone is more than 8
    # speech 0 1 2 3, sound 4 5 6 7, music 8 9 0 1, speech and sound 2 3, speech and music 4 5
    means = {name: found["score"]["value"] for name, found in result["categories"].items()}
    assert means == {"speech": 1.5, "sound": 5.5, "music": 4.5, "mixed-audio": 3.5}
    assert result["average"]["score"]["value"] == pytest.approx(3.75)
    assert result["categories"]["speech"]["score"]["n"] == 4
    assert (result["n"], result["average"]["score"]["n"]) == (16, 16)
    assert result["by_task"]["speech_and_music_QA"]["score"]["value"] == 4.5
    assert result["categories"]["music"]["win_rate"]["value"] == 0.25
    assert list(result["by_task"]) == list(TASKS)


def test_mixed_audio_is_the_mean_of_its_parts_and_the_average_that_of_the_categories():
    lines = [
        line
        for line in answered(rows(4))
        if line["task_name"] != "speech_and_sound_QA" or line["path"] == "clip0.wav"
    ]
    marks = {
        "speech_and_sound_QA": 10,
        "speech_and_music_QA": 2,
        "music_QA": 6,
        "music_generation_analysis_QA": 6,
    }
    tasks = {f"Mine. {line['uniq_id']}": line["task_name"] for line in lines}
    result, _, _ = scored(fair(lambda text: marks.get(tasks[text], 4)), lines)
    means = {name: found["score"]["value"] for name, found in result["categories"].items()}
    assert means == {"speech": 4, "sound": 4, "music": 6, "mixed-audio": 6}  # not (10 + 4·2) / 5
    assert result["average"]["score"]["value"] == pytest.approx(5)
    assert result["categories"]["mixed-audio"]["score"]["n"] == 5


def test_intervals_resample_recordings():
    """Half of the clips are answered well in both tasks: there are as many clusters as recordings."""
    lines = [line for line in answered(rows(8)) if line["task_name"].startswith("sound")]
    apart = [{**line, "dataset_name": f"d{line['uniq_id']}"} for line in lines]
    judge = fair(lambda text: 10 if int(text.split()[1]) % 2 else 1)
    found, _, _ = scored(judge, lines)
    other, _, _ = scored(judge, apart)
    together, alone = (result["categories"]["sound"]["score"] for result in (found, other))
    assert together["value"] == alone["value"] == 5.5
    assert together["high"] - together["low"] > alone["high"] - alone["low"]
    assert found["average"] is None
    assert list(found["categories"]) == ["sound"]


def test_equal_marks_have_an_interval_without_width():
    result, _, _ = scored(lambda prompt: "1 1", answered(rows()))
    assert result["average"]["score"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 16}
    assert result["average"]["win_rate"]["value"] == 0


def test_what_cannot_be_judged_is_counted_and_named_and_not_scored():
    def moody(prompt):
        first, second = shown(prompt)
        if "Mine. 3" in (first, second):
            return "Both are fine." if first == "Mine. 3" else "8 2"
        return Raw(400, b"no") if "Mine. 5" in (first, second) else "8 8"

    lines = [*answered(rows())[:6], {**rows()[6], "response": None}]
    result, compared, _ = scored(moody, lines, [None] * 16)
    assert (result["n"], result["unjudged"]["n"], result["missing"]) == (4, 2, 1 + 9)
    unread = {
        "id": "3, response first",
        "reason": "no verdict can be read from the answer",
        "answer": "Both are fine.",
    }
    assert unread in result["unjudged"]["verdicts"]
    assert sorted(each["id"] for each in result["unjudged"]["verdicts"]) == [
        "3, response first",
        "5, reference first",
        "5, response first",
    ]
    assert result["categories"]["speech"]["score"]["n"] == 3
    line = compared[3].to_dict()
    assert (line["score"], line["reference_score"], line["win"]) == (None, None, None)
    assert [said["marks"] for said in line["judged"]] == [(8, 2), None]
    assert (line["judged"][1]["attempts"], line["judged"][1]["reason"]) == (3, unread["reason"])
    assert compared[6].to_dict()["judged"] == []


def test_a_judge_without_a_verdict_and_lines_without_a_response():
    with pytest.raises(RunError, match=r"no usable verdict on any of 16 answers; the first, item .*: 'Hm\.'"):
        scored(lambda prompt: "Hm.", answered(rows()))
    with pytest.raises(InputError, match="none of the 16 lines holds a response"):
        scored(lambda prompt: "1 1", [{**row, "response": None} for row in rows()])
    odd = {**answered(rows())[0], "task_name": "poetry_QA"}
    with pytest.raises(
        InputError, match="the task 'poetry_QA' belongs to no category; known are speech_QA, speech"
    ):
        scored(lambda prompt: "1 1", [odd])


def test_the_prompt_holds_all_that_the_judge_needs():
    seen = []
    scored(lambda prompt: seen.append(prompt) or "5 5", answered(rows())[:1])
    assert sorted(map(shown, seen)) == [
        ("Mine. 0", "Reference speech_QA 0."),
        ("Reference speech_QA 0.", "Mine. 0"),
    ]
    for prompt in seen:
        assert "['Description of speech_QA 0.']" in prompt
        assert "What is speech_QA 0?" in prompt


def test_the_official_template_can_be_given(tmp_path):
    """Its placeholders, not its words."""
    path = tmp_path / "official.txt"
    path.write_text(
        "[Audio]\nXAudioX\n[Q]\nXQuestionX\n[1]\nXAssistant1X\n[2]\nXAssistant2X\n[End] two values."
    )
    seen = []
    result, _, _ = scored(lambda prompt: seen.append(prompt) or "4 6", answered(rows())[:1], template=path)
    assert re.fullmatch(
        r"\[Audio\]\n\['Desc.*'\]\n\[Q\]\nWhat is.*\?\n\[1\]\nReference.*\n\[2\]\nMine\. 0\n\[End\] two values\.",
        min(seen, key=lambda prompt: prompt.index("Reference")),
    )
    ours, _, _ = scored(lambda prompt: "4 6", answered(rows())[:1])
    assert ours["judge"]["prompt_hash"] != result["judge"]["prompt_hash"]
    path.write_text("XAudioX XQuestionX XAssistant1X")
    with pytest.raises(InputError, match=r"no place for answer_2; write \{answer_2\} or XAssistant2X"):
        scored(lambda prompt: "4 6", answered(rows())[:1], template=path)


def test_a_result_tells_where_it_comes_from():
    result, _, _ = scored(lambda prompt: "4 6", answered(rows()))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["benchmark"] == "air-bench-chat"
    assert (result["judge"]["id"], result["judge"]["kind"]) == ("judge-1", "endpoint")
    assert result["judge"]["sampling"]["temperature"] == 0
    assert len(result["judge"]["prompt_hash"]) == 64
    assert result["date"].endswith("+00:00")
    assert result["versions"].keys() == {"desta2"}


def test_a_killed_run_goes_on_and_scoring_again_asks_nothing(tmp_path):
    """The judge dies in the middle; a second run asks for the rest alone and gives the whole result."""
    lines, asked = answered(rows(8)), []

    def dying(prompt):
        asked.append(prompt)
        return Raw(503, b"gone") if 50 < len(asked) <= 100 else "4 6"

    with judging(dying) as server:

        def run():
            with Judge(open_judge(server.url, retries=0, concurrency=4), tmp_path / "kept") as judge:
                return score_answers(match_answers(("", line) for line in lines), judge)[0]

        with pytest.raises(RunError, match="does not answer: 20 items in a row failed"):
            run()
        asked += [""] * 100
        before = len(server.bodies)
        first = run()
        assert len(server.bodies) == before + 2 * len(lines) - 50
        again = run()
        assert len(server.bodies) == before + 2 * len(lines) - 50
    assert first["n"] == len(lines)
    assert again | {"date": ""} == first | {"date": ""}
