"""The fast mode runs, and stays near to float32."""

import pytest
import torch
from torch import nn
from transformers import AutoModel

from desta2.errors import ConfigError, InputError, RunError
from desta2.model import Desta2Model, fast
from desta2.model.fast import Int8Linear, fast_dtype, is_quantised, quantise


@pytest.fixture(scope="module")
def folder(bases, make_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model(bases).save_pretrained(folder)
    return folder


@pytest.fixture
def without_bfloat16(monkeypatch):
    monkeypatch.setattr(fast, "_cpu_computes_bfloat16", lambda: False)


@pytest.fixture
def with_bfloat16(monkeypatch):
    monkeypatch.setattr(fast, "_cpu_computes_bfloat16", lambda: True)


@pytest.mark.parametrize("bias", [True, False])
def test_int8_is_near_to_float(bias):
    torch.manual_seed(0)
    linear = nn.Linear(256, 128, bias=bias)
    x = torch.randn(2, 5, 256)
    exact, rounded = linear(x), Int8Linear(linear)(x)
    assert rounded.shape == exact.shape
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.03


def test_extreme_rows_do_not_spoil_others():
    """One scale per output channel: a row a thousand times larger costs the small ones nothing."""
    torch.manual_seed(0)
    linear, x = nn.Linear(64, 4, bias=False), torch.randn(16, 64)
    with torch.no_grad():
        linear.weight[0] *= 1000
        linear.weight[1] = 0
    exact, rounded = linear(x), Int8Linear(linear)(x)
    assert torch.equal(rounded[:, 1], exact[:, 1])
    for row in (0, 2, 3):
        assert (rounded[:, row] - exact[:, row]).norm() / exact[:, row].norm() < 0.05


def test_a_huge_token_does_not_spoil_others():
    torch.manual_seed(0)
    linear, x = nn.Linear(64, 32), torch.randn(4, 64)
    alone = Int8Linear(linear)(x)
    together = Int8Linear(linear)(torch.cat([1000 * torch.randn(1, 64), x]))[1:]
    torch.testing.assert_close(together, alone, rtol=0, atol=0.03)
    assert _distance(together, linear(x)) < 0.03


def test_one_token_is_near_too():
    torch.manual_seed(0)
    linear, x = nn.Linear(64, 32), torch.randn(1, 1, 64)
    assert Int8Linear(linear)(x).shape == (1, 1, 32)
    assert 0 < _distance(Int8Linear(linear)(x), linear(x)) < 0.03


def test_saturation_is_ruled_out():
    """Weights and activations all at their largest, where pairs of 8-bit products overflow 16 bits."""
    linear = nn.Linear(256, 8, bias=False)
    nn.init.ones_(linear.weight)
    for x in (torch.ones(1, 256), torch.ones(3, 256), -torch.ones(3, 256)):
        assert _distance(Int8Linear(linear)(x), linear(x)) < 0.01


def test_int8_logits_are_near_and_chat_runs(folder, clips, without_bfloat16):
    exact, quick = Desta2Model.from_pretrained(folder), Desta2Model.from_pretrained(folder, fast=True)
    for base in (quick.llm, quick.whisper):
        assert is_quantised(base)
        assert not [part for part in base.modules() if type(part) is nn.Linear]
        assert {parameter.dtype for parameter in base.parameters()} == {torch.float32}
    assert not is_quantised(quick.adapter)
    assert not is_quantised(exact.llm)

    taps, heard = exact.encode(exact.processor.features(clips)), quick.encode(exact.processor.features(clips))
    assert 0 < _distance(heard.taps, taps.taps) < 0.1
    ids = torch.randint(5, 300, (2, 30), generator=torch.Generator().manual_seed(0))
    assert 0 < _distance(quick(ids).logits, exact(ids).logits) < 0.1
    answer = quick.chat(clips[0], "Is the voice loud?", max_new_tokens=4, do_sample=False)
    assert answer.token_ids
    assert answer.transcripts


def _distance(one, other):
    return float(((one - other).norm() / other.norm()).detach())


def test_half_precision_weights_can_be_quantised():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 32), nn.LayerNorm(32), nn.Linear(32, 8)).bfloat16()
    x = torch.randn(3, 32)
    exact = net.float()(x)
    quantise(net.bfloat16())
    assert net[1].weight.dtype == torch.float32
    assert _distance(net(x), exact) < 0.1


def test_bfloat16_where_the_cpu_has_it(folder, clips, with_bfloat16):
    quick = AutoModel.from_pretrained(folder, fast=True)
    assert {p.dtype for base in (quick.llm, quick.whisper) for p in base.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in quick.adapter.parameters()} == {torch.float32}
    assert not is_quantised(quick.llm)
    assert quick.chat(clips[0], "Loud?", max_new_tokens=2, do_sample=False).token_ids


def test_the_processor_decides(monkeypatch):
    for found, expected in (({"avx2": True}, None), ({"amx_bf16": True}, torch.bfloat16), ({}, None)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert fast_dtype(None) == fast_dtype("cpu") == expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")  # an older torch
    assert fast_dtype(None) is None
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert fast_dtype("auto") == torch.bfloat16
    assert fast_dtype(None) is None


def test_a_saved_model_is_the_same(folder, tmp_path, without_bfloat16):
    Desta2Model.from_pretrained(folder, fast=True).save_pretrained(tmp_path)
    for name in ("adapter.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_what_it_is_not_for(folder, without_bfloat16, monkeypatch):
    with pytest.raises(ConfigError, match="fast=True chooses the dtype itself, but dtype=bfloat16 is given"):
        Desta2Model.from_pretrained(folder, fast=True, dtype="bfloat16")
    with pytest.raises(
        RunError, match="a model loaded with fast=True cannot be trained here; load it without"
    ):
        Desta2Model.from_pretrained(folder, fast=True).train()
    monkeypatch.setattr(fast, "_engine", lambda: "none")
    with pytest.raises(
        InputError, match="fast=True needs int8 kernels, and this torch has none for this CPU"
    ):
        Desta2Model.from_pretrained(folder, fast=True)
