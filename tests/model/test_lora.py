"""LoRA on the LLM: it is put in, saved beside the adapter in peft's format, found again, and refused in words."""

import importlib.util
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from desta2.errors import CheckpointError, ConfigError
from desta2.model import Desta2Config, Desta2Model, fast, lora
from desta2.model.convert import export_published

pytest.importorskip("peft")

GREEDY = {"do_sample": False, "max_new_tokens": 8}
TEXT = [{"role": "user", "content": "Who is speaking?"}]


@pytest.fixture
def changed(bases, make_model):
    """A model whose LoRA weights do something."""
    model = make_model(bases, lora={"r": 3, "dropout": 0.5})
    generator = torch.Generator().manual_seed(1)
    for matrix in lora.weights(model.llm).values():
        matrix.data = 0.5 * torch.randn(matrix.shape, generator=generator)
    return model


@pytest.fixture
def folder(changed, tmp_path):
    changed.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def conversations(clip):
    spoken = [{"type": "audio", "audio": clip}, {"type": "text", "text": "Loud?"}]
    return [[{"role": "user", "content": spoken}], TEXT]


def test_a_fresh_one_changes_nothing_and_alone_can_be_trained(bases, make_model, model, clips):
    fresh = make_model(bases, lora={})
    assert fresh.config.lora == {"r": 8, "alpha": 16, "dropout": 0.0, "target_modules": "all-linear"}
    for name, tensor in model.adapter.state_dict().items():
        assert torch.equal(fresh.adapter.state_dict()[name], tensor), f"{name} was drawn otherwise"
    assert fresh.chat(conversations(clips[0]), **GREEDY) == model.chat(conversations(clips[0]), **GREEDY)
    trained = {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}
    matrices = {name for name in trained if "lora_" in name}
    assert trained - matrices == {f"adapter.{name}" for name, _ in fresh.adapter.named_parameters()}
    # Seven linear layers in each of two blocks, two matrices beside each; not the output.
    assert len(matrices) == len(lora.weights(fresh.llm)) == 28
    assert not any("lm_head" in name for name in matrices)


def test_saved_and_loaded_it_answers_the_same(changed, folder, model, clips):
    assert sorted(os.listdir(folder)) == ["README.md", "adapter.safetensors", "config.json", "lora"]
    assert sorted(os.listdir(folder / "lora")) == ["adapter_config.json", "adapter_model.safetensors"]
    loaded = Desta2Model.from_pretrained(folder)
    assert loaded.config.lora == changed.config.lora
    assert load_file(folder / "adapter.safetensors").keys() == model.adapter.state_dict().keys()
    for name, matrix in lora.weights(changed.llm).items():
        assert torch.equal(matrix, lora.weights(loaded.llm)[name]), name
    answers = loaded.chat(conversations(clips[0]), **GREEDY)
    assert answers == changed.chat(conversations(clips[0]), **GREEDY)
    plain = model.chat(conversations(clips[0]), **GREEDY)
    assert [a.token_ids == b.token_ids for a, b in zip(answers, plain, strict=True)] == [False, False]


