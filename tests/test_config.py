"""Configs: every mistake is found before work starts, told in plain words, and all at once."""

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from desta2.config import StrictModel, load_config
from desta2.errors import ConfigError


class Optimizer(StrictModel):
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: int = 2000


class Source(StrictModel):
    path: Path
    weight: float = 1.0


class Run(StrictModel):
    name: str = "run"
    epochs: int = Field(10, ge=1)
    layout: Literal["desta2", "desta2.5"] = "desta2"
    optimizer: Optimizer = Optimizer()
    fallback: Optimizer | None = None
    sources: tuple[Source, ...] = ()

    @model_validator(mode="after")
    def _named_after_use(self) -> "Run":
        if self.name == "forbidden":
            raise ValueError("the name 'forbidden' is forbidden")
        return self


@pytest.fixture
def config_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return write


def message(path, overrides=(), model=Run) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, model, overrides)
    return str(caught.value)


def test_defaults_without_file_or_overrides():
    assert load_config(None, Run) == Run()


def test_empty_file_gives_defaults(config_file):
    assert load_config(config_file("# nothing yet\n"), Run) == Run()


def test_file_and_overrides(config_file):
    path = config_file("epochs: 3\noptimizer:\n  learning_rate: 1e-3\n  warmup_steps: 5\n")
    run = load_config(path, Run, ["optimizer.learning_rate=2e-4", "optimizer.betas=[0.5, 0.6]", "name=a=b"])
    assert run.epochs == 3
    assert run.optimizer == Optimizer(learning_rate=2e-4, betas=(0.5, 0.6), warmup_steps=5)
    assert run.name == "a=b"


def test_the_last_of_two_overrides_counts():
    assert load_config(None, Run, ["epochs=2", "epochs=4"]).epochs == 4


def test_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_config(None, Run).epochs = 3


# Scalars, as users write them


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_as_python_writes_it(number):
    assert load_config(None, Optimizer, [f"learning_rate={number!r}"]).learning_rate == number


@given(st.integers())
def test_every_integer_reads_as_python_writes_it(number):
    assert load_config(None, Optimizer, [f"warmup_steps={number}"]).warmup_steps == number


@pytest.mark.parametrize("text", ["no", "on", "1:30", "2024-01-01", "1_000", "0x1F"])
def test_yaml_1_1_surprises_stay_text(text, config_file):
    assert load_config(config_file(f"name: {text}\n"), Run).name == text


def test_a_leading_zero_is_not_octal():
    assert load_config(None, Run, ["epochs=010"]).epochs == 10


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf"])
def test_no_nan_or_infinity(text):
    assert message(None, [f"optimizer.learning_rate={text}"]).endswith("expected a finite number")


# Unknown keys


def test_misspelt_key_gets_a_suggestion(config_file):
    path = config_file("lerning_rate: 1e-4\n")
    assert message(path, model=Optimizer) == (
        f"unknown key 'lerning_rate' in {path}; did you mean 'learning_rate'?"
    )


@pytest.mark.parametrize(
    ("text", "key", "suggestion"),
    [
        ("optimizer: {warmup: 3}", "optimizer.warmup", "optimizer.warmup_steps"),
        ("fallback: {warmup: 3}", "fallback.warmup", "fallback.warmup_steps"),
        ("sources: [{path: a}, {path: b, wieght: 2}]", "sources.1.wieght", "sources.1.weight"),
    ],
)
def test_misspelt_key_at_depth(text, key, suggestion, config_file):
    path = config_file(text)
    assert message(path) == f"unknown key '{key}' in {path}; did you mean '{suggestion}'?"


def test_key_like_no_other_gets_the_list(config_file):
    path = config_file("optimizer: {zzz: 1}")
    assert message(path) == (
        f"unknown key 'optimizer.zzz' in {path}; "
        "known keys: optimizer.betas, optimizer.learning_rate, optimizer.warmup_steps"
    )


def test_misspelt_override_is_named_as_such(config_file):
    path = config_file("epochs: 3")
    assert message(path, ["optimiser.warmup_steps=3"]) == (
        "unknown key 'optimiser' in override 'optimiser.warmup_steps=3'; did you mean 'optimizer'?"
    )


