"""Attention with dropout on a CPU: the numbers of plain autograd, less kept for the backward pass."""

import math

import pytest
import torch
import torch.nn.functional as F

from desta2.model.attention import attend

BATCH, HEADS, N, M = 3, 2, 5, 8
MASK = (torch.arange(M) < torch.tensor([8, 3, 6])[:, None])[:, None, None]  # (BATCH, 1, 1, M)


def given(m=M, n=N):
    """Queries, keys and values as the adapter has them: heads are a view of (batch, length, width)."""
    generator = torch.Generator().manual_seed(4)
    wide = [torch.randn(BATCH, length, HEADS * M, generator=generator) for length in (n, m, m)]
    return [x.unflatten(-1, (HEADS, M)).transpose(1, 2).requires_grad_() for x in wide]


def seeded(query, key, value, mask, dropout):
    torch.manual_seed(7)
    return attend(query, key, value, mask, dropout)


def scales(query, key, mask, dropout):
    """What dropout multiplied each weight with: values that are a unit matrix show the weights."""
    unit = torch.eye(M).expand(BATCH, HEADS, M, M)
    shown = seeded(query, key, unit, mask, dropout)
    weights = F.scaled_dot_product_attention(query, key, unit, attn_mask=mask)
    return torch.where(weights > 0, shown / weights, 0.0).detach()


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_numbers_and_gradients_are_those_of_plain_autograd(mask):
    query, key, value = given()
    factors = scales(query, key, mask, 0.3)
    seen = factors if mask is None else factors[mask.expand_as(factors)]
    assert set(seen.mul(0.7).round(decimals=4).flatten().tolist()) == {0.0, 1.0}
    scores = query @ key.transpose(-1, -2) / math.sqrt(M)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    plain = (scores.softmax(-1) * factors) @ value
    found = seeded(query, key, value, mask, 0.3)
    torch.testing.assert_close(found, plain)
    weight = torch.randn_like(plain)
    inputs = (query, key, value)
    expected = torch.autograd.grad((plain * weight).sum(), inputs)
    for one, other in zip(torch.autograd.grad((found * weight).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_weights_are_dropped_as_often_as_asked():
    query, key, _ = given(n=4000)
    for dropout in (0.1, 0.5):
        share = (scales(query, key, None, dropout) == 0).float().mean().item()
        n = BATCH * HEADS * 4000 * M
        assert abs(share - dropout) < 4 * math.sqrt(dropout * (1 - dropout) / n)


def test_every_call_drops_others_and_a_seed_brings_them_back():
    inputs = (*given(), None, 0.3)
    first = seeded(*inputs)
    assert not torch.equal(attend(*inputs), first)
    assert torch.equal(seeded(*inputs), first)


@pytest.mark.parametrize(("dropout", "most"), [(0.0, 1.2), (0.1, 1.0)])
def test_no_weights_are_kept(dropout, most):
    inputs = given(m=500, n=100)
    sizes = []

    def note(tensor):
        sizes.append(tensor.nelement())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attend(*inputs, None, dropout)
    assert 0 < sum(sizes) <= most * sum(one.nelement() for one in inputs)


def test_other_types_are_left_to_torch():
    inputs = [one.detach().bfloat16() for one in given()]
    torch.manual_seed(7)
    expected = F.scaled_dot_product_attention(*inputs, dropout_p=0.1)
    assert torch.equal(seeded(*inputs, None, 0.1), expected)
