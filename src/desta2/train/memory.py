"""How much memory a training step needs on each device, from shapes alone.

What autograd keeps for the backward pass is counted, not guessed from the names of an LLM's sizes: the models
run on the meta device, where nothing is computed, and hooks see every tensor that is saved. So it holds for
any architecture; where one cannot run there, its part is unknown. Attention is taken to be a fused kernel,
which saves its inputs and its output, and autocast, which knows no meta device, is imitated. Not counted:
what the device's libraries take for themselves, what the allocator loses to fragmentation, and short-lived
buffers inside a layer. docs/train.md has the formula.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from desta2.model.blocks import blocks_of
from desta2.train.blueprint import Blueprint, count
from desta2.train.config import TrainConfig

log = logging.getLogger(__name__)

# Of a trained parameter, in float32: itself, its gradient, and AdamW's two moments.
_TRAINED_BYTES = 16
# Of a logit, in float32 each: its log-probability and two gradients on the way back. It is gone by then.
_LOGIT_BYTES = 12


@dataclass(frozen=True)
class Row:
    """The largest row of a batch.

    Attributes:
        positions: in the LLM, audio included.
        labels: of them, those with a label.
        windows: of audio.
        frames: that the adapter sees of a window; None for all.
    """

    positions: int
    labels: int
    windows: int
    frames: int | None = None


def estimate(config: TrainConfig, blueprint: Blueprint, row: Row, devices: int = 1) -> dict[str, int | None]:
    """Bytes on each device in the largest step of a run.

    Args:
        config: the whole run.
        blueprint: its model without weights.
        row: what every row of the batch is taken to be.
        devices: that share the weights where `run.fsdp` is on; otherwise each holds all.

    Returns:
        By part: `llm`, `encoder` (weights of the whole Whisper), `trained` (weights, gradients and moments),
        `encoder_pass` (0 where taps are cached), `activations` (None: unknown) and `logits`.
    """
    rows, llm, whisper = config.run.batch_size, blueprint.llm, blueprint.whisper
    kept = _kept_in_a_row(blueprint, row, config.run.bf16, config.run.gradient_checkpointing)
    vocabulary = llm.get_output_embeddings().weight.shape[0]
    shares = devices if config.run.fsdp else 1
    heard = 0 if config.data.cache_taps is True else rows * row.windows
    return {
        "llm": _llm_bytes(llm, config.model.quantization_config) // shares,
        "encoder": count(whisper) * whisper.dtype.itemsize // shares,
        "trained": _TRAINED_BYTES * (count(blueprint.adapter) + blueprint.lora_parameters) // shares,
        "encoder_pass": heard * _encoder_pass_bytes(blueprint),
        "activations": None if kept is None else rows * kept,
        "logits": rows * row.labels * vocabulary * _LOGIT_BYTES,
    }


def in_all(memory: Mapping[str, int | None]) -> int | None:
    """Bytes at the peak of a step; None where a part is unknown.

    What the encoder holds is gone, but for the taps, before most activations are there.
    """
    known = {name: part for name, part in memory.items() if part is not None}
    if known.keys() != memory.keys():
        return None
    weights = known["llm"] + known["encoder"] + known["trained"]
    return weights + max(known["encoder_pass"], known["activations"] + known["logits"])


def tap_bytes(blueprint: Blueprint, frames: float, itemsize: int) -> float:
    """Bytes of all taps of so many frames."""
    return len(blueprint.config.tap_layers) * frames * blueprint.config.d_encoder * itemsize


def _llm_bytes(llm: Any, quantization_config: Mapping[str, Any] | None) -> int:
    """The LLM's weights: with bitsandbytes those of its linear layers, but the output, are rounded."""
    total = sum(weight.numel() for weight in llm.parameters() if not weight.requires_grad)
    options = quantization_config or {}
    # With 4 bits there is a scale in float32 for 64 weights, with 8 bits one for a row.
    rounded_bytes = 0.5625 if options.get("load_in_4bit") else 1.0 if options.get("load_in_8bit") else None
    if rounded_bytes is None:
        return total * llm.dtype.itemsize
    head = llm.get_output_embeddings()
    linear = {
        id(part.weight): part.weight.numel()
        for part in llm.modules()
        if isinstance(part, nn.Linear) and part is not head and not part.weight.requires_grad
    }
    rounded = sum(linear.values())
    return (total - rounded) * llm.dtype.itemsize + int(rounded * rounded_bytes)


