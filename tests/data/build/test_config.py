"""The config of a build: keys of the stages' own functions, the recipes, and mistakes told before any work."""

import dataclasses
import inspect
from pathlib import Path

import pytest
import yaml

from desta2.data.backends import Sampling
from desta2.data.build import load_build
from desta2.data.build.config import SHARED, Common
from desta2.data.build.stages import STAGES
from desta2.data.sources.base import Options
from desta2.errors import ConfigError, InputError

RECIPES = Path(__file__).parents[3] / "recipes"
SECTIONS = {stage.name: stage for stage in STAGES}


@pytest.fixture
def load(tmp_path):
    """`load(**changes)`: the smallest config with the changes."""

    def load(*overrides, **changes):
        path = tmp_path / "build.yaml"
        path.write_text(
            yaml.safe_dump({"output": "work", "clips": "c.jsonl", "respond": {"llm": "x"}, **changes})
        )
        return load_build(path, overrides)

    return load


def test_defaults_are_those_of_the_stages(load):
    config = load()
    assert config.section("corpus") is config.section("augment") is None
    for name in ("annotate", "seed"):
        assert config.section(name) is not None
    for stage in STAGES:
        for option in inspect.signature(stage.function).parameters.values():
            if option.kind is option.KEYWORD_ONLY and option.name in stage.section.model_fields:
                assert stage.section.model_fields[option.name].default == option.default
    for field in dataclasses.fields(Sampling):
        assert getattr(config.section("respond"), field.name) == field.default


def test_every_option_of_a_stage_can_be_given():
    """A stage that gets a new option has it in the config, unless the build itself decides it."""
    decided = {"options", "sampling", "config", "seeds", "progress", "audio_folder"}
    for stage in STAGES:
        found = inspect.signature(stage.function).parameters.values()
        options = {option.name for option in found if option.kind is option.KEYWORD_ONLY}
        assert options - decided <= {*stage.section.model_fields, *Common.model_fields}, stage.name
        assert not SHARED & set(stage.section.model_fields), stage.name
    assert {field.name for field in dataclasses.fields(Options)} - {"seeds"} <= set(
        SECTIONS["corpus"].section.model_fields
    )


@pytest.mark.parametrize("name", ["build-nano", "build-vctk"])
def test_recipes_are_good(name):
    config = load_build(RECIPES / f"{name}.yaml", ["output=elsewhere"])
    assert config.output == Path("elsewhere")
    assert config.section("augment") is not None


def test_the_vctk_recipe_names_every_key():
    text = (RECIPES / "build-vctk.yaml").read_text()
    keys = set(Common.model_fields).union(*(stage.section.model_fields for stage in STAGES))
    missing = {key for key in keys if f"{key}" not in text}
    assert missing <= {"config", "revision", "dialogues", "max_seconds"}  # of other corpora


@pytest.mark.parametrize(
    ("changes", "overrides", "message"),
    [
        ({"respnd": {}}, [], "unknown key 'respnd' in .*; did you mean 'respond'"),
        ({"respond": {"llm": "x", "temprature": 1}}, [], r"unknown key 'respond\.temprature' in .*; did you mean 'respond\.temperature'"),
        ({"augment": {"snr": 3}}, [], r"unknown key 'augment\.snr' in .*; did you mean 'augment\.snr_db'"),
        ({"corpus": {"name": "vctk", "source": "x", "seeds": True}}, [], r"unknown key 'corpus\.seeds'"),
        ({"respond": {}}, [], r"missing key 'respond\.llm' in .*: it has no default"),
        ({"augment": None}, [], "wrong value for 'augment' in .*: given None"),
        ({"seed": {"format": "v3"}}, [], r"wrong value for 'seed\.format' in .*: given 'v3' \(str\), expected 'v2' or 'v2\.5'"),
        ({}, ["processes=0"], "wrong value for 'processes' in override 'processes=0'"),
        ({"clips": None}, [], "expected 'clips' .* or 'corpus', and not both"),
        ({"corpus": {"name": "vctk", "source": "x"}}, [], "expected 'clips' .* or 'corpus', and not both"),
        ({"clips": None, "corpus": {"name": "vctl", "source": "x"}}, [], "no reader is called 'vctl'; did you mean 'vctk'"),
        ({}, ["respond.top_p=2"], r"top_p is 2\.0; it must be above 0 and at most 1"),
        ({}, ["respond.llm=./none"], r"respond\.llm: there is no folder \./none; give a folder, a hub id, or nano"),
        ({"augment": {"snr_db": [20, 3]}}, [], r"snr_db is 20\.0 to 3\.0; expected two finite numbers"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_any_work(load, changes, overrides, message):
    with pytest.raises(InputError, match=message):
        load(*overrides, **changes)


def test_several_mistakes_at_once(load):
    with pytest.raises(ConfigError, match=r"(?s)'seed\.fmt'.*did you mean 'seed\.format'.*unknown key 'a'"):
        load(a=1, seed={"fmt": "v2"})
