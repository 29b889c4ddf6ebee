"""Attribute accuracy during training: the very questions of the nano benchmark."""

import pytest

from desta2.evaluate.answers import is_right
from desta2.evaluate.run import run_nano
from desta2.model.modeling import load
from desta2.train.benchmark import nano_benchmark

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmark")


@pytest.mark.slow
def test_it_is_the_accuracy_of_the_nano_benchmark(folder, tmp_path):
    """On the shipped model, which answers: by attribute the share of right answers, and their mean."""
    model = load("nano")
    figures = nano_benchmark(folder, 6)(model)
    answers = run_nano(model, folder / "corpus" / "clips.annotated.jsonl", tmp_path)["speech"]
    by_key = {}
    for item in answers:
        if item.task.startswith("attribute/"):
            key = item.task.partition("/")[2]
            by_key.setdefault(key, []).append(is_right(key, item.label, item.response))
    expected = sum(sum(hits) / len(hits) for hits in by_key.values()) / len(by_key)
    assert figures == {"nano_accuracy": pytest.approx(expected)}
    assert figures["nano_accuracy"] > 0.5


@pytest.mark.slow
def test_a_model_that_hears_nothing_scores_nothing(folder, model):
    """Random weights never name an attribute's word; and nothing is asked twice of the disk."""
    made = nano_benchmark(folder, 6)
    manifest = folder / "corpus" / "clips.annotated.jsonl"
    time = manifest.stat().st_mtime_ns
    assert made(model) == {"nano_accuracy": 0.0}
    assert nano_benchmark(folder, 6)(model) == {"nano_accuracy": 0.0}
    assert manifest.stat().st_mtime_ns == time
