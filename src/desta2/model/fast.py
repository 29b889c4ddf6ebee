"""The fast mode: the frozen models in bfloat16 where the hardware computes in it, else in int8 on the CPU.

Int8 means dynamic quantisation: weights are rounded once per output channel, activations at every call with
a scale per token. Only linear layers are replaced; the adapter, norms and attention stay in float32. The
price is that answers change a little, and that no gradient passes: an adapter cannot be trained on it.

The kernels are torch's own (FBGEMM on x86). Their wrapper, `torch.ao.quantization`, is deprecated, and since
torch 2.13 so are quantised tensors, of which we need one for packing. Of what torch offers on plain int8
tensors, oneDNN's kernel is as fast on long inputs and some 20 times slower on one row without VNNI, and
`_int_mm` and `_weight_int8pack_mm` are slower than float32 (torch 2.13, AVX2).
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from desta2.errors import ConfigError, InputError

# Names in `torch.cpu.get_capabilities()` of instructions that multiply bfloat16: x86, x86, ARM.
_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")


class Int8Linear(nn.Module):
    """A linear layer with int8 weights, for float32 input on a CPU."""

    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        # AVX2 adds pairs of products in 16 bits, which leaves 15 bits for both factors. Activations, with
        # their outliers, need the eighth bit more than weights do.
        scale = weight.abs().amax(1).clamp_min(1e-12) / 63
        zero = torch.zeros(len(weight), dtype=torch.long)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "torch.quantize_per_tensor", UserWarning
            )  # deprecated: see above
            rounded = torch.quantize_per_channel(weight, scale, zero, axis=0, dtype=torch.qint8)
        self.packed = torch.ops.quantized.linear_prepack(rounded, None)
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        # The kernel has one scale for all rows, and a token with huge activations (in most LLMs the first)
        # would take the bits of all others: so rows are brought to one size before, and back after.
        size = None if x.numel() == x.shape[-1] else x.abs().amax(-1, keepdim=True).clamp_min(1e-12)
        y = torch.ops.quantized.linear_dynamic(x if size is None else x / size, self.packed)
        y = y if size is None else y * size
        return y if self.bias is None else y + self.bias


def chosen_dtype(dtype: Any, device_map: Any, quantization_config: Any, lora: Any) -> torch.dtype | None:
    """Type to load the frozen models in: bfloat16, or None (as stored) where `quantise` is to follow.

    Args:
        dtype: what the user asks for.
        device_map: where the LLM goes; None and "cpu" mean the CPU.
        quantization_config: another way of rounding that the user asks for.
        lora: of the configuration.

    Raises:
        ConfigError: the user asks for something that does not go with the fast mode.
    """
    if dtype is not None:
        raise ConfigError(f"fast=True chooses the dtype itself, but dtype={dtype} is given; leave one out")
    if quantization_config is not None:
        raise ConfigError("fast=True rounds weights in its own way; leave it or quantization_config out")
    found = fast_dtype(device_map)
    if found is None and lora is not None:
        raise ConfigError("fast=True means int8 on this machine, which does not go with LoRA; leave it out")
    return found


def fast_dtype(device_map: Any) -> torch.dtype | None:
    """`chosen_dtype` where nothing else is asked for."""
    on_cpu = device_map in (None, "cpu") or not torch.accelerator.is_available()
    return None if on_cpu and not _cpu_computes_bfloat16() else torch.bfloat16


def is_emulated(dtype: Any, device: torch.device) -> bool:
    """Whether a device only imitates a type: everything works then, and slower than in float32.

    Args:
        dtype: or its name.
        device: GPUs are taken to compute in all types.
    """
    name = str(dtype).removeprefix("torch.")
    if device.type != "cpu" or name == "float32":
        return False
    return name != "bfloat16" or not _cpu_computes_bfloat16()


def quantise(module: nn.Module) -> None:
    """Replace the linear layers of a module on the CPU by int8 ones, and make the rest float32.

    Raises:
        InputError: This torch has no int8 kernels for this CPU.
    """
    if _engine() == "none":
        raise InputError("fast=True needs int8 kernels, and this torch has none for this CPU; leave it out")
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, Int8Linear(child))
    module.float()


def is_quantised(module: nn.Module) -> bool:
    """Whether `quantise` was applied to it."""
    return any(isinstance(part, Int8Linear) for part in module.modules())


def _engine() -> str:
    return str(torch.backends.quantized.engine)


def _cpu_computes_bfloat16() -> bool:
    found: dict[str, bool] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # torch < 2.10 cannot tell: int8 is right anywhere
    return any(found.get(name) for name in _BFLOAT16)
