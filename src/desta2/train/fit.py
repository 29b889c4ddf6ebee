"""The loop of training: transformers' Trainer, for one process or many.

The Trainer brings devices, mixed precision, accumulation, the schedule and resuming. Ours are the order of
the examples, checkpoints that hold only what is trained, and an evaluation whose loss is a mean over tokens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from desta2.model.modeling import Desta2Model
from desta2.progress import Progress
from desta2.train import checkpoints
from desta2.train.arguments import total_steps, training_arguments
from desta2.train.benchmark import NANO, Benchmark
from desta2.train.callbacks import Evaluated, Shown, tensorboard
from desta2.train.config import RunConfig
from desta2.train.data import TrainingData
from desta2.train.dataset import IGNORED
from desta2.train.frozen import FrozenGuard
from desta2.train.order import Passes
from desta2.train.stopping import Stop, StopEarly, is_out_of_patience
from desta2.train.workers import Spared, errors_of_workers


class AdapterTrainer(Trainer):
    """A Trainer whose checkpoints hold only what is trained.

    Args:
        data: what is learned and, perhaps, judged by.
        workers: begins each process of a loader.
        benchmark: figures of the model's answers, beside the loss on `data.validation`.
        options: of transformers' Trainer.
    """

    def __init__(
        self, data: TrainingData, *, workers: Spared, benchmark: Benchmark | None = None, **options: Any
    ) -> None:
        super().__init__(train_dataset=data.train, data_collator=data.collator, **options)
        self._data = data
        self._workers = workers
        self._benchmark = benchmark
        self._tokens: Tensor | int = 0
        self._counted_since = time.monotonic()
        # Each process draws its own dropout; the Trainer has just given all of them one seed.
        set_seed(self.args.seed, device_specific=True)

    # Data

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return Passes(self._data.order, self.args.max_steps * self._step_size())

    def _step_size(self) -> int:
        arguments = self.args
        return (
            arguments.per_device_train_batch_size
            * arguments.gradient_accumulation_steps
            * arguments.world_size
        )

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches in the order of training."""
        loader: DataLoader[Any] = super().get_train_dataloader()
        # accelerate hands out a stand-in, which has attributes of its own.
        getattr(loader, "base_dataloader", loader).worker_init_fn = self._workers
        return loader

    def _prepare_inputs(self, inputs: Any) -> Any:
        return self._data.completed(self._plain_model(), super()._prepare_inputs(inputs))

    def _plain_model(self) -> Any:
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    def get_batch_samples(self, *arguments: Any, **options: Any) -> Any:
        """The batches of a step, and the number of labels in them over all processes."""
        batches, labels = super().get_batch_samples(*arguments, **options)
        self._tokens = self._tokens + sum(batch["attention_mask"].sum() for batch in batches)
        return batches, labels

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log figures, with the tokens per second beside the loss. For all processes."""
        if "loss" in logs:
            now = time.monotonic()
            tokens = torch.as_tensor(self._tokens, dtype=torch.int64, device=self.args.device)
            total = float(self.accelerator.reduce(tokens, reduction="sum"))
            logs["tokens_per_second"] = total / max(now - self._counted_since, 1e-9)
            self._tokens, self._counted_since = 0, now
        # To the Trainer all steps are one epoch.
        self.state.epoch = self.state.global_step * self._step_size() / len(self._data.order)
        super().log(logs, start_time)

    # Checkpoints

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write a model folder. For all processes."""
        model = self._plain_model()
        state = checkpoints.gather_weights(model) if self.is_fsdp_enabled else None
        if self.args.should_save:
            model.save_pretrained(output_dir, state_dict=state)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        checkpoints.save_progress(
            Path(output_dir), self.model, _plain(self.optimizer), self.lr_scheduler, self.args.should_save
        )

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()  # the state, which makes a checkpoint whole, is written next

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Nothing: `fit` has loaded the weights, before they may be sharded."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            checkpoints.load_progress(Path(checkpoint), self.model, _plain(self.optimizer), self.lr_scheduler)

    # Evaluation

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Loss on the kept pairs and figures of the benchmark; draws no random numbers. For all processes."""
        device = self.args.device
        generators = {} if device.type == "cpu" else {"device_type": device.type}
        with torch.random.fork_rng([] if device.type == "cpu" else [device], **generators):
            metrics = self._figures()
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._counted_since = time.monotonic()
        return metrics

    def _figures(self) -> dict[str, float]:
        model: Any = self.model
        model.eval()
        figures: dict[str, float] = {}
        if self._data.validation is not None:
            figures["eval_loss"] = self._loss_of(self._data.validation)
        if self._benchmark is not None:
            answers = self._benchmark(self._plain_model())
            figures |= {f"eval_{name}": value for name, value in answers.items()}
        return figures

    @torch.no_grad()
    def _loss_of(self, dataset: Any) -> float:
        """Mean over all labels of a dataset, which the processes divide among them."""
        arguments = self.args
        size = arguments.per_device_train_batch_size
        rounds = list(_rounds(len(dataset), size, arguments.process_index, arguments.world_size))
        loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=[rows for rows, _ in rounds],
            collate_fn=self.data_collator,
            num_workers=arguments.dataloader_num_workers,
            worker_init_fn=self._workers,
        )
        sums = torch.zeros(2, dtype=torch.float64)  # of losses, of labels
        for batch, (_, counts) in zip(loader, rounds, strict=True):
            labels = batch["labels"][:, 1:].ne(IGNORED).sum()
            model: Any = self.model
            loss = model(**self._prepare_inputs(batch), num_items_in_batch=1).loss
            if counts:
                sums += torch.stack([loss.double().cpu(), labels.double()])
        total, labels = self.accelerator.reduce(sums.to(arguments.device), reduction="sum").tolist()
        return float(total / labels)


def _plain(optimizer: Any) -> Any:
    """The optimiser inside accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


