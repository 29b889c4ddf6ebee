"""Two systems compared, on stored predictions of each benchmark; and rows against the benchmark's own scores."""

import json

import air_bench
import numpy as np
import pytest
from answers import BENCHMARKS, TASKS, asr, chat, choices, dominance, ifeval, nano, superb
from hypothesis import given, settings
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.evaluate.air_bench_chat.rows import chat_rows
from desta2.evaluate.asr import asr_rows, score_asr
from desta2.evaluate.benchmarks import open_benchmark
from desta2.evaluate.compare import compare_paired
from desta2.evaluate.nano_rows import nano_rows
from desta2.evaluate.rows import leaves, scored_ids
from desta2.evaluate.score import score_nano
from desta2.evaluate.stats import Interval
from desta2.evaluate.stored import read_stored
from desta2.evaluate.versus import compare_runs, in_words
from desta2.records import Prediction

SEEDS = st.integers(0, 2**16)


@pytest.fixture
def stored(tmp_path):
    """`stored(name, lines, benchmark)`: predictions in a file, read again."""

    def write(name, lines, benchmark):
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return read_stored(path, benchmark)

    return write


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_system_and_itself(stored, benchmark):
    make, good, _ = BENCHMARKS[benchmark]
    one = stored("a.jsonl", make(good), benchmark)
    found = compare_runs(one, one)
    assert found.n == len(scored_ids(row_table(one)))
    for row in found.rows:
        assert (row.comparison.difference, row.comparison.p_value, row.better) == (0, 1, None)
        assert (row.comparison.low, row.comparison.high) == (0, 0)
        assert row.first == row.second
    assert "first is better" not in in_words(found)
    assert f"within noise: {len(found.rows)} of {len(found.rows)} rows" in in_words(found)


def row_table(one):
    if one.benchmark == "nano":
        return nano_rows(one.predictions)
    return open_benchmark(one.benchmark).rows(one.predictions)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_clearly_better_system(stored, benchmark):
    make, good, bad = BENCHMARKS[benchmark]
    one, other = stored("a.jsonl", make(good), benchmark), stored("b.jsonl", make(bad, 1), benchmark)
    there, back = compare_runs(one, other), compare_runs(other, one)
    assert [row.name for row in there.rows] == [row.name for row in back.rows]
    top = there.rows[0]
    assert (top.better, back.rows[0].better) == ("first", "second")
    assert top.comparison.p_value < 0.001
    assert not top.comparison.low <= 0 <= top.comparison.high
    errors = {row.kind for row in there.rows if row.better == "first" and row.comparison.difference < 0}
    with_errors = {row.kind for row in there.rows} & {"error"}
    assert errors == with_errors, "fewer errors are better"
    for row, turned in zip(there.rows, back.rows, strict=True):
        assert row.comparison.difference == pytest.approx(-turned.comparison.difference)
        assert row.comparison.low == pytest.approx(-turned.comparison.high)
        assert row.comparison.high == pytest.approx(-turned.comparison.low)
        assert row.comparison.p_value == turned.comparison.p_value
        assert (row.first, row.second) == (turned.second, turned.first)
    assert "first is better" in in_words(there)
    json.dumps(there.to_dict(), allow_nan=False)


@settings(max_examples=15, deadline=None)
@given(shares=st.tuples(st.floats(0, 1), st.floats(0, 1)), seeds=st.tuples(SEEDS, SEEDS))
def test_turned_round(shares, seeds):
    """For any two systems: the sign turns, and a difference that excludes noise has a side."""
    table = open_benchmark("dynamic-superb")
    rows = [
        table.rows([Prediction.model_validate(line) for line in superb(share, seed, 8)])
        for share, seed in zip(shares, seeds, strict=True)
    ]
    for one, other in zip(*rows, strict=True):
        (gains, groups, clusters, sizes), others = one.columns(), other.columns()[0]
        there = compare_paired(gains, others, groups, clusters, sizes=sizes, swaps=200)
        back = compare_paired(others, gains, groups, clusters, sizes=sizes, swaps=200)
        assert there.difference == pytest.approx(-back.difference)
        assert there.p_value == back.p_value
        assert there.within_noise == back.within_noise
        assert there.difference == pytest.approx(one.score().value - other.score().value)


def test_difference_of_error_rates_is_of_sums():
    """(1 + 4) / 10 - (2 + 0) / 10, and not the mean of the items' differences."""
    found = compare_paired([1, 4], [2, 0], sizes=[2, 8])
    assert found.difference == pytest.approx(0.3)
    found = compare_paired([1.0] * 8, [0.0] * 8, clusters=[0, 0, 1, 1, 2, 2, 3, 3], sizes=[5] * 8)
    assert found.p_value == pytest.approx(2 / 16, abs=0.02)


def predictions(lines):
    return [Prediction.model_validate(line) for line in lines]


