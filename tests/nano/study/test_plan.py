"""What is trained, on what, and how long it is thought to take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.nano.study.plan import (
    BASE,
    EXPERIMENTS,
    SCALES,
    VARIANTS,
    clips_in_parts,
    plan_runs,
    table,
    targets_by_part,
)
from desta2.train.config import DataConfig, ModelConfig

FULL = SCALES["full"]


def test_every_experiment_of_the_issue_has_its_variants():
    assert EXPERIMENTS == ("base", "targets", "transcript", "taps", "queries", "data", "dominance")
    assert VARIANTS[0].name == BASE
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        assert set(variant.model) <= set(ModelConfig.model_fields), variant.name
        assert set(variant.data) <= set(DataConfig.model_fields), variant.name
    clips = {FULL.part * count for count in (FULL.base, *FULL.curve)}
    assert clips == {1_000, 3_000, 10_000, 30_000}


def test_a_variant_differs_from_the_base_in_what_it_is_named_for_alone():
    """All others have the base's clips, steps and seeds, and so are compared with it fairly."""
    runs = plan_runs(FULL, 3)
    base = {run.seed: run for run in runs if run.variant.name == BASE}
    for run in runs:
        if run.variant.experiment != "data":
            assert (run.parts, run.steps) == (base[run.seed].parts, base[run.seed].steps), run.name


@given(st.sampled_from(list(SCALES.values())), st.integers(1, 6))
def test_less_data_is_a_part_of_more(scale, seeds):
    for seed in range(1, seeds + 1):
        runs = [run for run in plan_runs(scale, seeds, ["data"]) if run.seed == seed]
        for one in runs:
            assert len(set(one.parts)) == len(one.parts) == clips_in_parts(one.variant, scale)
            assert one.steps * 16 >= min(len(one.parts) * scale.part, one.steps * 16)
            assert one.steps >= len(one.parts) * scale.part / 16, "every pair is seen at least once"
            for other in runs:
                small, large = sorted((set(one.parts), set(other.parts)), key=len)
                assert small <= large


def test_three_seeds_of_the_base_share_no_clip():
    runs = [run for run in plan_runs(FULL, 3) if run.variant.name == BASE]
    assert len({part for run in runs for part in run.parts}) == 3 * FULL.base


def test_only_some_experiments_and_the_base():
    names = {run.variant.name for run in plan_runs(FULL, 1, ["taps", "queries"])}
    assert names == {BASE, "tap-input", "tap-deep", "queries-4", "queries-32"}
    parts = targets_by_part(plan_runs(FULL, 1, ["taps"]))
    assert parts == {0: ("self",), 1: ("self",), 2: ("self",)}
    with pytest.raises(InputError, match="unknown experiment 'tap'; expected one of base, targets, "):
        plan_runs(FULL, 1, ["tap"])


def test_targets_are_made_where_they_are_learnt():
    parts = targets_by_part(plan_runs(FULL, 3))
    assert len(parts) == 30
    assert [part for part, targets in parts.items() if "captions" in targets] == [
        0,
        1,
        2,
        10,
        11,
        12,
        20,
        21,
        22,
    ]
    assert all("self" in targets for targets in parts.values())
    assert {one for targets in parts.values() for one in targets} == {"self", "captions", "second"}


def test_the_whole_study_is_planned_for_less_than_three_hours_on_two_cores():
    rows = table(FULL, plan_runs(FULL, 3))
    assert sum(row["minutes"] for row in rows) / 2 < 170
    assert [row["name"] for row in rows[:3]] == ["data", "taps", "base-1"]
    assert all(row["minutes"] > 0 for row in rows)
    small = table(SCALES["small"], plan_runs(SCALES["small"], 3))
    assert sum(row["minutes"] for row in small) < 20
