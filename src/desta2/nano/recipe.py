"""The nano adapter: what `recipes/nano.yaml` says, for the demo and for the shipped model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from desta2.train.config import DataConfig, ModelConfig, RunConfig, TrainConfig


def adapter_config(pairs: Sequence[Path], output: Path, steps: int, seed: int) -> TrainConfig:
    """The training run of a nano adapter on some pairs."""
    return TrainConfig(
        model=ModelConfig(
            llm="nano",
            encoder="nano",
            # The voice fades with depth in so shallow an encoder; its input holds the most of it.
            tap_layers=[-1, 0, 2],
            n_queries=16,
            adapter_layers=2,
            adapter_intermediate=640,
            adapter_dropout=0.0,
            standardise_taps=True,
            normalise_outputs=True,
        ),
        data=DataConfig(train=list(pairs), cache_taps=True),
        run=RunConfig(
            output=output,
            max_steps=steps,
            batch_size=16,
            learning_rate=2e-3,
            warmup_steps=50,
            seed=seed,
            save_steps=200,
        ),
    )
