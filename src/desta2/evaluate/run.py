"""Run the nano benchmark: the same items for the speech model, the cascade and the topline.

Predictions are journaled per system, so an evaluation that was stopped continues where it was. A clip is
heard once, whatever the number of questions about it. Not every system is asked everything: what words alone
tell is known from the attribute questions, and the topline neither describes nor chooses, since that would
only read the seed again. Questions whose answers are of a similar length share a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from enum import IntEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from desta2.data.audio import load_audio
from desta2.data.seed import seed_clip
from desta2.errors import InputError
from desta2.evaluate.rules import ASKED, SYSTEMS
from desta2.evaluate.tasks import Item, nano_items
from desta2.journal import Journal
from desta2.nano.language import ASPECT
from desta2.progress import Progress
from desta2.records import Clip, Prediction, read_records, resolve_audio

if TYPE_CHECKING:
    from desta2.model.hearing import Heard
    from desta2.model.modeling import Desta2Model
    from desta2.model.sampling import ChatOptions

_CLIPS = 32  # heard at a time
MAX_NEW_TOKENS = 48
LONGEST = 160
"""New tokens of answers that hold all the words, or a sentence for each attribute; `MAX_NEW_TOKENS` else."""
_LONG = (
    *("describe/", "kind/transcribe", "kind/count", "kind/steps", "kind/rate"),
    *("combination/transcribe", "combination/count", "combination/steps"),
)
T = TypeVar("T")


class _Manner(IntEnum):
    """How an item is answered; a batch has one manner."""

    SHORT = 0
    LONG = 1
    FOLLOW_UP = 2
    CHOICE = 3


def run_nano(
    model: Desta2Model, manifest: Path, folder: Path, batch_size: int = 64
) -> dict[str, list[Prediction]]:
    """Answer every item with every system.

    Args:
        model: the speech model.
        manifest: annotated clips with their texts.
        folder: gets `<system>.jsonl` and `transcripts.jsonl`.
        batch_size: conversations answered at a time.

    Returns:
        predictions by system, and under "transcripts" what Whisper heard (label: what was said).

    Raises:
        InputError: no clips, or none with known attributes.
    """
    clips = list(read_records(manifest, Clip))
    if not nano_items(clips):
        raise InputError(f"{manifest}: no clip has attributes to ask about; run 'desta2 annotate' first")
    folder.mkdir(parents=True, exist_ok=True)
    outputs = {name: folder / f"{name}.jsonl" for name in (*SYSTEMS, "transcripts")}
    with ExitStack() as stack:
        journals = {name: stack.enter_context(Journal(path)) for name, path in outputs.items()}
        progress = stack.enter_context(Progress(len(clips), f"evaluating {len(clips)} clips"))
        for part in _batches(clips, _CLIPS):
            _evaluate(model, part, manifest, journals, batch_size)
            progress.advance(len(part))
    return {name: list(read_records(path, Prediction)) for name, path in outputs.items()}


def _evaluate(
    model: Desta2Model,
    clips: Sequence[Clip],
    manifest: Path,
    journals: Mapping[str, Journal],
    batch_size: int,
) -> None:
    """Answer what is still open about some clips."""
    items = nano_items(clips)
    wanted = {
        name: [i for i in items if _applies(name, i) and i.id not in journals[name].done] for name in SYSTEMS
    }
    unheard = [clip for clip in clips if clip.id not in journals["transcripts"].done]
    if not unheard and not any(wanted.values()):
        return
    heard = model.hear(
        [load_audio(resolve_audio(clip, manifest, None), start=clip.start, end=clip.end) for clip in clips]
    )
    by_clip = {clip.id: (clip, ears) for clip, ears in zip(clips, heard, strict=True)}
    for clip in unheard:
        words = Item(clip.id, clip.id, "transcript", "", "", clip.text or "")
        said, noise = by_clip[clip.id][1].transcript, clip.attributes.get("noise_level", "")
        journals["transcripts"].append(_prediction(clip, words, said, noise_level=noise))
    for name, rows in wanted.items():
        for manner, own in groupby(sorted(rows, key=_manner), key=_manner):
            for batch in _batches(_questions(own), batch_size):
                first = [(items[0], *by_clip[items[0].clip]) for items in batch]
                for items, (response, more) in zip(batch, _answers(model, name, manner, first), strict=True):
                    for item in items:
                        journals[name].append(_prediction(by_clip[item.clip][0], item, response, **more))


def _questions(items: Iterable[Item]) -> list[list[Item]]:
    """Items that are one question: a description answers for every attribute."""
    found: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        chosen = item.key if item.task.startswith("forced/") else ""
        found.setdefault((item.clip, item.first, item.instruction, chosen), []).append(item)
    return list(found.values())


def _manner(item: Item) -> _Manner:
    if item.task.startswith("forced/"):
        return _Manner.CHOICE
    if item.first:
        return _Manner.FOLLOW_UP
    return _Manner.LONG if item.task.startswith(_LONG) else _Manner.SHORT


def _answers(
    model: Desta2Model, system: str, manner: _Manner, items: Sequence[tuple[Item, Clip, Heard]]
) -> list[tuple[str, dict[str, str]]]:
    """Responses to some items of one manner, and what else is to be kept with them."""
    turns = [conversation(system, *row) for row in items]
    if manner is _Manner.CHOICE:
        return [(chosen, {}) for chosen in _choose(model, turns, [item.key for item, *_ in items])]
    hears, longest = system == "speech", LONGEST if manner is _Manner.LONG else MAX_NEW_TOKENS
    options: ChatOptions = {"max_new_tokens": longest, "do_sample": False, "use_audio": hears}
    said = [output.text for output in model.chat(turns, **options)]
    if manner is not _Manner.FOLLOW_UP:
        return [(one, {}) for one in said]
    turns = [conversation(system, *row, answer=one) for row, one in zip(items, said, strict=True)]
    more = [{"first": item.first, "first_response": one} for (item, *_), one in zip(items, said, strict=True)]
    return [(output.text, own) for output, own in zip(model.chat(turns, **options), more, strict=True)]


def _choose(model: Desta2Model, turns: Sequence[list[dict[str, Any]]], keys: Sequence[str]) -> list[str]:
    """For each question the sentence that states a value of its attribute and that the model likes best."""
    from desta2.model.choose import log_likelihoods

    sentences = [[ASPECT[key].say(option) for option in ASPECT[key].options] for key in keys]
    found = log_likelihoods(model, turns, sentences)
    return [said[own.index(max(own))] for said, own in zip(sentences, found, strict=True)]


def _applies(system: str, item: Item) -> bool:
    return system in ASKED[item.task.partition("/")[0]]


def conversation(
    system: str, item: Item, clip: Clip, heard: Heard, answer: str | None = None
) -> list[dict[str, Any]]:
    """An item as one of the systems gets it.

    Args:
        system: one of `SYSTEMS`.
        item: what is asked.
        clip: about which.
        heard: the clip as the model hears it.
        answer: of the system to the item's `first` question; None asks that question.
    """
    part: dict[str, Any] = {"type": "audio", "audio": heard}
    if system == "topline":
        part = {"type": "audio", "audio": None, "text": seed_clip(clip).seed}
    question = item.first or item.instruction
    turns: list[dict[str, Any]] = [{"role": "user", "content": [part, {"type": "text", "text": question}]}]
    if item.first and answer is not None:
        turns += [{"role": "assistant", "content": answer}, {"role": "user", "content": item.instruction}]
    return turns


def _prediction(clip: Clip, item: Item, response: str, **more: str) -> Prediction:
    return Prediction.model_validate(
        {
            "id": item.id,
            "task": item.task,
            "instruction": item.instruction,
            "response": response,
            "label": item.label,
            "audio": clip.audio,
            "clip": clip.id,
            "key": item.key,
            "speaker": clip.speaker or clip.id,
            "phrase": item.phrase,
            **more,
        }
    )


def _batches(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))
