"""What is impossible in a run is told before a weight loads, and says what was meant."""

import json
import shutil

import pytest
import torch
from tiny import SMALL_ADAPTER

from desta2.errors import CheckpointError, ConfigError
from desta2.train.check import check_run
from desta2.train.trainer import train


@pytest.fixture
def no_weights(monkeypatch):
    for reads in (
        "desta2.model.checkpoint.load_file",
        "transformers.modeling_utils.PreTrainedModel.from_pretrained",
    ):
        monkeypatch.setattr(reads, lambda *_, **__: pytest.fail("weights were read"))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"tap_layers": [2, 5, 8, 11]}, r"model\.tap_layers is \[2, 5, 8, 11\]; it must name layers from -1 .* to 3 .* has 4 layers of width 16: without model\.tap_layers the adapter reads \[0, 1, 2, 3\]"),
        ({"tap_layers": [1, 1]}, r"model\.tap_layers is \[1, 1\]; each layer may be named once"),
        ({"adapter_heads": 3}, r"model\.adapter_heads is 3; it must divide d_encoder, which is 16.*without model\.adapter_heads it has 2$"),
        ({"lora": {"target_modules": ["q_prj"]}}, r"lora cannot be put into the LLM .*q_prj"),
        ({"chat_template_kwargs": {"add_generation_promt": True}}, r"unknown variable 'model\.chat_template_kwargs\.add_generation_promt': .*; did you mean 'model\.chat_template_kwargs\.add_generation_prompt'\?"),
        ({"quantization_config": {"quant_method": "bits"}}, r"model\.quantization_config=\{'quant_method': 'bits'\} cannot be had: Unknown quantization type"),
        ({"quantization_config": {"bits": 4}}, "cannot be had: .*quant_method"),
    ],
)  # fmt: skip
def test_impossible_models(plain, model, line):
    with pytest.raises(ConfigError, match=line):
        check_run(plain(model=model))


@pytest.mark.usefixtures("no_weights")
def test_models_in_each_others_place(plain, bases):
    llm, whisper = str(bases / "llm"), str(bases / "whisper")
    with pytest.raises(
        ConfigError,
        match=r"model\.encoder=.* is a llama model; it must be a Whisper; were model\.llm and model\.encoder exchanged\?",
    ):
        check_run(plain(model={"llm": whisper, "encoder": llm}))
    with pytest.raises(ConfigError, match=r"is a llama model; it must be a Whisper, as openai/whisper-small"):
        check_run(plain(model={"encoder": llm}))
    with pytest.raises(ConfigError, match=r"model\.llm=.*whisper is a Whisper; it must be a chat LLM"):
        check_run(plain(model={"llm": whisper}))


def test_an_llm_that_is_none(plain, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ConfigError, match=r"is a vit model, which transformers cannot load as a causal LM"):
        check_run(plain(model={"llm": str(tmp_path)}))


def test_models_that_are_not_there(plain):
    with pytest.raises(CheckpointError, match=r"cannot read the configuration of the LLM nobody/nothing"):
        check_run(plain(model={"llm": "nobody/nothing"}))
    with pytest.raises(CheckpointError, match=r"the frozen model \./none .* is not there"):
        check_run(plain(model={"encoder": "./none"}))


def test_a_template_without_the_role_audio(plain, bases, tmp_path, tokenizer):
    """As Qwen 3's: layout desta2 cannot be, and desta2.5 can."""
    folder = shutil.copytree(bases / "llm", tmp_path / "llm")
    tokenizer = type(tokenizer).from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}{% if m.role != 'audio' %}<{{ m.role }}>{{ m.content }}<|eot_id|>{% endif %}{% endfor %}"
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"model\.llm=.* with model\.layout=desta2: .*layout 'desta2\.5'"):
        check_run(plain(model={"llm": str(folder)}))
    check_run(plain(model={"llm": str(folder), "layout": "desta2.5"}))
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"the LLM's tokenizer has no chat template"):
        check_run(plain(model={"llm": str(folder), "layout": "desta2.5"}))


