import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from desta2.errors import InputError, RunError
from desta2.model.adapter import Adapter, Attention
from desta2.model.configuration import Desta2Config

PARITY = Path(__file__).parents[1] / "parity" / "desta2_small"
RENAMES = (
    ("layer_prompts", "queries"),
    ("qformer.layer", "layers"),
    ("crossattention.self", "cross_attention"),
    ("crossattention.output.dense", "cross_attention.output"),
    ("crossattention.output.LayerNorm", "cross_attention.norm"),
    ("attention.self", "self_attention"),
    ("attention.output.dense", "self_attention.output"),
    ("attention.output.LayerNorm", "self_attention.norm"),
    ("intermediate.dense", "feed_forward.up"),
    ("output.dense", "feed_forward.down"),
    ("output.LayerNorm", "feed_forward.norm"),
    ("proj.0", "norm"),
    ("proj.1", "projection"),
)


def small(**config):
    options = {"d_encoder": 16, "adapter_heads": 2, "d_llm": 24, "n_queries": 5, "adapter_intermediate": 32}
    return Adapter(Desta2Config(**{**options, **config})).eval()


def renamed(key):
    for published, ours in RENAMES:
        key = re.sub(rf"(^|(?<=\.)){re.escape(published)}(?=\.)", ours, key)
    return key


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({}, 22_251_776),
        (
            {"d_encoder": 1280, "adapter_heads": 20, "adapter_layers": 6, "encoder_layers": 32},
            131_540_224,
        ),
    ],
    ids=["DeSTA2", "DeSTA2.5"],
)
def test_parameter_counts_are_the_published_ones(config, count):
    with torch.device("meta"):
        adapter = Adapter(Desta2Config(**config))
    assert sum(parameter.numel() for parameter in adapter.parameters()) == count


@pytest.mark.parametrize(("taps", "output"), [("layer_output", "layer_output_index"), ("hidden_states",) * 2])
@pytest.mark.parametrize("n_queries", [8, 64])
def test_output_equals_the_published_connector(taps, output, n_queries):
    output = {"hidden_states": "hidden_states_index"}.get(output, output)
    tensors = load_file(PARITY / "tensors.safetensors")
    weights = load_file(PARITY / "qformer_connector.safetensors")
    expected = tensors[f"connector_output.{output}"]
    if n_queries == 64:
        other = load_file(PARITY / "prompt64.safetensors")
        expected = other.pop(f"connector_output.{output}")
        weights |= {key: value for key, value in other.items() if not key.startswith("connector_output")}
    adapter = small(d_encoder=24, adapter_heads=4, d_llm=40, n_queries=n_queries, adapter_intermediate=3072)
    adapter.load_state_dict({renamed(key): value for key, value in weights.items()})
    stacked = torch.stack([tensors[f"{taps}.{layer}"] for layer in (2, 5, 8, 11)])
    with torch.no_grad():
        torch.testing.assert_close(adapter(stacked), expected, rtol=0, atol=1e-5)


def test_shape_and_independence_of_the_batch():
    adapter, taps = small(), torch.randn(4, 3, 11, 16)
    together = adapter(taps)
    assert together.shape == (3, 5, 24)
    for i in range(3):
        torch.testing.assert_close(adapter(taps[:, i : i + 1]), together[i : i + 1], rtol=0, atol=1e-5)


def test_each_tap_has_its_own_queries_and_its_own_frames():
    adapter, taps = small(), torch.randn(4, 1, 11, 16)
    assert not torch.allclose(adapter(taps), adapter(taps.flip(0)), atol=1e-3)


def test_self_attention_is_bidirectional():
    attention = Attention(16, 2, dropout=0.0).eval()
    x = torch.randn(1, 6, 16, requires_grad=True)
    attention(x, x)[0, 0, 0].backward()
    assert x.grad[0, -1].abs().max() > 1e-4, "the first query must see the last"


def test_fresh_outputs_have_the_wanted_scale():
    torch.manual_seed(0)
    adapter = small(output_scale=3.0, n_queries=200, d_llm=300)
    assert adapter(torch.randn(4, 1, 11, 16)).std().item() == pytest.approx(3.0, rel=0.1)


def test_dropout_acts_only_in_training():
    adapter, taps = small(adapter_dropout=0.5), torch.randn(4, 1, 11, 16)
    assert torch.equal(adapter(taps), adapter(taps))
    adapter.train()
    assert not torch.equal(adapter(taps), adapter(taps))


def test_standardised_taps_ignore_scale_and_offset_of_each_channel():
    torch.manual_seed(0)
    adapter, taps = small(standardise_taps=True), torch.randn(4, 6, 11, 16)
    adapter.calibrate(taps)
    before = adapter(taps)
    moved = taps * (1 + torch.rand(4, 1, 1, 16)) + 10 * torch.randn(4, 1, 1, 16)
    assert not torch.allclose(adapter(moved), before, atol=0.1)
    adapter.calibrate(moved)
    torch.testing.assert_close(adapter(moved), before, rtol=0, atol=1e-3)


def test_standardising_needs_statistics():
    with pytest.raises(RunError, match=r"call calibrate\(taps\) first"):
        small(standardise_taps=True)(torch.randn(4, 1, 11, 16))
    with pytest.raises(RunError, match="standardise_taps off"):
        small().calibrate(torch.randn(4, 1, 11, 16))


@pytest.mark.parametrize("shape", [(3, 1, 11, 16), (4, 1, 11, 8), (4, 11, 16)])
def test_wrong_taps_are_refused(shape):
    with pytest.raises(InputError, match=r"n_taps=4, n_audio, frames, d_encoder=16"):
        small()(torch.zeros(shape))
