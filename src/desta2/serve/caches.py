"""Key-value caches of rows of different lengths: padded on the left, joined, and thinned out.

transformers' own continuous batching takes token ids only, so ours works on what its models return: a
`DynamicCache` of layers that hold (batch, heads, length, width). Layers of another kind (sliding windows,
states of recurrent models) keep what cannot be padded, so a cache with such a layer is not joined: each row
keeps its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


def can_be_joined(cache: Cache) -> bool:
    """Whether every layer keeps the keys and values of all positions, and nothing else."""
    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def joined(one: Cache, other: Cache) -> DynamicCache:
    """The rows of both, the shorter one padded on the left."""
    length = max(one.get_seq_length(), other.get_seq_length())
    return _made(
        [
            torch.cat([_padded(ours, length), _padded(theirs, length)])
            for ours, theirs in zip(_tensors(one), _tensors(other), strict=True)
        ]
    )


def thinned(cache: Cache, rows: Sequence[int], first: int) -> DynamicCache:
    """Some rows of a cache, from the position `first` on."""
    tensors = _tensors(cache)
    kept = torch.tensor(rows, device=tensors[0].device)
    return _made([tensor[:, :, first:].index_select(0, kept) for tensor in tensors])


def _tensors(cache: Cache) -> list[Tensor]:
    """Keys and values of each layer in turn: (batch, heads, length, width)."""
    layers: list[Any] = cache.layers
    return [tensor for layer in layers for tensor in (layer.keys, layer.values)]


def _made(tensors: Sequence[Tensor]) -> DynamicCache:
    cache = DynamicCache()
    for layer in range(len(tensors) // 2):
        cache.update(tensors[2 * layer], tensors[2 * layer + 1], layer)
    return cache


def _padded(tensor: Tensor, length: int) -> Tensor:
    return F.pad(tensor, (0, 0, length - tensor.shape[2], 0))
