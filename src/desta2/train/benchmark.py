"""Answers during training: how often a model names an attribute of a clip rightly, on a few clips.

The loss on kept pairs tells how well a model describes as the LLM would; only answers tell whether it hears.
A handful of clips keeps that cheap and gives wide intervals: fit to watch a curve, not to report. The nano
benchmark itself (`desta2 evaluate nano`) has intervals and systems to compare with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from desta2.data.audio import load_audio
from desta2.evaluate.answers import is_right
from desta2.evaluate.run import MAX_NEW_TOKENS, conversation
from desta2.evaluate.tasks import nano_items
from desta2.records import Clip, read_records, resolve_audio

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

NANO = "nano_accuracy"
Benchmark = Callable[["Desta2Model"], dict[str, float]]
"""Model → figures by name; higher is better."""

_BATCH = 32


def nano_benchmark(folder: Path, clips: int) -> Benchmark:
    """Accuracy of attribute questions about held-out nano clips, the mean over attributes.

    Args:
        folder: gets the clips, if they are not there.
        clips: how many.

    Raises:
        InputError: they cannot be synthesised here.
    """
    manifest = _annotated(folder, clips)
    chosen = {clip.id: clip for clip in read_records(manifest, Clip)}
    items = [item for item in nano_items(chosen.values()) if item.task.startswith("attribute/")]

    def accuracy(model: Desta2Model) -> dict[str, float]:
        names = list(chosen)
        right: dict[str, list[bool]] = defaultdict(list)
        for first in range(0, len(names), _BATCH):
            part = names[first : first + _BATCH]
            audio = [load_audio(resolve_audio(chosen[name], manifest, None)) for name in part]
            heard = dict(zip(part, model.hear(audio), strict=True))
            asked = [item for item in items if item.clip in heard]
            turns = [conversation("speech", item, chosen[item.clip], heard[item.clip]) for item in asked]
            answers = model.chat(turns, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
            for item, answer in zip(asked, answers, strict=True):
                right[item.key].append(is_right(item.key, item.label, answer.text))
        return {NANO: mean(mean(hits) for hits in right.values())}

    return accuracy


def _annotated(folder: Path, clips: int) -> Path:
    from desta2.data.annotate import annotate
    from desta2.data.attributes import load_scheme
    from desta2.evaluate.nano import test_corpus
    from desta2.nano.world import SCHEME

    manifest = folder / "corpus" / "clips.annotated.jsonl"
    if not manifest.exists():
        annotate(test_corpus(folder / "corpus", clips, 0), manifest, scheme=load_scheme(SCHEME))
    return manifest
