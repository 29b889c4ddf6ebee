"""The training loop of the nano backbones: AdamW, warm-up and cosine, checkpoints, a log.

Not the Trainer that trains adapters: the two backbones need per-step curricula and an auxiliary loss that
fades, and with batches drawn as a pure function of the step number a run that was killed continues to the
same weights as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from desta2.progress import track

log = logging.getLogger(__name__)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LoopRecipe:
    """How long and how fast to learn.

    Attributes:
        steps: optimiser steps.
        learning_rate: at the end of the warm-up; decays along a cosine to a twentieth.
        warmup: steps of linear warm-up.
        weight_decay: on matrices only.
        clip: largest gradient norm.
        save_seconds: time between checkpoints.
        log_every: steps between lines of `log.jsonl`.
    """

    steps: int
    learning_rate: float = 2e-3
    warmup: int = 150
    weight_decay: float = 0.01
    clip: float = 1.0
    save_seconds: float = 120.0
    log_every: int = 20

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def _optimizer(model: nn.Module, recipe: LoopRecipe) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def _save(path: Path, state: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def _trim_log(path: Path, last: int) -> None:
    """Keep the entries up to step `last`; a killed run logged later ones, and their steps are done again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # torn by the kill
            break
        if entry["step"] <= last:
            kept.append(f"{line}\n")
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)


def fit(
    model: nn.Module,
    batch_at: Callable[[int], Batch],
    loss_of: Callable[[Batch, float], Tensor],
    recipe: LoopRecipe,
    folder: Path,
    description: str,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_every: int = 500,
) -> None:
    """Train `model` in place, continuing from `folder/state.pt` if it is there.

    Args:
        model: what to train; its parameters are seen by `loss_of`. It is on the accelerator, where there is
            one, from here on.
        batch_at: the batch of a step, a pure function of the step number; wherever it is.
        loss_of: (batch, share of the training done in 0..1) → scalar loss.
        recipe: lengths and rates.
        folder: gets `state.pt` (checkpoint) and `log.jsonl`.
        description: for the progress bar.
        evaluate: figures on validation data, called every `evaluate_every` steps and at the end.
        evaluate_every: steps between evaluations.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.accelerator.current_accelerator() or "cpu")
    optimizer = _optimizer(model, recipe)
    checkpoint, first = folder / "state.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        first = state["step"]
        log.info("%s: continuing at step %d of %d", description, first, recipe.steps)

    _trim_log(folder / "log.jsonl", first)

    def save(step: int) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        _save(checkpoint, state | {"rng": torch.get_rng_state()})

    started = last_save = time.monotonic()
    recent: list[float] = []
    with (folder / "log.jsonl").open("a") as lines:

        def write(entry: dict[str, float]) -> None:
            lines.write(json.dumps(entry) + "\n")
            lines.flush()

        for step in track(range(first, recipe.steps), total=recipe.steps - first, description=description):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            model.train()
            loss = loss_of(batch_at(step), step / recipe.steps)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            recent.append(loss.item())
            done = step + 1
            if done % recipe.log_every == 0 or done == recipe.steps:
                seconds = round(time.monotonic() - started, 1)
                mean = sum(recent) / len(recent)
                write({"step": done, "loss": round(mean, 4), "lr": recipe.rate(step), "seconds": seconds})
                recent.clear()
            if evaluate is not None and (done % evaluate_every == 0 or done == recipe.steps):
                model.eval()
                with torch.no_grad():
                    write({"step": done, **evaluate()})
            if time.monotonic() - last_save > recipe.save_seconds or done == recipe.steps:
                save(done)
                last_save = time.monotonic()
    model.eval()
