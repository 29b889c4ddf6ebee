"""The LLM in 8 or 4 bits, by transformers' own configurations, on a CPU."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig

from desta2.errors import CheckpointError, ConfigError
from desta2.model import Desta2Model, checkpoint, lora
from desta2.train.config import TrainConfig
from desta2.train.trainer import build_model, train

pytest.importorskip("bitsandbytes", reason="needs the extra quant, which 'make install' installs")

EIGHT = BitsAndBytesConfig(load_in_8bit=True)
FOUR = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
GREEDY = {"do_sample": False, "max_new_tokens": 6}
TEXT = [{"role": "user", "content": "Who is speaking?"}]


@pytest.fixture(scope="module", params=[EIGHT, FOUR], ids=["8 bits", "4 bits as a mapping"])
def rounded(request, bases, make_model):
    return make_model(bases, quantization_config=request.param), request.param


def batch(model):
    ids = torch.tensor([model.processor.prompt(TEXT).input_ids])
    features = torch.randn(1, 20, 100, generator=torch.Generator().manual_seed(0))
    slots = torch.tensor([[0, 5]])
    return {"input_ids": ids, "labels": ids, "input_features": features, "audio_slots": slots}


def test_the_llm_is_rounded_and_known_by_its_files(rounded, model):
    llm = rounded[0].llm
    assert {p.dtype for p in llm.model.layers.parameters() if p.dim() == 2} <= {torch.int8, torch.uint8}
    assert rounded[0].config.llm_fingerprint == model.config.llm_fingerprint
    assert rounded[0].whisper.dtype == model.whisper.dtype == torch.float32


def test_saved_and_loaded_it_answers_the_same(rounded, clips, tmp_path):
    model, quantization_config = rounded
    model.save_pretrained(tmp_path)
    loaded = Desta2Model.from_pretrained(tmp_path, quantization_config=quantization_config)
    for ask in ([TEXT], [clips[0], "Loud?"]):
        assert loaded.chat(*ask, **GREEDY) == model.chat(*ask, **GREEDY)
    assert Desta2Model.from_pretrained(tmp_path).llm.model.layers[0].mlp.up_proj.weight.dtype == torch.float32


def test_gradients_pass_through_it(rounded):
    """A small step against the gradient lowers the loss by about as much as the gradient says."""
    model = rounded[0]
    before = model(**batch(model)).loss
    before.backward()
    weight = model.adapter.projection.weight
    step = 0.05 / float(weight.grad.norm()) ** 2
    assert all(parameter.grad is None for parameter in model.llm.parameters())
    with torch.no_grad():
        weight -= step * weight.grad
        after = model(**batch(model)).loss
        weight += step * weight.grad
    model.zero_grad()
    assert 0.02 < (before - after).item() < 0.08


def test_training_on_it_with_lora(bases, clips, tmp_path):
    pytest.importorskip("peft")
    message = {"role": "user", "content": "<|AUDIO|>\nHm?", "audios": [{"audio": clips[0], "text": "fox"}]}
    pair = {
        "id": "a",
        "messages": [message],
        "response": "Loud.",
        "seed": "-",
        "provenance": {"llm": "tiny", "prompt": "-"},
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    config = TrainConfig.model_validate({
        "model": {
            "llm": str(bases / "llm"), "encoder": str(bases / "whisper"), "n_queries": 3, "adapter_intermediate": 32,
            "quantization_config": FOUR, "lora": {"r": 2},
        },
        "data": {"train": [tmp_path / "pairs.jsonl"]},
        "run": {"output": tmp_path / "run", "max_steps": 2, "batch_size": 1, "learning_rate": 1e-2},
    })  # fmt: skip
    fresh = build_model(config.model)
    folder = train(config)
    saved = load_file(folder / "adapter.safetensors")
    assert all(not torch.equal(weight, fresh.adapter.state_dict()[name]) for name, weight in saved.items())
    assert all(float(m.abs().max()) > 0 for m in load_file(folder / lora.WEIGHTS_FILE).values())
    loaded = Desta2Model.from_pretrained(folder, quantization_config=FOUR)
    assert loaded.chat(clips[0], "Loud?", **GREEDY).token_ids


def test_one_way_of_rounding_at_a_time(rounded, tmp_path):
    rounded[0].save_pretrained(tmp_path)
    with pytest.raises(
        ConfigError, match="fast=True rounds weights in its own way; leave it or quantization_config"
    ):
        Desta2Model.from_pretrained(tmp_path, fast=True, quantization_config=EIGHT)


def test_rounded_weights_alone_have_no_fingerprint(rounded, tmp_path):
    with pytest.raises(
        CheckpointError, match="has no safetensors files, so once quantised it cannot be told from"
    ):
        checkpoint.base_fingerprint(str(tmp_path), rounded[0].llm)


def test_a_library_that_is_missing_is_named(bases, make_model):
    with pytest.raises(CheckpointError, match=r"cannot load the LLM .*llm: .*(HQQ|hqq)"):
        make_model(bases, quantization_config={"quant_method": "hqq"})
