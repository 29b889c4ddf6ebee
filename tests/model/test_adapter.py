import pytest
import torch

from desta2.errors import InputError, RunError
from desta2.model.adapter import Adapter, Attention
from desta2.model.configuration import Desta2Config


def small(**config):
    options = {"d_encoder": 16, "adapter_heads": 2, "d_llm": 24, "n_queries": 5, "adapter_intermediate": 32}
    return Adapter(Desta2Config(**{**options, **config})).eval()


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
