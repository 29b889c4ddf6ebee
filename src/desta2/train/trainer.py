"""Training the adapter, and LoRA on the LLM where it is asked for, with transformers' Trainer.

The Trainer brings devices, mixed precision, accumulation, checkpoints and resuming; ours are the data, the
loss at label positions (in the model), and checkpoints that hold only what is trained.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from desta2.errors import CheckpointError
from desta2.model import lora
from desta2.model.checkpoint import load_adapter
from desta2.model.modelcard import CardFacts
from desta2.model.modeling import Desta2Model
from desta2.nano import base_id
from desta2.progress import Progress
from desta2.train.config import ModelConfig, RunConfig, TrainConfig
from desta2.train.data import UNPACKED, TrainingData, open_data
from desta2.train.pairset import Found, find_pairs
from desta2.train.sampler import EpochTold
from desta2.train.selfgen import warn_if_not_self_generated

log = logging.getLogger(__name__)

_CHECKPOINTS = "checkpoints"


class AdapterTrainer(Trainer):
    """A Trainer whose checkpoints hold only what is trained.

    Args:
        data: gives the training set, its collator and its order.
        options: others of `Trainer`.
    """

    def __init__(self, data: TrainingData, **options: Any) -> None:
        super().__init__(train_dataset=data.train, data_collator=data.collator, **options)
        self._data = data

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        own = self._data.sampler
        return super()._get_train_sampler(train_dataset) if own is None else own

    def _prepare_inputs(self, inputs: Any) -> Any:
        return self._data.completed(self.model, super()._prepare_inputs(inputs))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        loaded: Any = self.model if model is None else model
        loaded.load_weights(Path(resume_from_checkpoint))


class _Shown(TrainerCallback):
    """Progress on stderr, and the loss in `log.jsonl`."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path = path
        self._progress = progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress.move_to(state.global_step)
        self._path.write_text("")  # what a stopped run logged after its checkpoint will come again
        for logs in state.log_history:
            self._note(logs["step"], logs)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._progress.move_to(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self._note(state.global_step, logs or {})

    def _note(self, step: int, logs: Mapping[str, Any]) -> None:
        if "loss" in logs:
            entry = {"step": step, **{key: logs[key] for key in ("loss", "grad_norm", "learning_rate")}}
            with self._path.open("a") as lines:
                lines.write(json.dumps(entry) + "\n")


def build_model(config: ModelConfig) -> Desta2Model:
    """The frozen models with a fresh adapter, or with the one that training is to start from."""
    keys = config.model_dump(exclude={"llm", "encoder", "adapter"}, exclude_none=True)
    keys["system_prompt"] = config.system_prompt
    model = Desta2Model.from_bases(base_id("llm", config.llm), base_id("whisper", config.encoder), **keys)
    if config.adapter is not None:
        _start_from(model, config.adapter)
    return model


def _start_from(model: Desta2Model, folder: Path) -> None:
    """The adapter of a model folder, and its LoRA weights where it has any.

    Raises:
        CheckpointError: they do not fit, or the adapter goes with LoRA weights that the model is not to have.
    """
    has_lora = (folder / lora.WEIGHTS_FILE).is_file()
    if has_lora and model.config.lora is None:
        raise CheckpointError(
            f"{folder} was trained with LoRA weights on the LLM; give model.lora to go on with them"
        )
    if has_lora:
        model.load_weights(folder)
    else:
        load_adapter(model.adapter, folder)


def train(config: TrainConfig) -> Path:
    """Train an adapter; continues from the newest checkpoint in `run.output`.

    Args:
        config: the whole run.

    Returns:
        the folder of the trained model, `run.output/model`.

    Raises:
        InputError: pairs or audio cannot be used.
        ConfigError: the configuration is impossible.
    """
    run, output = config.run, config.run.output
    found = find_pairs(config.data, output / UNPACKED)
    set_seed(run.seed)
    model = build_model(config.model)
    warn_if_not_self_generated(found.examples(), model.config)
    output.mkdir(parents=True, exist_ok=True)
    data = open_data(config, found, model)
    if model.config.standardise_taps and config.model.adapter is None:
        model.adapter.calibrate(data.sample(model))
    _fit(model, data, run)
    if data.skips is not None and (skipped := data.skips.count()):
        log.warning("%d pairs or clips were skipped, as their audio is broken: %s", skipped, data.skips.path)
    model.save_pretrained(output / "model", card=_card(config, found, len(data.train)))
    return output / "model"


def _card(config: TrainConfig, found: Found, n_pairs: int) -> CardFacts:
    """What the model card says of a run."""
    run, files = config.run, ", ".join(f"`{own.path.name}`" for own in config.data.sets)
    sources = [f"`{llm}`" for llm in _different(pair.provenance.llm for pair, _ in found.kinds)]
    prompts = [f"“{prompt}”" for prompt in _different(pair.provenance.prompt for pair, _ in found.kinds)]
    length = f"{run.max_steps} steps" if run.max_steps else f"{run.epochs:g} epochs"
    start = (
        "a fresh adapter" if config.model.adapter is None else f"the adapter `{config.model.adapter.name}`"
    )
    return CardFacts(
        training=[
            f"{n_pairs:,} pairs about {found.n_clips:,} clips, from {files}.",
            f"Responses by {_few(sources)} to {_few(prompts)}.",
            f"{length} from {start}, {run.batch_size} × {run.gradient_accumulation} pairs a step, learning "
            f"rate {run.learning_rate:g}, seed {run.seed}.",
        ]
    )


def _different(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")


def _fit(model: Desta2Model, data: TrainingData, run: RunConfig) -> None:
    """Train to the last step, from the newest checkpoint where there is one."""
    steps = run.max_steps or math.ceil(run.epochs * _steps_per_epoch(data.pairs_per_epoch, run))
    newest = _newest_checkpoint(run.output / _CHECKPOINTS)
    if newest is not None and _step(newest) >= steps:
        model.load_weights(newest)  # the Trainer would go on for one more step
        return
    with Progress(steps, "training the adapter") as progress:
        trainer = AdapterTrainer(
            model=model,
            args=_arguments(run, steps),
            data=data,
            callbacks=[_Shown(run.output / "log.jsonl", progress)],
        )
        if data.sampler is not None:
            trainer.add_callback(EpochTold(data.sampler))
        trainer.pop_callback(PrinterCallback)  # it prints the log to stdout
        trainer.train(resume_from_checkpoint=None if newest is None else str(newest))


def _steps_per_epoch(examples: int, run: RunConfig) -> int:
    """Optimiser steps of one pass, as the Trainer counts: the last batch and the last step may be smaller."""
    return math.ceil(math.ceil(examples / run.batch_size) / run.gradient_accumulation)


def _newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: one that was cut short lacks the state, which is written last."""
    whole = [path for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*") if _is_whole(path)]
    return max(whole, key=_step, default=None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _arguments(run: RunConfig, steps: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(run.output / _CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=run.batch_size,
        gradient_accumulation_steps=run.gradient_accumulation,
        learning_rate=run.learning_rate,
        lr_scheduler_type="cosine",
        # The paper's 2,000 warm-up steps belong to a long run; a short one would never get past them.
        warmup_steps=min(run.warmup_steps, steps // 10),
        adam_beta1=run.adam_beta1,
        adam_beta2=run.adam_beta2,
        weight_decay=run.weight_decay,
        max_grad_norm=run.max_grad_norm,
        bf16=run.bf16,
        use_cpu=not torch.accelerator.is_available(),  # bf16 on a CPU has to be asked for like this
        seed=run.seed,
        logging_steps=run.log_steps,
        save_steps=run.save_steps,
        save_total_limit=2,
        dataloader_num_workers=run.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
    )
