"""Layers that are recomputed or compiled give the same numbers."""

import pytest
import torch
from torch import nn

from desta2.errors import ConfigError
from desta2.model.blocks import blocks_of, recompute


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    input_ids = torch.randint(5, 300, (2, 20), generator=generator)
    labels = input_ids.clone()
    labels[:, :12] = -100
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "taps": torch.randn(4, 2, 50, 16, generator=generator),
        "audio_slots": torch.tensor([[0, 2], [1, 4]]),
        "labels": labels,
    }


def calls_of(module):
    calls = []
    module.register_forward_pre_hook(lambda *_: calls.append(None))  # recomputing stops before its end
    return calls


def gradients(model, batch):
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss, {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def test_blocks_are_the_layers(model):
    assert blocks_of(model.llm) == list(model.llm.model.layers)
    assert blocks_of(model.adapter) == list(model.adapter.layers)
    with pytest.raises(ConfigError, match="Linear has no list of layers; leave gradient_checkpointing and"):
        blocks_of(nn.Linear(2, 2))


def test_a_list_inside_a_layer_is_not_the_list_of_layers():
    layers = [nn.ModuleDict({"experts": nn.ModuleList(nn.Linear(2, 2) for _ in range(8))}) for _ in range(3)]
    assert blocks_of(nn.ModuleDict({"layers": nn.ModuleList(layers)})) == layers


@pytest.mark.parametrize("lora", [None, {"r": 2, "dropout": 0.3}], ids=["frozen", "LoRA"])
def test_recomputing_changes_no_gradient(bases, make_model, batch, lora):
    if lora:
        pytest.importorskip("peft")
    model = make_model(bases, adapter_dropout=0.2, lora=lora)
    model.train()
    torch.manual_seed(3)
    loss, expected = gradients(model, batch)
    calls = calls_of(model.llm.model.layers[0].mlp)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    assert not model.llm.model.layers[0].training, "what transformers' own checkpointing would need"
    torch.manual_seed(3)
    again, found = gradients(model, batch)
    assert len(calls) == 2, "once forward, and once more backward"
    assert torch.equal(again, loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-7)
    assert any(gradient.abs().sum() > 0 for gradient in expected.values())


def test_recomputing_is_asked_for_once_and_only_done_for_gradients(bases, make_model, batch):
    model = make_model(bases)
    recompute(model.llm)
    recompute(model.llm)
    calls = calls_of(model.llm.model.layers[1].mlp)
    with torch.no_grad():
        model(**batch)
    assert len(calls) == 1
    model(**batch).loss.backward()
    assert len(calls) == 3
    answer = model.chat([{"role": "user", "content": "Hello"}], max_new_tokens=4, do_sample=False)
    assert answer.token_ids, "with a cache of keys and values"


def test_recomputing_keeps_less(bases, make_model, batch):
    def kept(model):
        sizes = []

        def note(tensor):
            sizes.append(tensor.nelement())
            return tensor

        embeds = torch.randn(2, 20, 24, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model.llm(inputs_embeds=embeds, use_cache=False)
        return sum(sizes)

    model = make_model(bases)
    before = kept(model)
    model.gradient_checkpointing_enable()
    assert kept(model) < 0.5 * before


def test_names_of_weights_stay(bases, make_model):
    model = make_model(bases)
    names = list(model.state_dict())
    model.gradient_checkpointing_enable()
    model.compile_blocks(backend="aot_eager")
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("checkpointing", [pytest.param(False, marks=pytest.mark.slow), True])
def test_compiled_layers_give_the_same_gradients(bases, make_model, batch, checkpointing):
    model = make_model(bases)
    loss, expected = gradients(model, batch)
    if checkpointing:
        model.gradient_checkpointing_enable()
    torch._dynamo.reset()
    model.compile_blocks(backend="aot_eager")
    again, found = gradients(model, batch)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    torch.testing.assert_close(again, loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)
