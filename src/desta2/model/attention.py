"""Attention of the adapter: torch's fused kernels, and our own step where torch has none.

On a CPU torch has no fused attention with dropout. Its plain one keeps three numbers for every weight until
the backward pass and draws dropout slowly: with all 1,500 frames of a window that is a fifth of a training
step (`bench/training.py`) and most of the Q-Former's memory. Ours keeps one number for a weight, whose sign
says whether it was dropped. Compiled code and other devices have better ways, and take torch's.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Mix values by softmax(query · keyᵀ / √d), some of whose weights are dropped.

    Args:
        query: (batch, heads, n, d).
        key, value: (batch, heads, m, d).
        mask: (batch, 1, 1, m), False where no query may look, in each row True somewhere; None lets all look.
        dropout: Probability that a weight is dropped; those that stay are scaled up for it.

    Returns:
        (batch, heads, n, d).
    """
    fused = not dropout or query.device.type != "cpu" or query.dtype != torch.float32
    if fused or torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=False
        )
    mixed: Tensor = _Dropping.apply(query, key, value, mask, dropout)  # type: ignore[no-untyped-call]
    return mixed


class _Dropping(torch.autograd.Function):
    """One row of the batch after the other; nothing of the size of the weights is kept."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.dropout, ctx.seed = dropout, int(torch.randint(2**62, ()))
        mixed = torch.empty_like(query)
        for i, (_, kept) in enumerate(_weights(ctx, query, key, mask)):
            torch.matmul(kept, value[i], out=mixed[i])
        return mixed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        of_query, of_key, of_value = (torch.empty_like(x) for x in (query, key, value))
        scale = 1 / math.sqrt(query.shape[-1])
        for i, (weights, kept) in enumerate(_weights(ctx, query, key, mask)):
            torch.matmul(kept.transpose(-1, -2), gradient[i], out=of_value[i])
            # Of softmax: weight * (its gradient - the sum of weight * gradient over the row).
            of_scores = kept.mul_(gradient[i] @ value[i].transpose(-1, -2))
            of_scores.addcmul_(weights, of_scores.sum(-1, keepdim=True), value=-1)
            torch.matmul(of_scores, key[i] * scale, out=of_query[i])
            torch.matmul(of_scores.transpose(-1, -2), query[i] * scale, out=of_key[i])
        return of_query, of_key, of_value, None, None


def _weights(ctx: Any, query: Tensor, key: Tensor, mask: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each row the weights (heads, n, m), and those that stay: scaled up, 0 where dropped.

    The same at every call for one `ctx`.
    """
    scale = 1 / math.sqrt(query.shape[-1])
    generator = torch.Generator().manual_seed(ctx.seed)
    for i in range(len(query)):
        scores = (query[i] * scale) @ key[i].transpose(-1, -2)
        if mask is not None:
            scores.masked_fill_(~mask[i], -math.inf)
        weights = scores.softmax(-1)
        stays = _stays(weights.shape, ctx.dropout, generator)
        yield weights, (weights / (1 - ctx.dropout)).mul_(stays)


def _stays(shape: torch.Size, dropout: float, generator: torch.Generator) -> Tensor:
    """1 or, with a probability of `dropout` to within 1/65,536, 0.

    Four are made from each number of the generator: torch's own way takes longer than the softmax.
    """
    count = shape.numel()
    numbers = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    below = round(dropout * 2**16) - 2**15
    return (numbers.view(torch.int16)[:count] >= below).view(shape).float()
