import pytest
import torch
import torch.nn.functional as F

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


def test_normalised_outputs_all_have_the_wanted_length():
    adapter, taps = small(output_scale=0.3, normalise_outputs=True, d_llm=48), torch.randn(4, 2, 11, 16)
    free = small(output_scale=0.3, d_llm=48)
    free.load_state_dict(adapter.state_dict())
    outputs, raw = adapter(taps), free(taps)
    torch.testing.assert_close(outputs.square().mean(-1).sqrt(), torch.full((2, *outputs.shape[1:2]), 0.3))
    torch.testing.assert_close(F.cosine_similarity(outputs, raw, dim=-1), torch.ones(outputs.shape[:2]))
    with torch.no_grad():
        adapter.projection.weight *= 7
        adapter.projection.bias *= 7
    torch.testing.assert_close(adapter(taps), outputs)


def test_normalised_outputs_without_a_scale_are_of_length_one():
    outputs = small(normalise_outputs=True)(torch.randn(4, 2, 11, 16))
    torch.testing.assert_close(outputs.square().mean(-1), torch.ones(outputs.shape[:2]))


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


# Frames of the clip only


def test_frames_of_the_clip_are_as_if_the_rest_were_cut_off():
    adapter, taps = small(encoder_frames="speech"), torch.randn(4, 3, 11, 16)
    lengths, queries = [7, 1, 9], adapter.queries[0]
    alone = torch.cat([adapter(taps[:, i : i + 1, :n], torch.tensor([n])) for i, n in enumerate(lengths)])
    [expected] = torch.autograd.grad(alone.square().sum(), queries)
    for behind in (0.0, 1e4):
        for clip, length in enumerate(lengths):
            taps[:, clip, length:] = behind
        together = adapter(taps, torch.tensor(lengths))
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
        [found] = torch.autograd.grad(together.square().sum(), queries)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(adapter(taps, torch.tensor([7, 1, 8])), alone, atol=1e-3)


def test_all_frames_are_heard_unless_asked_otherwise():
    adapter, taps = small(), torch.randn(4, 2, 11, 16)
    assert torch.equal(adapter(taps), adapter(taps, torch.tensor([3, 5])))
    cut = taps.clone()
    cut[:, :, 5:] = 0
    assert not torch.allclose(adapter(cut), adapter(taps), atol=1e-3)


@pytest.fixture
def attentions(monkeypatch):
    """Masks and numbers of keys of all attention that torch's fused kernels compute."""
    seen, attend = [], F.scaled_dot_product_attention

    def spy(query, key, value, **options):
        seen.append((options["attn_mask"], key.shape[2]))
        assert not options["is_causal"]
        return attend(query, key, value, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    return seen


def test_attention_is_fused_and_masked_only_where_clips_differ(attentions):
    adapter, taps = small(encoder_frames="speech"), torch.randn(4, 2, 11, 16)
    adapter(taps, torch.tensor([6, 6]))
    assert attentions == [(None, 5), (None, 6)] * 2, "self- and cross-attention of two layers"
    attentions.clear()
    adapter(taps, torch.tensor([6, 4]))
    assert [length for _, length in attentions] == [5, 6] * 2, "cut to the longest clip"
    mask = attentions[1][0]
    assert mask.shape == (8, 1, 1, 6)
    assert mask.sum(-1).flatten().tolist() == [6, 4] * 4


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (None, r"encoder_frames is 'speech'\); give frames"),
        ([3], r"frames is \[3\]; expected one number for each of 2 clips, from 1 to the 11 frames"),
        ([0, 3], r"frames is \[0, 3\]"),
        ([12, 3], r"frames is \[12, 3\]"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frames, message):
    given = None if frames is None else torch.tensor(frames)
    with pytest.raises(InputError, match=message):
        small(encoder_frames="speech")(torch.zeros(4, 2, 11, 16), given)


def test_statistics_are_of_what_is_heard():
    adapter, taps = small(encoder_frames="speech", standardise_taps=True), torch.randn(4, 2, 11, 16)
    adapter.calibrate(taps, torch.tensor([6, 4]))
    for i, tap in enumerate(taps):
        heard = torch.cat([tap[0, :6], tap[1, :4]])
        torch.testing.assert_close(adapter.tap_mean[i], heard.mean(0))
        torch.testing.assert_close(adapter.tap_std[i], heard.std(0, correction=0))


def test_autocast_casts_the_frames_once():
    adapter, seen = small(), []
    for layer in adapter.layers:
        for projection in (layer.cross_attention.key, layer.cross_attention.value):
            projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    taps = torch.randn(4, 2, 11, 16)
    with torch.autocast("cpu", torch.bfloat16):
        output = adapter(taps)
    assert len(seen) == 4
    assert all(one is seen[0] for one in seen)
    assert seen[0].dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), adapter(taps), rtol=0, atol=0.1)
