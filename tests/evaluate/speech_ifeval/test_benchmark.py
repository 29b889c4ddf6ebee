"""Speech-IFEval as a benchmark: its folder read as questions, and predictions scored from their file alone."""

import json
import os
from pathlib import Path

import pytest
from superb import wav

from desta2.errors import InputError, RecordError
from desta2.evaluate.benchmarks import evaluate
from desta2.evaluate.runner import Run
from desta2.evaluate.speech_ifeval.benchmark import SpeechIfeval
from desta2.evaluate.speech_ifeval.responses import FILES, read_verdicts
from desta2.evaluate.speech_ifeval.score import score_verdicts
from desta2.records import Prediction, read_records

# DESTA2_SHARED names the folder where a checkout lies elsewhere.
REAL = Path(os.environ.get("DESTA2_SHARED", Path(__file__).parents[4] / "shared")) / "speech_ifeval"
BENCHMARK = SpeechIfeval()

CLOSED = [
    {
        "id": 0, "audio_filepath": "ASR/a.wav", "instruction": "Write it.\nIn capitals.", "dataset": "ASR",
        "metric": "wer", "instruction_id_list": ["change_case:english_capital"], "kwargs": [{}], "label": "HELLO",
    },
    {
        "id": 1, "audio_filepath": "ASR/b.wav", "instruction": "Write it.\nIn small letters.", "metric": "wer",
        "instruction_id_list": ["change_case:english_lowercase"], "kwargs": [{}], "label": 5,
    },
]  # fmt: skip
CREATIVE = [
    {
        "id": 934, "audio_filepath": "ASR/a.wav", "instruction": "Write 2 bullets.", "metric": "open",
        "instruction_id_list": ["detectable_format:number_bullet_lists"], "kwargs": [{"num_bullets": 2}],
    }
]  # fmt: skip
REASONING = [{"audio_filepath": "ASR/b.wav", "instruction": "Think step by step.", "metric": "cot"}]


@pytest.fixture(params=["data/eval_data", "eval_data", "."])
def data(tmp_path, request):
    """The benchmark's folder as it comes, or its eval_data with the audio beside."""
    folder = tmp_path / "Speech-IFEval"
    for name, lines in zip(FILES, (CLOSED, CREATIVE, REASONING), strict=True):
        path = folder / request.param / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    audio = folder / "data" / "audios" / "ASR"
    audio.mkdir(parents=True)
    for name in ("a.wav", "b.wav"):
        (audio / name).write_bytes(wav(300))
    return folder


class Says:
    """A system that answers by instruction."""

    def __init__(self, answers):
        self.facts = {"kind": "test", "id": "says", "identity": "says", "sampling": {}}
        self.answers = answers

    def answer(self, questions):
        for question in questions:
            text = question.messages[-1]["content"][-1]["text"]
            yield question, next(said for end, said in self.answers.items() if text.endswith(end))


SAID = {"capitals.": "HELLO", "letters.": "Hello", "bullets.": "* a\n* b", "step.": "First, then."}


def test_questions(data):
    questions = list(BENCHMARK.questions(data))
    assert [question.id for question in questions] == [
        "closed-ended/0", "closed-ended/1", "creative/934", "chain-of-thought/1",
    ]  # fmt: skip
    path = str((data / "data" / "audios" / "ASR" / "a.wav").resolve())
    assert questions[0].messages == [
        {
            "role": "user",
            "content": [
                {"type": "audio", "audio": path},
                {"type": "text", "text": "Write it.\nIn capitals."},
            ],
        }
    ]
    assert questions[0].fields["label"] == "HELLO" and questions[1].fields["label"] == "5"
    assert questions[2].fields["kwargs"] == [{"num_bullets": 2}]


def test_run_and_score(data, tmp_path):
    out = tmp_path / "out"
    result = evaluate(Run("speech-ifeval", data, out), BENCHMARK, Says(SAID))
    scores = result["scores"]
    assert scores["by_part"]["closed-ended"]["value"] == 0.5
    assert scores["by_part"]["creative"]["value"] == 1
    assert scores["by_checker"]["change_case:english_capital"]["n"] == 1
    assert (scores["if_rate"], scores["n"], scores["unjudged"]) == (None, 3, 1)
    assert "chain-of-thought" not in scores["by_part"]
    words = BENCHMARK.in_words(scores)
    assert words.endswith("1 chain-of-thought responses need a judge, so there is no IFrate")
    assert "closed-ended, responses that follow " in words


