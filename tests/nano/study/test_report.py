"""The report says what the results hold, and nothing else."""

import xml.etree.ElementTree as ET

import pytest

from desta2.evaluate.rows import Entry, Row
from desta2.nano.study.plan import BASE, SCALES, VARIANTS, plan_runs, table
from desta2.nano.study.report import cell, markdown, write_report
from desta2.nano.study.scores import differences, score_rows

HEARD = ("attribute accuracy", "formats obeyed")


def rows(right, names=HEARD, kind="rate"):
    """A row of twenty items of ten speakers, of which so many are right, and its parts."""
    entries = [Entry(f"c{i}", float(i % 20 < right), f"s{i % 10}", "pitch") for i in range(20)]
    return [*(Row(name, 0, kind, entries) for name in names), Row("pitch", 1, kind, entries)]


def results(names):
    """As `gather` gives them, of variants with these names."""
    variants = [variant for variant in VARIANTS if variant.name in names]
    heard = {variant.name: {1: rows(10 + i), 2: rows(12 + i)} for i, variant in enumerate(variants)}
    conflicts = {
        variant.name: {1: rows(8, ("the words pull",), "gain")} for variant in variants if variant.dominance
    }
    wer = [
        Row(
            "word error rate of the transcripts",
            0,
            "error",
            [Entry("a", 1, "s", "", 8), Entry("b", 2, "t", "", 8)],
        )
    ]
    references = {"cascade": rows(4), "topline": rows(20), "chance": rows(6, HEARD[:1]), "transcripts": wer}
    floor = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 20}
    equal = {"equal": 40, "n": 40, "answers_hash": "abcdef0123456789", "prompts_hash": "00"}
    return {
        "command": "desta2 nano study -o here",
        "left_out": {"taps": "not asked for (--only)"},
        "plan": table(SCALES["small"], plan_runs(SCALES["small"], 2)),
        "variants": {
            variant.name: {
                "experiment": variant.experiment, "told": variant.told, "targets": variant.targets,
                "clips": 1000 * (i + 1), "steps": 240, "loss": {"1": 0.5123, "2": 0.6},
                "scores": score_rows(heard[variant.name]),
                "differences": {} if variant.name == BASE else differences(heard[variant.name], heard[BASE]),
            }
            for i, variant in enumerate(variants)
        },
        "references": {name: score_rows({1: own}) for name, own in references.items()},
        "against_text": differences(heard[BASE], {1: rows(20), 2: rows(20)}),
        "dominance": {name: score_rows(own) for name, own in conflicts.items()},
        "dominance_differences": {
            name: differences(own, conflicts[BASE]) for name, own in conflicts.items() if name != BASE
        },
        "forgetting": {"base-1": equal, "base-2": equal},
        "floors": {"self": {"prompt": floor}, "captions": {"prompt": floor, "asked": floor}},
        "versions": {},
    }  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    return results([variant.name for variant in VARIANTS])


def test_every_variant_and_its_difference_is_told(whole):
    text = markdown(whole, {})
    for variant in VARIANTS:
        assert f"- `{variant.name}`: {variant.told}; " in text
        for name in HEARD:
            own = whole["variants"][variant.name]
            assert cell(own["scores"][name]) in text
            if variant.name != BASE:
                assert cell(own["differences"][name]) in text
    for title in (
        "1. Zero-shot",
        "2. Whose",
        "3. Forg",
        "4. With",
        "5. Taps",
        "6. Quer",
        "7. Amount",
        "8. Text",
    ):
        assert f"\n## {title}" in text
    assert text.startswith("# Nano study\n\n```\ndesta2 nano study -o here\n```\n")
    assert "Left out: taps, not asked for (--only)." in text
    assert "| base-1 | 40 of 40 | `abcdef012345` |" in text
    assert "| captions | 0.250 [0.200 … 0.300] | 0.250 [0.200 … 0.300] | 0.512, 0.600 |" in text
    assert "word error rate of the transcripts: 18.75" in text


def test_tables_are_whole(whole):
    lines = markdown(whole, {}).splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|") and lines[number - 1].startswith("|"):
            assert line.count("|") == lines[number - 1].count("|"), line


def test_what_was_not_studied_is_not_there():
    text = markdown(results([BASE, "tap-input"]), {})
    assert "## 5. Taps" in text
    assert "Queries" not in text
    assert "Whose answers" not in text
    assert "captions-1" in text, "but the plan tells of it"


def test_scores_in_tables():
    score = {"value": 0.5, "low": 0.4, "high": 0.61, "kind": "rate"}
    assert cell(score) == "50.00 [40.00 … 61.00]"
    assert cell({**score, "kind": "gain"}) == "+50.00 [+40.00 … +61.00]"
    assert cell(None) == ""


def test_plots_stand_alone(tmp_path, whole):
    path = write_report(whole, tmp_path / "report.md")
    text = path.read_text()
    names = ["base", "targets", "transcript", "taps", "queries", "data"]
    assert sorted(file.stem for file in (tmp_path / "plots").iterdir()) == sorted(names)
    for name in names:
        assert f"![{name}](plots/{name}.svg)" in text
        picture = (tmp_path / "plots" / f"{name}.svg").read_text()
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in picture, "a file has no page whose colours it could take"
    assert "training clips" in (tmp_path / "plots" / "data.svg").read_text()