def _rounds(examples: int, size: int, process: int, processes: int) -> Iterator[tuple[list[int], bool]]:
    """Rows of each batch of one process, and whether they count.

    Sharded models need all processes for every batch, so one that has no rows left repeats the first.
    """
    for first in range(0, examples, size * processes):
        mine = list(range(first + process * size, min(first + (process + 1) * size, examples)))
        yield mine or [0], bool(mine)


def fit(model: Desta2Model, data: TrainingData, run: RunConfig, benchmark: Benchmark | None = None) -> Path:
    """Train to the last step, from the newest checkpoint where there is one. For all processes.

    Args:
        model: on its device; changed in place.
        data: to learn from and, perhaps, to judge by.
        run: how.
        benchmark: further figures to judge by.

    Returns:
        the best checkpoint, or without evaluation the last.

    Raises:
        InputError: a clip or a pair cannot be used.
        RunError: frozen weights changed.
        Terminated, KeyboardInterrupt: a signal ended the run; it is saved.
    """
    state = PartialState()
    steps = total_steps(run, len(data.order), state.num_processes)
    start = checkpoints.newest(run.output / checkpoints.FOLDER)
    if start is not None and _is_done(start, steps, run):
        return checkpoints.best(start)
    if start is not None:
        model.load_weights(start)
    metric = _metric(data, benchmark)
    with ExitStack() as stack:
        callbacks: list[TrainerCallback] = [FrozenGuard(), StopEarly(run.early_stop)]
        if metric is not None:
            callbacks.append(Evaluated())
        workers = stack.enter_context(Spared())
        stop = stack.enter_context(Stop())
        callbacks.append(stop)  # after Evaluated: it has the last word
        first_step = 0 if start is None else checkpoints.step_of(start)
        if state.is_main_process:
            progress = stack.enter_context(Progress(steps, "training the adapter", done=first_step))
            callbacks.append(Shown(run.output / "log.jsonl", progress))
            if "tensorboard" in run.report_to:
                callbacks.append(tensorboard(run.output / "tensorboard", first_step))
        trainer = AdapterTrainer(
            data,
            workers=workers,
            model=model,
            args=training_arguments(run, steps, model, metric),
            callbacks=callbacks,
            benchmark=benchmark,
        )
        trainer.pop_callback(PrinterCallback)  # it prints the log to stdout
        with errors_of_workers():
            trainer.train(resume_from_checkpoint=None if start is None else str(start))
        if trainer.state.global_step < steps:
            stop.leave(trainer.state.global_step)
    state.wait_for_everyone()
    last = checkpoints.newest(run.output / checkpoints.FOLDER)
    assert last is not None
    return checkpoints.best(last)


def _metric(data: TrainingData, benchmark: Benchmark | None) -> str | None:
    """The figure by which the best checkpoint is chosen; None without evaluation."""
    if data.validation is not None:
        return "eval_loss"
    return None if benchmark is None else f"eval_{NANO}"


def _is_done(last: Path, steps: int, run: RunConfig) -> bool:
    """Whether nothing is left to train."""
    state = checkpoints.state_of(last)
    return checkpoints.step_of(last) >= steps or is_out_of_patience(state, run.early_stop)
