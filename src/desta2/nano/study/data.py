"""The study's data: clips in parts of equal size, and for each part the targets that runs ask for.

A run trains on a row of whole parts, so that runs share clips, seeds and answers, parts are made side by
side, and each is resumed by itself. Every part is a corpus of its own with its own seed. The trade-off:
amounts of data are multiples of a part.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from desta2.data.backends import Backend, TransformersBackend
from desta2.model.checkpoint import resolve_base
from desta2.nano import base_id
from desta2.nano.demo import BATCH_SIZE, answer_seeds, build_seeds, prompt_style
from desta2.nano.study.captions import CaptionBackend
from desta2.nano.study.plan import Targets
from desta2.nano.world import make_corpus

CORPUS_SEED = 1000
"""Of part 0; no corpus of the demo or of the shipped weights has such a seed."""


@dataclass(frozen=True)
class Bases:
    """The frozen models.

    Attributes:
        llm: folder, hub id or "nano": the backbone, whose own answers are the targets "self".
        encoder: likewise, the Whisper.
        second_llm: likewise, an LLM of another phrasing and seed, whose answers are the targets "second".
    """

    llm: str = "nano"
    encoder: str = "nano"
    second_llm: str = "nano"


def part_folder(study: Path, number: int) -> Path:
    """Where a part is: corpus, seeds, and a folder of pairs for each set of targets."""
    return study / "data" / f"{number:03d}"


def make_part(study: Path, number: int, clips: int) -> Path:
    """Clips of a part up to their seeds, in this process; resumable.

    Returns:
        the file of seeds.
    """
    return build_seeds(part_folder(study, number), clips, CORPUS_SEED + number, processes=1)


def answer_part(study: Path, number: int, targets: Targets, bases: Bases) -> Path:
    """Pairs of a part whose seeds are there; resumable.

    Returns:
        the folder of pairs.
    """
    folder = part_folder(study, number)
    answer_seeds(folder / "seeds.jsonl", folder / targets, _backend(targets, bases), CORPUS_SEED + number)
    return folder / targets


def pairs_of(study: Path, parts: Sequence[int], targets: Targets) -> list[Path]:
    """The folders of pairs of some parts."""
    return [part_folder(study, number) / targets for number in parts]


def _backend(targets: Targets, bases: Bases) -> Backend:
    if targets == "captions":
        return CaptionBackend(prompt_style())
    llm = bases.llm if targets == "self" else base_id("second-llm", bases.second_llm)
    return TransformersBackend(llm, prompt_style(), batch_size=BATCH_SIZE)


def make_test(study: Path, clips: int) -> Path:
    """Clips of the test split for all evaluations of a kind; made once.

    Returns:
        their folder.
    """
    folder = study / f"test-{clips}"
    if not (folder / "clips.jsonl").exists():
        make_corpus(clips, folder, "test", CORPUS_SEED, processes=1)
    return folder


def silent_whisper(study: Path, encoder: str) -> Path:
    """A copy of a Whisper that hears as before and writes nothing: for models without a transcript channel.

    Its generation config forbids every token but the end. Weights and taps are the same, so is all code.
    """
    from transformers import GenerationConfig, WhisperConfig

    source = Path(resolve_base(base_id("whisper", encoder), None))
    folder = study / "silent-whisper"
    if folder.exists():
        return folder
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    config = GenerationConfig.from_pretrained(temporary)
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    size = WhisperConfig.from_pretrained(temporary).vocab_size
    config.suppress_tokens = [token for token in range(size) if token not in ends]
    config.begin_suppress_tokens = None
    config.save_pretrained(temporary)
    temporary.rename(folder)
    return folder