def test_rows_have_the_scores_of_the_benchmarks():
    """The table item by item is the table of `score`, intervals included."""

    def table(rows):
        return {row.name: row.score().to_dict() for row in rows}

    benchmark = open_benchmark("dynamic-superb")
    items = predictions(superb(0.7))
    scores, rows = benchmark.score(items), table(benchmark.rows(items))
    assert rows.pop("average over 3 tasks") == scores["average"]
    assert rows == scores["by_dimension"] | scores["by_task"]

    items = predictions(asr(0.8))
    scores = score_asr(items)
    assert list(table(asr_rows(items)).values()) == [scores["wer"], scores["cer"], scores["mean_wer"]]

    benchmark = open_benchmark("speech-ifeval")
    items = predictions(ifeval(0.7))
    verdicts = {item.id: item.model_extra["correct"] for item in items if "correct" in item.model_extra}
    scores, rows = benchmark.score(items, verdicts), table(benchmark.rows(items))
    assert rows.pop("IFrate, the mean of the three parts") == scores["if_rate"]
    assert rows == scores["by_part"] | scores["by_checker"]

    items = predictions(nano(0.7))
    own = [item for item in items if item.task != "transcript"]
    scores = score_nano({"speech": own, "cascade": own, "topline": own}, Interval(0, 0, 0, 1))
    rows = table(nano_rows(items))
    assert rows["attribute accuracy"] == scores["attribute_accuracy"]["speech"]
    assert rows["formats obeyed"] == scores["format_rate"]["speech"]
    assert rows["formats obeyed with the right value"] == scores["format_right"]["speech"]
    assert rows["capitals, right value"] == scores["by_format_right"]["capitals"]["speech"]


def test_rows_of_several_orders_and_conditions():
    """Orders weigh as one item, and are counted as one; each condition is a row."""

    def close(row, score):
        assert row.score().to_dict() == pytest.approx(score)

    benchmark = open_benchmark("multiple-choice")
    for share in (0.7, 1.0):
        items = predictions(choices(share))
        scores, rows = benchmark.score(items), {row.name: row for row in benchmark.rows(items)}
        assert (scores["n"], scores["answers"]) == (40, 60)
        close(rows.pop("accuracy"), scores["accuracy"])
        close(rows.pop("task: sound"), scores["by"]["task"]["sound"])
        assert rows.keys() == {"difficulty: easy", "difficulty: hard"}
        for name, row in rows.items():
            close(row, scores["by"]["difficulty"][name.partition(": ")[2]])
    assert scores["accuracy"]["low"] < scores["accuracy"]["value"] == 1, "the rule of three, in rows as well"

    benchmark = open_benchmark("text-dominance")
    items = predictions(dominance(0.7))
    scores, rows = benchmark.score(items), {row.name: row for row in benchmark.rows(items)}
    assert len(rows) == 21
    gain = rows["the voice adds, in points"].score()
    assert (gain.value, gain.n) == (pytest.approx(scores["audio_adds"]["difference"]), 60)
    assert rows["mood, the voice adds"].kind == "gain"
    close(rows["accuracy with voice and transcript"], scores["accuracy"]["audio"])
    close(rows["accuracy with the transcript alone"], scores["accuracy"]["transcript"])
    for name, condition in (("words", "conflict"), ("labels", "stated")):
        follows = scores["follows"][condition]
        close(rows[f"another clip's {name}: follows the voice"], follows["voice"])
        close(rows[f"another clip's {name}: follows the words"], follows["words"])
        assert rows[f"another clip's {name}: follows the words"].kind == "error"
    mood = scores["by_attribute"]["mood"]
    close(rows["mood"], mood["accuracy"]["audio"])
    close(rows["mood, transcript alone"], mood["accuracy"]["transcript"])
    close(rows["mood, words against voice"], mood["follows"]["conflict"]["words"])
    close(rows["mood, voice against labels"], mood["follows"]["stated"]["voice"])
    with pytest.raises(InputError, match="'0' is no prediction of: desta2 evaluate text-dominance"):
        benchmark.rows(predictions(chat(6)[:1]))


def test_what_the_voice_adds_is_compared(stored):
    runs = [stored("a.jsonl", dominance(0.9), "text-dominance")]
    runs.append(stored("b.jsonl", dominance(0.4, seed=1), "text-dominance"))
    benchmark = open_benchmark("text-dominance")
    adds = [benchmark.score(run.predictions)["audio_adds"]["difference"] for run in runs]
    rows = {row.name: row for row in compare_runs(*runs).rows}
    ours = rows["the voice adds, in points"]
    assert ours.comparison.difference == pytest.approx(adds[0] - adds[1])
    assert (ours.better, ours.level) == ("first", 0)
    assert in_words(compare_runs(*runs)).count("the voice adds") == 3