def test_verdicts_of_a_judge_complete_it(data, tmp_path):
    evaluate(Run("speech-ifeval", data, tmp_path / "out"), BENCHMARK, Says(SAID))
    predictions = list(read_records(tmp_path / "out" / "predictions.jsonl", Prediction))
    scores = BENCHMARK.score(predictions, {"chain-of-thought/1": False})
    assert scores["if_rate"]["value"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert (scores["n"], scores["unjudged"]) == (4, 0)
    assert BENCHMARK.in_words(scores).startswith("IFrate, the mean of the three parts ")


def test_predictions_are_responses_for_the_verb_score(data, tmp_path):
    evaluate(Run("speech-ifeval", data, tmp_path / "out"), BENCHMARK, Says(SAID))
    judged = tmp_path / "judged.jsonl"
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    lines[3]["eval_response"] = "Result: YES"
    judged.write_text("".join(json.dumps(line) + "\n" for line in lines))
    score = score_verdicts(read_verdicts(judged))
    assert score.if_rate is not None and score.if_rate.value == pytest.approx((0.5 + 1 + 1) / 3)


def test_mistakes(tmp_path, data):
    with pytest.raises(
        InputError, match=r"holds no closed_ended_questions.jsonl, expected the benchmark's folder"
    ):
        BENCHMARK.questions(tmp_path)
    audio = data / "data" / "audios"
    audio.rename(data / "elsewhere")
    with pytest.raises(InputError) as caught:
        BENCHMARK.questions(data)
    assert (
        str(caught.value)
        == f"the clip ASR/a.wav is nowhere in {data}; expected the benchmark's audio in {audio}"
    )
    with pytest.raises(
        InputError, match="there are no predictions to score; chain-of-thought alone needs a judge"
    ):
        BENCHMARK.score([])
    bare = Prediction(id="x", task="creative", instruction="?", response="!")
    with pytest.raises(
        InputError, match="'x': given a line with 'id', 'task', 'instruction', 'response', expected"
    ):
        BENCHMARK.score([bare])


def test_a_line_without_clip(data):
    [path] = data.rglob(FILES[2])
    path.write_text(json.dumps({"instruction": "Think.", "metric": "cot"}) + "\n")
    with pytest.raises(RecordError) as caught:
        list(BENCHMARK.questions(data))
    assert str(caught.value) == f"{path}:1: given audio_filepath=None, expected the path of a clip"


@pytest.mark.skipif(not REAL.exists(), reason=f"the shared data is not at {REAL}")
def test_the_real_instructions(tmp_path):
    (tmp_path / "eval_data").symlink_to(REAL / "eval_data")
    first = json.loads((REAL / "eval_data" / FILES[0]).read_text().splitlines()[0])["audio_filepath"]
    clip = tmp_path / "data" / "audios" / first
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"")
    questions = list(BENCHMARK.questions(tmp_path))
    assert len({question.id for question in questions}) == len(questions) == 933 + 400 + 200
    assert questions[0].fields["audio"] == str(clip.resolve())


@pytest.mark.skipif(not REAL.exists(), reason=f"the shared data is not at {REAL}")
def test_published_responses_as_predictions_score_as_published(tmp_path):
    """The way of a run, on DeSTA2's published responses: the published rates."""
    (tmp_path / "eval_data").symlink_to(REAL / "eval_data")
    predictions = []
    for part, name in (
        ("closed-ended", "rule_eval@closed_ended_questions.jsonl.jsonl"),
        ("creative", "rule_eval@creative_writing.jsonl.jsonl"),
    ):
        for line in (REAL / "desta2" / name).read_text().splitlines():
            fields = json.loads(line)
            told = {
                key: fields[key]
                for key in ("instruction_id_list", "kwargs", "metric", "instruction", "response")
            }
            told |= {"id": f"{part}/{fields['id']}", "task": part, "audio_filepath": fields["audio_filepath"]}
            predictions.append(Prediction.model_validate(told))
    scores = BENCHMARK.score(predictions)
    assert round(100 * scores["by_part"]["closed-ended"]["value"], 2) == 83.71
    assert round(100 * scores["by_part"]["creative"]["value"], 2) == 91.75
