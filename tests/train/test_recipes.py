"""The recipes: each loads, and each key is explained where it stands, with a default that is true."""

import re
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
from pydantic import BaseModel

from desta2.config import _parse, load_config
from desta2.train.config import TrainConfig

ROOT = Path(__file__).parents[2]
# Those of builds have another shape, and tests of their own.
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if not path.name.startswith("build-"))
COMPLETE = ROOT / "recipes" / "desta2-llama3-8b.yaml"
LINE = re.compile(
    r"^(?P<indent> *)(?P<left_out># )?(?P<key>[a-z][a-z0-9_]*):(?P<value> .*?)?(?:\s*# (?P<comment>.+))?$"
)


def keys_of(recipe):
    """Dotted key → its comment, of keys that stand in a recipe or are commented out there."""
    found, place = {}, []
    for line in recipe.read_text().splitlines():
        if not (match := LINE.match(line)) or (not match["indent"] and match["left_out"]):
            continue
        depth = len(match["indent"]) // 2
        place = [*place[:depth], match["key"]]
        found[".".join(place)] = match["comment"]
    return found


def fields_of(model, prefix=""):
    """Dotted key → its field, of all keys of a config."""
    found = {}
    for name, field in model.model_fields.items():
        found[prefix + name] = field
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= fields_of(inner, f"{prefix}{name}.")
    return found


FIELDS = fields_of(TrainConfig)
SECTIONS = set(TrainConfig.model_fields)


def test_all_recipes_are_here():
    assert {path.stem for path in RECIPES} == {
        "desta2-llama3-8b", "desta2.5-llama3.1-8b", "qwen3-8b", "qwen3-0.6b", "nano"
    }  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_and_explains_its_keys(recipe):
    config = load_config(recipe, TrainConfig)
    keys = keys_of(recipe)
    bare = [key for key, comment in keys.items() if not comment and key not in SECTIONS]
    assert not bare, f"{recipe.name} does not say what these are"
    given = {
        f"{section}.{key}"
        for section in SECTIONS
        for key in getattr(config, section).model_fields_set
    }  # fmt: skip
    assert given <= keys.keys(), "this test does not see all keys"


def test_every_key_is_in_the_complete_recipe():
    assert keys_of(COMPLETE).keys() == FIELDS.keys()


@pytest.mark.parametrize("key", [key for key in FIELDS if key not in SECTIONS])
def test_defaults_that_the_complete_recipe_states(key):
    comment, field = keys_of(COMPLETE)[key], FIELDS[key]
    if field.is_required():
        assert "; no default" in comment
        return
    stated = re.search(r"default ([^;]*?)(?:, [^;]*)?(?:;|$)", comment)
    assert stated, comment
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    assert _parse(stated[1]) == default


def test_keys_that_are_left_out_would_load(tmp_path):
    """Lines that begin with "# key:" are valid as they stand, once the sign is taken away."""
    freed = re.sub(r"(?m)^( +)# (?=[a-z_]+:)", r"\1", COMPLETE.read_text())
    # As comments they line up with the keys around them; a section's keys stand below it.
    (tmp_path / "freed.yaml").write_text(freed)
    config = load_config(tmp_path / "freed.yaml", TrainConfig)
    for section in SECTIONS:
        part = getattr(config, section)
        assert part.model_fields_set == set(type(part).model_fields)
    assert config.model.lora.model_fields_set == {"r", "alpha", "dropout", "target_modules"}


def test_the_papers_values():
    config = load_config(COMPLETE, TrainConfig)
    run, model = config.run, config.model
    assert (run.learning_rate, run.warmup_steps, run.adam_beta1, run.adam_beta2) == (1e-4, 2000, 0.9, 0.98)
    assert (run.weight_decay, run.max_grad_norm, run.bf16, run.epochs, run.batch_size) == (
        0.01,
        1.0,
        True,
        10,
        8,
    )
    assert (model.tap_layers, model.adapter_layers, model.n_queries) == ([2, 5, 8, 11], 2, 64)
    assert model.encoder == "openai/whisper-small"


def test_optional_keys_may_be_null():
    """What the comments call "default null" can be given so on the command line."""
    for key, field in FIELDS.items():
        if not field.is_required() and field.default is None:
            assert NoneType in get_args(field.annotation), key
            load_config(COMPLETE, TrainConfig, [f"{key}=null"])
