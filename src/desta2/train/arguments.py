"""A run's configuration in the terms of transformers' Trainer."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import TrainingArguments

from desta2.model.modeling import Desta2Model
from desta2.train.checkpoints import FOLDER
from desta2.train.config import RunConfig


def total_steps(run: RunConfig, examples: int, processes: int = 1) -> int:
    """Optimiser steps of a run; every step has the same size, and the last pass is finished."""
    return run.max_steps or math.ceil(run.epochs * examples / step_size(run, processes))


def step_size(run: RunConfig, processes: int = 1) -> int:
    """Examples in one optimiser step."""
    return run.batch_size * run.gradient_accumulation * processes


def warmup_steps(run: RunConfig, steps: int) -> int:
    """Steps of a run until the learning rate is highest.

    The paper's 2,000 belong to a long run; a short one would never get past them.
    """
    return min(run.warmup_steps, steps // 10)


def training_arguments(
    run: RunConfig, steps: int, model: Desta2Model, metric: str | None
) -> TrainingArguments:
    """Arguments of the Trainer.

    Args:
        run: the configuration.
        steps: to train for.
        model: that is trained; says which of its layers FSDP takes as units.
        metric: the figure of an evaluation that the best checkpoint is chosen by; None without evaluation.
    """
    arguments = TrainingArguments(
        output_dir=str(run.output / FOLDER),
        max_steps=steps,
        per_device_train_batch_size=run.batch_size,
        gradient_accumulation_steps=run.gradient_accumulation,
        learning_rate=run.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup_steps(run, steps),
        adam_beta1=run.adam_beta1,
        adam_beta2=run.adam_beta2,
        weight_decay=run.weight_decay,
        max_grad_norm=run.max_grad_norm,
        bf16=run.bf16,
        use_cpu=not torch.accelerator.is_available(),  # bf16 on a CPU has to be asked for like this
        seed=run.seed,
        logging_steps=run.log_steps,
        logging_nan_inf_filter=False,  # a loss that is not finite must be seen
        save_steps=run.save_steps,
        save_total_limit=run.keep_checkpoints,
        metric_for_best_model=metric,
        greater_is_better=metric is not None and not metric.endswith("loss"),
        average_tokens_across_devices=True,
        ddp_find_unused_parameters=False,  # every step uses all of the adapter
        dataloader_num_workers=run.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=trackers(run),
    )
    # Several GPUs and one process would mean torch's DataParallel, which cannot carry our batches.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    if run.fsdp:
        # For accelerate itself: the Trainer's own keys for it differ from release to release.
        arguments.fsdp_plugin_args = _sharding(model)
    return arguments


def trackers(run: RunConfig) -> list[str]:
    """Those that the Trainer serves; figures for TensorBoard are written by a callback of ours."""
    return [tracker for tracker in run.report_to if tracker != "tensorboard"]


def _sharding(model: Desta2Model) -> dict[str, Any]:
    """FSDP's second version: it shards each parameter by itself, so frozen and trained ones mix freely."""
    layers = {*(model.llm._no_split_modules or ()), *(model.whisper._no_split_modules or ()), "Adapter"}
    return {
        "fsdp_version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_cls_names_to_wrap": sorted(layers),
        "state_dict_type": "FULL_STATE_DICT",
    }