def test_an_adapter_to_start_from(plain, bases, make_model, tmp_path, request):
    start = tmp_path / "start"
    make_model(bases, **SMALL_ADAPTER).save_pretrained(start)
    request.getfixturevalue("no_weights")
    check_run(plain(model={"adapter": start}))
    wrong = r"does not fit this run's model: .*queries\.0 has shape \(1, 3, 16\), expected \(1, 4, 16\)"
    with pytest.raises(CheckpointError, match=wrong):
        check_run(plain(model={"adapter": start, "n_queries": 4}))
    other = r"its tap_layers is \[0, 1, 2, 3\], and model\.tap_layers is \[-1, 0, 2, 3\]$"
    with pytest.raises(CheckpointError, match=other):
        check_run(plain(model={"adapter": start, "tap_layers": [-1, 0, 2, 3]}))
    saved = json.loads((start / "config.json").read_text())
    del saved["normalise_outputs"]  # a folder from before there was such a key
    for told in ({"normalise_outputs": False}, {}):
        (start / "config.json").write_text(json.dumps(saved | told))
        with pytest.raises(CheckpointError, match=r"its normalise_outputs is False, and model\.normalise_"):
            check_run(plain(model={"adapter": start, "normalise_outputs": True}))
    (start / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"start/config\.json cannot be read"):
        check_run(plain(model={"adapter": start}))
    (start / "config.json").unlink()  # the weights alone will do
    check_run(plain(model={"adapter": start}))
    (start / "adapter.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors cannot be read"):
        check_run(plain(model={"adapter": start}))
    with pytest.raises(
        CheckpointError, match=r"model\.adapter: .* has no adapter\.safetensors; is it a desta2"
    ):
        check_run(plain(model={"adapter": bases}))


def test_an_adapter_with_lora_to_start_from(plain, bases, make_model, tmp_path):
    start = tmp_path / "start"
    make_model(bases, **SMALL_ADAPTER, lora={"r": 2}).save_pretrained(start)
    check_run(plain(model={"adapter": start, "lora": {"r": 2}}))
    with pytest.raises(CheckpointError, match=r"was trained with LoRA weights on the LLM; give model\.lora"):
        check_run(plain(model={"adapter": start}))
    with pytest.raises(CheckpointError, match=r"lora_A\.weight has shape \(2, 24\), expected \(4, 24\)"):
        check_run(plain(model={"adapter": start, "lora": {"r": 4}}))


def test_checkpoints_of_another_model(plain, request):
    """What would be gone on from does not fit: told before a weight loads."""
    train(plain(max_steps=1))
    request.getfixturevalue("no_weights")
    check_run(plain(max_steps=2))
    of = r"^run\.output: .*checkpoint-1 is there to go on from, but does not fit this run's model: "
    for model, problem in (
        ({"n_queries": 4}, r"queries\.3 has shape \(1, 3, 16\), expected \(1, 4, 16\)"),
        ({"tap_layers": [-1, 0, 2, 3]}, r"its tap_layers is \[0, 1, 2, 3\].*"),
        ({"lora": {"r": 2}}, r"one of them has LoRA weights, the other has none"),
    ):
        with pytest.raises(
            CheckpointError, match=of + r".*" + problem + r"\. Give another run\.output, or the keys"
        ):
            check_run(plain(model=model))


@pytest.mark.usefixtures("no_weights")
def test_impossible_runs(plain, tmp_path, monkeypatch):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match=r"^run\.output=.*/out is a file; give a folder"):
        check_run(plain())
    monkeypatch.setattr("desta2.nano.espeak.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"^run\.evaluate=nano: speech synthesis needs the extra 'synth'"):
        check_run(plain(output=tmp_path / "new", evaluate="nano"))


def test_lora_without_peft(plain, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(ConfigError, match=r"those need peft: pip install 'desta2\[lora\]'"):
        check_run(plain(model={"lora": {}}))


def test_bf16_on_hardware_without(plain, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: "cuda")
    monkeypatch.setattr("desta2.train.check.is_torch_bf16_gpu_available", lambda: False)
    with pytest.raises(
        ConfigError, match=r"run\.bf16=true, but the cuda of this machine cannot .*; give run\.bf16=false"
    ):
        check_run(plain(bf16=True))
    check_run(plain())
