"""The repeated layers of a model: recomputed in the backward pass, or compiled.

Both are done layer by layer, on the modules as they stand, without a look at the model's family: names of
weights stay, so checkpoints do too. transformers' own gradient checkpointing works in training mode only; our
frozen LLM is never in it (its dropouts would act), and would go on keeping everything without a word.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from desta2.errors import ConfigError


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The repeated layers: the longest list of modules that is not inside another list.

    Raises:
        ConfigError: There is none.
    """
    found = max(_lists(module), key=len, default=[])
    if not found:
        raise ConfigError(
            f"{type(module).__name__} has no list of layers; leave gradient_checkpointing and compile out"
        )
    return found


def recompute(module: nn.Module) -> None:
    """Keep only the inputs of each layer for the backward pass, which computes the rest anew.

    Costs about another forward pass of the module. Nothing changes where no gradients are wanted. A second
    call does nothing.

    Raises:
        ConfigError: As `blocks_of`.
    """
    for block in blocks_of(module):
        known = vars(block).get("forward")  # accelerate may have put one there, too
        if not (isinstance(known, partial) and known.func is _recomputed):
            block.forward = partial(_recomputed, block.forward)


def compile_blocks(module: nn.Module, **options: Any) -> None:
    """Have `torch.compile` fuse what each layer does, when it is first used; lengths may vary.

    Layers of one kind share what is compiled, so this takes far less time than a whole model does.

    Args:
        module: Changed in place.
        options: Of `torch.compile`.

    Raises:
        ConfigError: As `blocks_of`.
    """
    for block in blocks_of(module):
        block.compile(**options)


def _lists(module: nn.Module) -> Iterator[list[nn.Module]]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield list(child)
        else:
            yield from _lists(child)


def _recomputed(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if torch.is_grad_enabled():
        return checkpoint(partial(forward, **options), *inputs, use_reentrant=False)
    return forward(*inputs, **options)
