"""The whole method from end to end, as a user starts it: it must learn, and leave everything to be looked at."""

import json
import os
import re
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from desta2.evaluate.formats import obeys
from desta2.nano.language import ASPECT
from desta2.records import Clip, Pair, Prediction, Seed, read_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = {"--train-clips": 500, "--test-clips": 50, "--steps": 200}
EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = Path(sys.executable).with_name("desta2")


def desta2(*argv, **variables):
    """A process of its own, as a user starts it; other tests may run beside it, so threads stay as they are."""
    own = os.environ | variables
    ran = subprocess.run([SCRIPT, *map(str, argv)], capture_output=True, text=True, env=own)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "run"


@pytest.fixture(scope="module")
def result(folder):
    options = [word for option in SIZE.items() for word in option]
    return json.loads(desta2("demo", "-o", folder, *options, "--json"))


def scores_of(result):
    """Every score with its name."""
    named = {"asr_wer": result["asr_wer"]}
    for group in ("attribute_accuracy", "format_rate"):
        named |= {f"{group}/{name}": score for name, score in result[group].items()}
    for key, systems in result["by_attribute"].items():
        named |= {f"{key}/{name}": score for name, score in systems.items()}
    return named


def test_the_result_is_complete(folder, result):
    assert result.keys() >= {
        *("attribute_accuracy", "format_rate", "by_attribute", "asr_wer", "seconds", "report"),
        *("kind_right", "unseen_right", "combination_right", "reading_accuracy", "gaps", "unanswerable"),
    }
    assert result["attribute_accuracy"].keys() == {"speech", "cascade", "topline", "chance"}
    assert result["format_rate"].keys() == {"speech", "text"}
    assert result["by_attribute"].keys() == ASPECT.keys() - {"age"}
    for name, score in scores_of(result).items():
        assert score.keys() == {"value", "low", "high", "n"}, name
        assert 0 <= score["low"] <= score["value"] <= score["high"], name
        assert score["n"] > 0, name
    questions = SIZE["--test-clips"] * (
        len(ASPECT) - 1
    )  # no clip has an age, and but for what could not be measured of a clip
    assert 0.95 * questions <= result["attribute_accuracy"]["speech"]["n"] <= questions
    assert result["asr_wer"]["n"] == SIZE["--test-clips"]
    assert result["seconds"] > 0
    assert result["report"] == str(folder / "evaluation" / "report.html")


def test_the_adapter_has_learned_to_hear(result):
    """Asked what it was never trained to answer, with speakers and sentences it never met."""
    accuracy, formats = result["attribute_accuracy"], result["format_rate"]
    assert accuracy["speech"]["value"] >= accuracy["cascade"]["value"] + 0.15
    assert accuracy["speech"]["low"] > accuracy["cascade"]["high"]
    assert accuracy["topline"]["value"] >= 0.9
    assert formats["speech"]["value"] >= 0.9
    assert formats["text"]["value"] >= 0.9


@pytest.mark.usefixtures("result")
def test_every_intermediate_file_is_there(folder):
    n = SIZE["--train-clips"]
    clips = list(read_records(folder / "corpus" / "clips.jsonl", Clip))
    assert len(clips) == n
    assert all((folder / "corpus" / clip.audio).is_file() for clip in clips)
    annotated = list(read_records(folder / "clips.annotated.jsonl", Clip))
    assert [clip.id for clip in annotated] == [clip.id for clip in clips]
    assert all(clip.attributes.keys() >= {"gender", "accent", "duration"} for clip in annotated)
    seeds = list(read_records(folder / "seeds.jsonl", Seed))
    assert [seed.id for seed in seeds] == [clip.id for clip in clips]

    assert list((folder / "pairs").glob("part-*.jsonl"))
    pairs = list(read_records(folder / "pairs", Pair))
    assert len(pairs) > 0.9 * n, "self-generation leaves out answers that do not end: a few, not many"
    assert {pair.provenance.prompt for pair in pairs} == {"What can you hear from the audio?"}
    assert {pair.provenance.llm for pair in pairs} == {"nano"}

    adapter = folder / "adapter"
    assert (adapter / "model" / "adapter.safetensors").is_file()
    log = [json.loads(line) for line in (adapter / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == SIZE["--steps"]
    assert log[-1]["loss"] < 0.8 * log[0]["loss"]

    predictions = folder / "evaluation" / "predictions"
    for name in ("speech", "cascade", "topline", "transcripts"):
        assert list(read_records(predictions / f"{name}.jsonl", Prediction)), name
    trained, tested = ({clip.speaker for clip in read_records(path, Clip)} for path in (
        folder / "corpus" / "clips.jsonl", folder / "evaluation" / "corpus" / "clips.jsonl"
    ))  # fmt: skip
    assert not trained & tested, "nobody is tested whom the adapter has heard"


class _Links(HTMLParser):
    """Everything that a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found, self.players = [], 0

    def handle_starttag(self, tag, attrs):
        self.players += tag == "audio"
        fetching = ("src", "href", "xlink:href", "data", "poster", "srcset", "action")
        self.found += [value for name, value in attrs if name in fetching and value]


def test_the_report_stands_alone(result):
    html = Path(result["report"]).read_text()
    links = _Links()
    links.feed(html)
    assert [link for link in links.found if not link.startswith(("data:", "#"))] == []
    assert not re.search(r"url\(\s*['\"]?(?!data:|#|['\"]?#)", html), "nor does its style fetch anything"
    assert "@import" not in html
    assert links.players == 5
    assert html.count("<svg") >= 3, "accuracy, formats, loss"


def test_a_finished_demo_only_prints_its_result_again(folder, result):
    options = [word for option in SIZE.items() for word in option]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")}
    again = json.loads(desta2("demo", "-o", folder, *options, "--json"))
    assert scores_of(again) == scores_of(result)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")} == before


# The shipped model


@pytest.fixture(scope="module")
def examples():
    found = sorted(EXAMPLES.glob("*.wav"))
    assert found, f"{EXAMPLES} holds no example clips"
    return found


def test_chat_answers_within_ten_seconds_of_a_cold_start(examples):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = desta2("chat", examples[0], "-q", "Is the speaker a man or a woman?", OMP_NUM_THREADS="1")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time of one thread, which is what a quiet machine takes: a busy one shall not fail it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    assert re.search(r"\b(male|female|man|woman)\b", answer)


def test_chat_answers_in_capital_letters_when_asked(examples):
    question = "Is the speaker a man or a woman? Answer in capital letters."
    for clip in examples:
        answer = desta2("chat", clip, "-q", question)
        assert obeys("capitals", answer), f"{clip.name}: {answer}"
    assert obeys("capitals", desta2("chat", *examples, "-q", question)), "all of them at once"