def test_peft_alone_can_load_it(bases, changed, folder):
    from peft import PeftModel

    ids = torch.arange(5, 20)[None]
    llm = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(bases / "llm"), folder / "lora")
    with torch.no_grad():
        torch.testing.assert_close(llm(ids).logits, changed.llm(ids).logits, rtol=0, atol=1e-6)
    assert json.loads((folder / "lora" / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(bases / "llm")


def test_only_some_layers(bases, make_model):
    model = make_model(bases, lora={"target_modules": ["q_proj", "v_proj"]})
    assert {name.split(".")[-3] for name in lora.weights(model.llm)} == {"q_proj", "v_proj"}
    with pytest.raises(ConfigError, match=r"lora cannot be put into the LLM .*llm: .*no_proj"):
        make_model(bases, lora={"target_modules": ["no_proj"]})


def test_dropout_is_on_in_training_alone(changed, clips):
    ids = changed.processor.prompt(TEXT).input_ids
    batch = {"input_ids": torch.tensor([ids]), "labels": torch.tensor([ids])}
    changed.adapter.requires_grad_(False)
    assert changed(**batch).loss == changed(**batch).loss
    changed.train()
    assert changed(**batch).loss != changed(**batch).loss
    assert [
        name for name, part in changed.llm.named_modules() if part.training and "lora_dropout" not in name
    ] == []
    changed.eval()
    assert changed(**batch).loss == changed(**batch).loss


def test_a_bfloat16_llm_keeps_exact_matrices(bases, make_model, clips):
    model = make_model(bases, lora={}, dtype=torch.bfloat16)
    assert model.llm.dtype == torch.bfloat16
    assert {matrix.dtype for matrix in lora.weights(model.llm).values()} == {torch.float32}
    assert model.chat(clips[0], "Loud?", **GREEDY).token_ids


def test_the_state_of_training_can_be_given(changed, tmp_path):
    state = {name: tensor + 1 for name, tensor in changed.state_dict().items()}
    changed.save_pretrained(tmp_path, state_dict=state)
    written = load_file(tmp_path / lora.WEIGHTS_FILE)
    assert written.keys() == lora.weights(changed.llm).keys()
    for name, matrix in lora.weights(changed.llm).items():
        assert torch.equal(written[name], matrix + 1), name


def test_every_wrong_key_is_named(folder):
    file = folder / lora.WEIGHTS_FILE
    tensors = load_file(file)
    (first, matrix), second = next(iter(tensors.items())), sorted(tensors)[-1]
    tensors[first] = torch.zeros(2, 2)
    del tensors[second]
    save_file({**tensors, "stranger": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError) as error:
        Desta2Model.from_pretrained(folder)
    for part in (
        f"missing {second}",
        "unexpected stranger",
        f"{first} has shape (2, 2), expected {tuple(matrix.shape)}",
    ):
        assert part in str(error.value)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"model has no lora/adapter_model\.safetensors"):
        Desta2Model.from_pretrained(folder)


def test_without_peft_the_extra_is_named_before_any_weight_loads(folder, bases, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "peft" else find(name))
    monkeypatch.setattr("desta2.model.bases.load", lambda *_, **__: pytest.fail("weights were loaded"))
    message = r"need peft: pip install 'desta2\[lora\]'$"
    with pytest.raises(ConfigError, match=message):
        Desta2Model.from_pretrained(folder)
    with pytest.raises(ConfigError, match=message):
        Desta2Model.from_bases(str(bases / "llm"), str(bases / "whisper"), lora={})


def test_published_layouts_and_int8_have_no_place_for_it(folder, tmp_path, monkeypatch):
    with pytest.raises(
        CheckpointError, match=r"cannot be written as desta2: its LLM is changed by LoRA weights"
    ):
        export_published(str(folder), tmp_path / "out", "desta2")
    monkeypatch.setattr(fast, "fast_dtype", lambda _: None)
    with pytest.raises(
        ConfigError, match="fast=True means int8 on this machine, which does not go with LoRA"
    ):
        Desta2Model.from_pretrained(folder, fast=True)
    monkeypatch.setattr(fast, "fast_dtype", lambda _: torch.bfloat16)
    assert Desta2Model.from_pretrained(folder, fast=True).llm.dtype == torch.bfloat16


def test_the_card_says_that_text_is_answered_otherwise(folder, model, tmp_path):
    text = (folder / "README.md").read_text()
    assert "| LoRA on the LLM | rank 3, alpha 16, all-linear |" in text
    assert ": answers to text differ from the LLM's own" in text
    model.save_pretrained(tmp_path / "plain")
    assert "LoRA" not in (tmp_path / "plain" / "README.md").read_text()


@pytest.mark.parametrize(("options", "message"), [
    ({"rank": 8}, r"unknown configuration key 'lora\.rank'"),
    ({"dropuot": 0.1}, r"unknown configuration key 'lora\.dropuot'; did you mean 'lora\.dropout'\?"),
    ({"r": 0}, r"lora\.r is 0; it must be a whole number of at least 1"),
    ({"alpha": 0}, r"lora\.alpha is 0; it must be above 0"),
    ({"dropout": 1}, r"lora\.dropout is 1; it must be at least 0 and below 1"),
    ({"target_modules": []}, r"lora\.target_modules is \[\]; it must be 'all-linear', a list"),
])  # fmt: skip
def test_impossible_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Desta2Config(lora=options)