def test_marks_average_over_categories():
    items = predictions(chat(6))
    marks = {
        name: [float(i.model_extra["score"]) for i in items if i.task == name] for name in air_bench.TASKS
    }
    rows = {row.name: row for row in chat_rows(items)}
    pairs = [marks[one] + marks[two] for one, two in zip(*[iter(air_bench.TASKS)] * 2, strict=True)]
    mixed = (np.mean(marks["speech_and_sound_QA"]) + np.mean(marks["speech_and_music_QA"])) / 2
    expected = (sum(np.mean(pair) for pair in pairs[:3]) + mixed) / 4
    assert rows["average"].score().value == pytest.approx(expected)
    assert (rows["average"].n, rows["mixed-audio"].n) == (64, 16)
    assert [row.level for row in rows.values()] == [0] + [1, 2, 2] * 4
    assert {row.name for row in leaves(list(rows.values()))} == set(air_bench.TASKS)

    half = chat_rows([item for item in items if item.task == "speech_and_sound_QA"])
    assert [row.name for row in half] == ["speech_and_sound_QA"], (
        "a category without all its parts is left out"
    )
    unmarked = predictions([{**line, "score": None} for line in chat(6)])
    assert chat_rows(unmarked) == []
    with pytest.raises(InputError, match=r"'0' has the mark 11, expected one from 0 to 10"):
        chat_rows(predictions([{**chat(6)[0], "score": 11}]))


def test_items_of_one_system_alone(stored):
    lines = superb(0.8)
    one, other = stored("a.jsonl", lines, "dynamic-superb"), stored("b.jsonl", lines[:-7], "dynamic-superb")
    with pytest.raises(InputError) as error:
        compare_runs(one, other)
    last = [line["id"] for line in lines[-7:]]
    assert f"7 only by {one.path}: '{last[0]}', " in str(error.value)
    assert "and 2 more" in str(error.value)
    assert f"only by {other.path}" not in str(error.value)
    assert str(error.value).endswith("compare the 173 common items with --common")
    found = compare_runs(one, other, common=True)
    assert (found.n, found.only_first, found.only_second) == (173, sorted(last), [])
    assert {row.comparison.n for row in found.rows if row.level == 2} == {60, 53}
    assert all(row.better is None for row in found.rows)
    assert f"7 items left out, only {one.path} answered: '{last[0]}'" in in_words(found)
    assert found.to_dict()["only_first"] == {"n": 7, "ids": sorted(last)}


def test_items_without_verdict(stored):
    lines = chat(6)
    unjudged = [{**line, "score": None} for line in lines[:2]] + lines[2:]
    one, other = stored("a.jsonl", lines, "air-bench-chat"), stored("b.jsonl", unjudged, "air-bench-chat")
    with pytest.raises(InputError, match="not all items are answered, and scored, for both: 2 only by"):
        compare_runs(one, other)
    found = compare_runs(other, other)
    assert (found.n, found.neither) == (62, ["0", "1"])
    assert "2 items left out, without a verdict for both: '0', '1'" in in_words(found)
    nothing = stored("c.jsonl", [{**line, "score": None} for line in lines], "air-bench-chat")
    with pytest.raises(InputError, match=r"c\.jsonl: none of 64 answers has a verdict; have them judged: "):
        compare_runs(one, nothing)


def test_other_questions_are_refused(stored):
    lines = superb(0.8, n=3)
    one = stored("a.jsonl", lines, "dynamic-superb")
    for name, value in (("label", "no"), ("instruction", "Else?"), ("task", TASKS[1])):
        changed = stored("b.jsonl", [{**lines[0], name: value}, *lines[1:]], "dynamic-superb")
        with pytest.raises(InputError, match=f"has the {name} '.*' in .*; expected the same data for both"):
            compare_runs(one, changed)
    renamed = stored("c.jsonl", [{**line, "id": f"x{line['id']}"} for line in lines], "dynamic-superb")
    with pytest.raises(InputError, match="have no item in common"):
        compare_runs(one, renamed)
    with pytest.raises(InputError, match="expected two runs of the same benchmark"):
        compare_runs(one, stored("d.jsonl", asr(1), "asr"))


def test_two_judges_are_a_warning(stored):
    lines = chat(6)
    by = [{**line, "judge": {"id": "strict", "prompt_hash": "0" * 64}} for line in lines]
    kind = [{**line, "judge": {"id": "kind", "prompt_hash": "1" * 64}} for line in lines]
    one, other = stored("a.jsonl", by, "air-bench-chat"), stored("b.jsonl", kind, "air-bench-chat")
    assert compare_runs(one, one).warnings == []
    (warning,) = compare_runs(one, other).warnings
    assert warning.startswith("judged by strict (prompt 000000000000) and by kind (prompt 111111111111)")
    assert f"warning: {warning}" in in_words(compare_runs(one, other))