def _encoder_pass_bytes(blueprint: Blueprint) -> int:
    """Of a window: the outputs of all layers, which live until the taps are taken, and the taps."""
    whisper, itemsize = blueprint.whisper.config, blueprint.whisper.dtype.itemsize
    states = whisper.encoder_layers + 1 + len(blueprint.config.tap_layers)
    return states * blueprint.window_frames * whisper.d_model * itemsize


def _kept_in_a_row(
    blueprint: Blueprint, row: Row, bf16: bool, gradient_checkpointing: bool = False
) -> int | None:
    """What autograd keeps of a row, in adapter and LLM.

    With gradient checkpointing: of the LLM the inputs of its layers, and one layer that is computed anew.
    """
    adapter, llm, config = blueprint.adapter, blueprint.llm, blueprint.config
    seen = row.frames or blueprint.window_frames
    taps = torch.empty(len(config.tap_layers), row.windows, seen, config.d_encoder, device="meta")
    frames = torch.full((row.windows,), seen)
    adapter.calibrated = True
    audio = row.windows * config.n_queries
    length = max(row.positions, audio)
    text = torch.empty(1, length - audio, config.d_llm, dtype=llm.dtype, device="meta")
    # Four dimensions: transformers takes such a mask as it is, and need not look into it.
    mask = torch.empty(1, 1, length, length, dtype=torch.bool, device="meta")

    def hear() -> Tensor:
        vectors: Tensor = adapter(taps, frames).flatten(0, 1)[None].to(llm.dtype)
        return vectors

    def step() -> None:
        states = torch.cat([hear(), text], dim=1)
        llm.base_model(inputs_embeds=states, attention_mask=mask, use_cache=False)

    try:
        kept = kept_by_autograd(step, adapter, llm, bf16=bf16)
        if not gradient_checkpointing:
            return kept
        hearing, layers = kept_by_autograd(hear, adapter, bf16=bf16), len(blocks_of(llm))
        return hearing + layers * length * config.d_llm * llm.dtype.itemsize + (kept - hearing) // layers
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        log.info("the activations of this LLM cannot be counted on the meta device: %s", error)
        return None


def kept_by_autograd(step: Callable[[], Any], *modules: nn.Module, bf16: bool = False) -> int:
    """Bytes of the tensors that autograd saves while `step` runs, but those of the modules themselves."""
    own = {_storage(tensor) for module in modules for tensor in (*module.parameters(), *module.buffers())}
    saved: dict[int, Tensor] = {}  # held, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            saved.setdefault(_storage(tensor), tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), _AsOnADevice(bf16):
        step()
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Fused(torch.autograd.Function):
    """What a fused attention kernel saves. It is never run backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # (batch, heads, n, width) lies in memory as (batch, n, heads, width), as from torch's kernels.
        batch, heads, n, _ = query.shape
        mixed = query.new_empty((batch, n, heads, value.shape[-1])).transpose(1, 2)
        ctx.save_for_backward(query, key, value, mixed)
        return mixed


_MULTIPLIED = {F.linear, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.einsum}
_IN_FLOAT32 = {F.layer_norm, F.softmax, torch.softmax, Tensor.softmax, torch.rsqrt, torch.pow, Tensor.pow}


class _AsOnADevice(TorchFunctionMode):
    """Attention as a fused kernel, where torch would save the matrix of weights, and types as autocast's.

    What needs no gradient is cast once, as the adapter does with what it hears.
    """

    def __init__(self, bf16: bool) -> None:
        super().__init__()
        self._bf16 = bf16
        self._cast: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        attention = func is F.scaled_dot_product_attention
        if self._bf16 and (attention or func in _MULTIPLIED):
            args, kwargs = tree_map(self._in_bf16, (args, kwargs))
        elif self._bf16 and func in _IN_FLOAT32:
            args, kwargs = tree_map(lambda value: _in_type(torch.float32, value), (args, kwargs))
        if attention:
            return _Fused.apply(*args[:3])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))

    def _in_bf16(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.requires_grad:
            return _in_type(torch.bfloat16, value)
        if id(value) not in self._cast:
            self._cast[id(value)] = value, _in_type(torch.bfloat16, value)
        return self._cast[id(value)][1]


def _in_type(dtype: torch.dtype, value: Any) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
