"""All nano weights from nothing, by one command: Whisper, LLM, the study's second LLM, and the adapter.

The Whisper and the LLM are trained side by side, since neither needs the other; the adapter needs both, and
the second LLM is trained beside it. The trade-off: one thread each, so two cores are busy nearly all the time
and more would not be; on an accelerator the two share it. Everything goes on where it was stopped.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desta2.nano.demo import BATCH_SIZE, answer_seeds, build_seeds, prompt_style
from desta2.nano.pool import Task, perform_all
from desta2.nano.recipe import adapter_config
from desta2.settings import keep_settings

if TYPE_CHECKING:
    from desta2.nano.asr import AsrRecipe
    from desta2.nano.llm import LlmRecipe

PARTS = ("whisper", "llm", "second-llm", "model")
_SECOND_STEPS = 3_000
_TRAINED = "trained"  # a file that says that the adapter is


def _asr() -> AsrRecipe:
    from desta2.nano.asr import AsrRecipe

    return AsrRecipe()


def _llm() -> LlmRecipe:
    from desta2.nano.llm import LlmRecipe

    return LlmRecipe()


def _second() -> LlmRecipe:
    recipe = _llm()
    return replace(recipe, seed=1, phrasing="notes", loop=replace(recipe.loop, steps=_SECOND_STEPS))


@dataclass(frozen=True)
class Scratch:
    """What is trained, and where.

    Attributes:
        folder: gets everything.
        asr, llm, second_llm: recipes; the second LLM writes notes, and need only describe.
        clips: that the adapter learns from.
        steps: of the adapter's training.
        seed: of its clips, its targets and its training.
    """

    folder: Path
    asr: AsrRecipe = field(default_factory=_asr)
    llm: LlmRecipe = field(default_factory=_llm)
    second_llm: LlmRecipe = field(default_factory=_second)
    clips: int = 10_000
    steps: int = 3_000
    seed: int = 2


def train_all(scratch: Scratch, processes: int = 2) -> Path:
    """Train everything; continue where an earlier call was stopped.

    Args:
        scratch: what and where.
        processes: trainings side by side, one thread each.

    Returns:
        the folder `weights`, with a folder for each of `PARTS`: the adapter in `model` finds the others
        beside it, wherever all of them are moved.

    Raises:
        InputError: the folder holds a training by other recipes.
        RunError: a process died.
    """
    settings = asdict(scratch)
    del settings["folder"]
    keep_settings(scratch.folder, json.loads(json.dumps(settings)))
    first: list[Task[Scratch]] = [WhisperTask(), LlmTask("llm"), SeedsTask()]
    perform_all(first, scratch, processes, "training the nano Whisper and LLM")
    second: list[Task[Scratch]] = [AdapterTask(), LlmTask("second-llm")]
    perform_all(second, scratch, processes, "training the nano adapter")
    return _collect(scratch)


@dataclass(frozen=True)
class WhisperTask:
    """The Whisper and its corpus."""

    name: str = "whisper"

    def is_done(self, setup: Scratch) -> bool:
        """Whether it is there."""
        return _is_saved(setup, "whisper")

    def perform(self, setup: Scratch) -> None:
        """See `train_asr`."""
        from desta2.nano.asr import train_asr

        train_asr(setup.folder / "whisper", setup.asr)


@dataclass(frozen=True)
class LlmTask:
    """The LLM, or the second one."""

    name: str

    def is_done(self, setup: Scratch) -> bool:
        """Whether it is there."""
        return _is_saved(setup, self.name)

    def perform(self, setup: Scratch) -> None:
        """See `train_llm`."""
        from desta2.nano.llm import train_llm

        train_llm(setup.folder / self.name, setup.llm if self.name == "llm" else setup.second_llm)


@dataclass(frozen=True)
class SeedsTask:
    """Clips for the adapter, up to their seed transcripts."""

    name: str = "seeds"

    def is_done(self, setup: Scratch) -> bool:
        """Whether they are there."""
        return (setup.folder / "adapter" / "seeds.jsonl").exists()

    def perform(self, setup: Scratch) -> None:
        """See `build_seeds`."""
        build_seeds(setup.folder / "adapter", setup.clips, setup.seed, processes=1)


@dataclass(frozen=True)
class AdapterTask:
    """What the LLM says of the seeds, and the adapter that learns it."""

    name: str = "adapter"

    def is_done(self, setup: Scratch) -> bool:
        """Whether it is trained."""
        return (setup.folder / "adapter" / _TRAINED).exists()

    def perform(self, setup: Scratch) -> None:
        """Self-generation, then training."""
        from desta2.data.backends import TransformersBackend
        from desta2.train.trainer import train

        folder, llm = setup.folder / "adapter", str((setup.folder / "llm" / "model").resolve())
        backend = TransformersBackend(llm, prompt_style(), batch_size=BATCH_SIZE)
        answer_seeds(folder / "seeds.jsonl", folder / "pairs", backend, setup.seed)
        config = adapter_config([folder / "pairs"], folder / "run", setup.steps, setup.seed)
        bases = {"llm": llm, "encoder": str((setup.folder / "whisper" / "model").resolve())}
        train(config.model_copy(update={"model": config.model.model_copy(update=bases)}))
        (folder / _TRAINED).touch()


def _is_saved(setup: Scratch, part: str) -> bool:
    """Whether a backbone is there: the tokenizer is saved last."""
    return (setup.folder / part / "model" / "tokenizer.json").exists()


def _collect(setup: Scratch) -> Path:
    """The four models side by side."""
    target = setup.folder / "weights"
    for part in PARTS:
        source = setup.folder / ("adapter/run/model" if part == "model" else f"{part}/model")
        shutil.copytree(source, target / part, dirs_exist_ok=True)
    path = target / "model" / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "llm_id": "../llm", "encoder_id": "../whisper"}, indent=2) + "\n")
    return target
