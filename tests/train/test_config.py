"""What a training run is told: defaults, mistakes, and the recipe that the demo follows."""

from pathlib import Path

import pytest

from desta2.config import load_config
from desta2.errors import ConfigError
from desta2.model.configuration import Desta2Config
from desta2.nano.demo import DemoSize
from desta2.nano.recipe import adapter_config
from desta2.train.config import DataConfig, LoraOptions, TrainConfig

RECIPES = Path(__file__).parents[2] / "recipes"
LEAST = {
    "model": {"llm": "an-llm", "encoder": "a-whisper"},
    "data": {"train": ["pairs"]},
    "run": {"output": "out"},
}


def test_defaults_are_the_papers():
    config = TrainConfig.model_validate(LEAST)
    run, model = config.run, config.model
    assert (run.learning_rate, run.adam_beta1, run.adam_beta2, run.weight_decay) == (1e-4, 0.9, 0.98, 0.01)
    assert (run.max_grad_norm, run.warmup_steps, run.epochs, run.max_steps) == (1.0, 2000, 10, None)
    assert run.batch_size * run.gradient_accumulation == 8
    assert (model.n_queries, model.adapter_layers, model.adapter_intermediate) == (64, 2, 3072)
    assert (model.layout, model.tap_layers, model.standardise_taps) == ("desta2", None, False)
    assert model.system_prompt == "Focus on the audio clips and instructions."
    assert not config.data.cache_taps


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("run.learning_rte=1", "unknown key 'run.learning_rte' in override 'run.learning_rte=1'; did you mean 'run.learning_rate'?"),
        ("model.n_querys=1", "unknown key 'model.n_querys' in override 'model.n_querys=1'; did you mean 'model.n_queries'?"),
        ("modle.llm=x", "unknown key 'modle' in override 'modle.llm=x'; did you mean 'model'?"),
        ("run.batch_size=0", "wrong value for 'run.batch_size' in override 'run.batch_size=0': given 0 (int), expected greater than or equal to 1"),
        ("model.layout=desta3", "wrong value for 'model.layout' in override 'model.layout=desta3': given 'desta3' (str), expected 'desta2' or 'desta2.5'"),
        ("model.adapter_dropout=1", "expected less than 1"),
        ("model.lora.rank=8", "unknown key 'model.lora.rank' in override 'model.lora.rank=8'; known keys: model.lora.alpha, "),
        ("model.lora.r=0", "wrong value for 'model.lora.r' in override 'model.lora.r=0': given 0 (int), expected greater"),
        ("model.dtype=half", "expected 'float32', 'bfloat16' or 'float16'"),
        ("data.train=[]", "wrong value for 'data.train'"),
        ("data.train=[{path: a, wieght: 2}]", "wieght' in override"),
        ("data.train=[{path: a, weight: 0}]", "given 0 (int), expected greater than 0"),
        ("data.missing=ignore", "wrong value for 'data.missing' in override 'data.missing=ignore': given 'ignore' (str), expected 'error' or 'skip'"),
        ("data.validation=1.5", "expected less than 1"),
        ("data.cache_taps=later", "expected 'first_epoch'"),
        ("data.cache_gb=0", "expected greater than 0"),
        ("data.transcript_dropout=1.1", "expected less than or equal to 1"),
        ("data.max_token=9", "did you mean 'data.max_tokens'?"),
    ],
)  # fmt: skip
def test_mistakes_are_named(override, line):
    with pytest.raises(ConfigError) as caught:
        load_config(RECIPES / "nano.yaml", TrainConfig, [override])
    assert line in str(caught.value)


def test_sets_and_what_is_held_out():
    def data(**keys):
        return DataConfig.model_validate({"train": ["a"], **keys})

    sets = data(train=["a", {"path": "b", "weight": 0.5}]).sets
    assert [(str(own.path), own.weight) for own in sets] == [("a", 1.0), ("b", 0.5)]
    assert (data(validation=0.1).validation_fraction, data(validation=0.1).validation_paths) == (0.1, [])
    for given in ("b", ["b"]):
        held = data(validation=given)
        assert (held.validation_fraction, held.validation_paths) == (0.0, [Path("b")])
    assert (data().validation_fraction, data().validation_paths) == (0.0, [])


def test_how_the_llm_is_loaded_and_changed():
    overrides = [
        "model.lora.r=4", "model.lora.target_modules=[q_proj, v_proj]", "model.dtype=bfloat16",
        "model.quantization_config={quant_method: bitsandbytes, load_in_4bit: true}",
        "model.chat_template_kwargs.enable_thinking=false",
    ]  # fmt: skip
    model = load_config(RECIPES / "nano.yaml", TrainConfig, overrides).model
    assert model.lora.model_dump() == Desta2Config(lora={"r": 4, "target_modules": ["q_proj", "v_proj"]}).lora
    assert LoraOptions().model_dump() == Desta2Config(lora={}).lora
    assert model.quantization_config == {"quant_method": "bitsandbytes", "load_in_4bit": True}
    assert (model.dtype, model.chat_template_kwargs) == ("bfloat16", {"enable_thinking": False})


def test_what_has_no_default_is_asked_for(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("model: {llm: x}\ndata: {train: [pairs]}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, TrainConfig)
    assert f"missing key 'model.encoder' in {file}: it has no default" in str(caught.value)
    assert f"missing key 'run' in {file}: it has no default" in str(caught.value)


def test_the_nano_recipe_is_what_the_demo_trains():
    recipe = load_config(RECIPES / "nano.yaml", TrainConfig)
    size = DemoSize()
    demo = adapter_config([Path("demo-run/pairs")], Path("nano-run"), size.steps, size.seed)
    assert recipe == demo
