"""One training step on random weights, timed part by part, beside the floor: the LLM alone.

The floor is the LLM's forward pass and the gradients of its input, with logits at label positions, called
through transformers in turn with the steps: a busy spell strikes both. Nothing that trains through this LLM
can be faster, whatever its encoder and adapter do.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import alone
from machine import peak_gb
from random_models import whisper_config
from torch import Tensor
from training_setting import TARGET, Setting, batch_of, features, made, write_bases
from transformers import WhisperForConditionalGeneration

from desta2 import Desta2Model
from desta2.model.blocks import blocks_of

PARTS = ("encoder", "q_former", "llm", "backward_llm", "backward_q_former", "optimizer")


def measure_apart(setting: Setting, repeats: int, threads: int) -> dict[str, Any]:
    """`measure` in a process of its own, with the frozen models written by another one."""
    with tempfile.TemporaryDirectory(prefix="desta2-bench-") as name:
        if setting.device == "cpu":
            alone(write_bases, setting.size, Path(name))
        found: dict[str, Any] = alone(measure, setting, repeats, threads, Path(name))
    return found


def measure(setting: Setting, repeats: int, threads: int, bases: Path) -> dict[str, Any]:
    """Median seconds of steps, their parts and the floor; peak memory of the steps; rates.

    Args:
        setting: What is trained.
        repeats: Steps that the medians are over.
        threads: Of torch.
        bases: Folder with the frozen models, for a CPU.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    imports_gb = peak_gb()
    model, batch = made(setting, bases), batch_of(setting)
    optimizer = torch.optim.AdamW(model.adapter.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)
    times = _Times(model, setting.device)
    if setting.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(2):  # the optimizer has its state after the first
        _step(model, batch, optimizer, times, setting)
    peak = _peak_gb(setting.device)
    times.clear()
    runs = {"floor": _floor(model, batch, setting), **_encoder_pass(model, setting)}
    apart: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        _step(model, batch, optimizer, times, setting)
        for name, run in runs.items():
            start = times.now()
            run()
            apart[name].append(times.now() - start)
    if torch.get_num_threads() != threads:
        raise RuntimeError(f"something set {torch.get_num_threads()} threads in place of {threads}")
    return {
        "seconds": {name: statistics.median(found) for name, found in {**times.found, **apart}.items()},
        "peak_gb": peak,
        "imports_gb": imports_gb,
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "floor_flops": _floor_flops(model, setting),
        "matmul_flops_per_s": _matmul_rate(setting, times.now),
    }


class _Times:
    """Seconds of steps and of their parts, the parts told by hooks."""

    def __init__(self, model: Desta2Model, device: str) -> None:
        self.found: dict[str, list[float]] = {}
        self._device = device
        self._reached = 0.0
        parts = {"encoder": model.whisper.get_encoder(), "q_former": model.adapter, "llm": model.llm}
        for name, module in parts.items():
            module.register_forward_pre_hook(lambda *_, name=name: self._start(name))
            module.register_forward_hook(lambda *_, name=name: self._stop(name))
        model.adapter.register_forward_hook(self._await)

    def now(self) -> float:
        """The clock, once the device has done its work."""
        if self._device != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    def clear(self) -> None:
        """Forget what was timed."""
        self.found.clear()

    def add(self, name: str, seconds: float) -> None:
        """One more time of a part."""
        self.found.setdefault(name, []).append(seconds)

    def backward(self, start: float, end: float) -> None:
        """The backward pass: through the LLM until it reaches what the adapter gave, and on."""
        self.add("backward_llm", self._reached - start)
        self.add("backward_q_former", end - self._reached)

    def _start(self, name: str) -> None:
        self.add(name, -self.now())

    def _stop(self, name: str) -> None:
        self.found[name][-1] += self.now()

    def _await(self, _: Any, __: Any, vectors: Tensor) -> None:
        vectors.register_hook(self._reach)

    def _reach(self, _: Tensor) -> None:
        self._reached = self.now()


def _step(
    model: Desta2Model, batch: dict[str, Tensor], optimizer: Any, times: _Times, setting: Setting
) -> None:
    start = times.now()
    with _autocast(setting):
        loss = model(**batch).loss
    forward = times.now()
    loss.backward()
    backward = times.now()
    torch.nn.utils.clip_grad_norm_(model.adapter.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    end = times.now()
    times.backward(forward, backward)
    times.add("optimizer", end - backward)
    times.add("step", end - start)


def _floor(model: Desta2Model, batch: dict[str, Tensor], setting: Setting) -> Callable[[], None]:
    """The LLM's forward pass and the gradients of its input; `forward` itself, past the hooks that time."""
    labels, llm = batch["labels"], model.llm
    positions = torch.arange(labels.shape[1] - TARGET - 1, labels.shape[1] - 1, device=labels.device)
    targets = labels[:, -TARGET:].flatten()
    shape = (*labels.shape, setting.size.llm_width)
    embeds = torch.randn(shape, device=labels.device).to(llm.dtype).requires_grad_()

    def run() -> None:
        logits = llm.forward(inputs_embeds=embeds, logits_to_keep=positions, use_cache=False).logits
        F.cross_entropy(logits.flatten(0, 1).float(), targets).backward()
        embeds.grad = None

    return run


def _floor_flops(model: Desta2Model, setting: Setting) -> int:
    """Multiplications and additions of the floor: each product once forward, once for its input's gradient.

    Attention is counted as if it were not causal, as is usual, and has two inputs to each of its products.
    """
    size, length = setting.size, setting.length
    weights = sum(p.numel() for block in blocks_of(model.llm) for p in block.parameters() if p.dim() == 2)
    layers = 2 * weights * setting.batch * length
    head = 2 * size.llm_vocabulary * size.llm_width * setting.batch * TARGET
    attention = 4 * size.llm_layers * size.llm_width * setting.batch * length**2
    return 2 * (layers + head) + 3 * attention


def _encoder_pass(model: Desta2Model, setting: Setting) -> dict[str, Callable[[], Any]]:
    """One pass of one clip in float32 on the CPU, by which published figures are carried to this machine."""
    if setting.device != "cpu":
        return {}
    encoder = model.whisper.get_encoder()
    if encoder.dtype != torch.float32:
        encoder = WhisperForConditionalGeneration(whisper_config(setting.size)).get_encoder().eval()
    clip = features(1, setting.seconds)
    return {"one float32 encoder pass": torch.no_grad()(lambda: encoder.forward(clip))}


def _matmul_rate(setting: Setting, now: Callable[[], float]) -> float:
    """Multiplications and additions per second of large square matrices, the best of a few."""
    n = 2048 if setting.device == "cpu" else 8192
    a, b = (torch.randn(n, n, device=setting.device, dtype=getattr(torch, setting.dtype)) for _ in range(2))
    seconds = []
    for _ in range(6):
        start = now()
        a @ b
        seconds.append(now() - start)
    return 2 * n**3 / min(seconds)


def _autocast(setting: Setting) -> Any:
    if setting.dtype == "float32":
        return nullcontext()
    return torch.autocast(setting.device, getattr(torch, setting.dtype))


def _peak_gb(device: str) -> float:
    return peak_gb() if device == "cpu" else torch.cuda.max_memory_allocated() / 1e9