# Wrong values


def test_wrong_types_are_told_together(config_file):
    path = config_file("epochs: many\nlayout: desta3\nname: forbidden\nsources: [{}]\n")
    assert message(path, ["optimizer.warmup_steps=[1]", "nmae=x"]).splitlines() == [
        f"wrong value for 'epochs' in {path}: given 'many' (str), "
        "expected a valid integer, unable to parse string as an integer",
        f"wrong value for 'layout' in {path}: given 'desta3' (str), expected 'desta2' or 'desta2.5'",
        "wrong value for 'optimizer.warmup_steps' in override 'optimizer.warmup_steps=[1]': "
        "given [1] (list), expected a valid integer",
        f"missing key 'sources.0.path' in {path}: it has no default",
        "unknown key 'nmae' in override 'nmae=x'; did you mean 'name'?",
    ]


def test_broken_overrides_are_told_with_the_rest(config_file):
    path = config_file("epochs: 0\n")
    assert message(path, ["epochs", "name=[1"]).splitlines() == [
        "override 'epochs': expected key=value, as in train.steps=100",
        "override 'name=[1': the value is not valid YAML (line 1, column 3: "
        "expected ',' or ']', but got '<stream end>'); quote a text: name='\"...\"'",
        f"wrong value for 'epochs' in {path}: given 0 (int), expected greater than or equal to 1",
    ]


def test_a_rule_over_several_keys(config_file):
    path = config_file("name: forbidden\n")
    assert message(path) == f"{path}: the name 'forbidden' is forbidden"


def test_long_values_are_shortened():
    text = message(None, [f"epochs={'x' * 5000}"])
    assert "given 'xxx" in text
    assert "xxx... (str), expected a valid integer" in text


@pytest.mark.parametrize("override", ["=3", "a..b=3", ".a=3", "a", ""])
def test_override_without_a_key(override):
    assert message(None, [override]) == f"override {override!r}: expected key=value, as in train.steps=100"


def test_override_inside_a_plain_value(config_file):
    path = config_file("epochs: 3\n")
    assert message(path, ["epochs.first=1"]) == (
        "override 'epochs.first=1': 'epochs' is 3 (int), without keys; give epochs=... as a whole"
    )


# Broken files


def test_missing_file(tmp_path):
    assert message(tmp_path / "none.yaml") == f"no config file at {tmp_path / 'none.yaml'}"


def test_folder_instead_of_a_file(tmp_path):
    assert message(tmp_path).startswith(f"cannot read {tmp_path} as a UTF-8 text file: ")


def test_binary_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\xff\xfe\x00weights")
    assert message(path).startswith(f"cannot read {path} as a UTF-8 text file: ")


def test_broken_yaml_says_where(config_file):
    path = config_file("epochs: 3\nname: [a\n")
    assert message(path).startswith(f"{path} is not valid YAML: line 3, column 1: ")


@pytest.mark.parametrize("text", ["- epochs\n", "epochs\n"])
def test_file_that_is_no_mapping(text, config_file):
    assert "expected keys with values (`key: value`), given " in message(config_file(text))


@pytest.mark.parametrize(
    ("text", "line"), [("epochs: 3\nepochs: 4\n", 2), ("optimizer:\n  betas: [0, 1]\n  betas: [1, 1]\n", 3)]
)
def test_duplicate_keys_are_refused(text, line, config_file):
    assert f"is not valid YAML: line {line}, column" in message(config_file(text))
    assert "duplicate key" in message(config_file(text))


def test_merging_sections_is_no_duplicate(config_file):
    text = """
optimizer: &base {learning_rate: 1e-3, warmup_steps: 7}
fallback: {<<: *base, warmup_steps: 8}
"""
    assert load_config(config_file(text), Run).fallback == Optimizer(learning_rate=1e-3, warmup_steps=8)


def test_yaml_cannot_run_code(config_file, tmp_path):
    path = config_file(f"name: !!python/object/apply:os.mkdir ['{tmp_path}/made']\n")
    assert "could not determine a constructor for the tag" in message(path)
    assert not (tmp_path / "made").exists()
