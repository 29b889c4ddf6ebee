"""Run the nano benchmark: the same items for the speech model, the cascade and the topline.

Predictions are journaled per system, so an evaluation that was stopped continues where it was. A clip is
heard once, whatever the number of questions about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from desta2.data.audio import load_audio
from desta2.data.seed import seed_clip
from desta2.errors import InputError
from desta2.evaluate.score import SYSTEMS
from desta2.evaluate.tasks import Item, nano_items
from desta2.journal import Journal
from desta2.progress import Progress
from desta2.records import Clip, Prediction, read_records, resolve_audio

if TYPE_CHECKING:
    from desta2.model.hearing import Heard
    from desta2.model.modeling import Desta2Model

_CLIPS = 32  # heard at a time
MAX_NEW_TOKENS = 48
T = TypeVar("T")


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
        journals["transcripts"].append(_prediction(clip, words, by_clip[clip.id][1].transcript))
    for name, rows in wanted.items():
        for batch in _batches(rows, batch_size):
            conversations = [conversation(name, item, *by_clip[item.clip]) for item in batch]
            outputs = model.chat(
                conversations, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, use_audio=name == "speech"
            )
            for item, output in zip(batch, outputs, strict=True):
                journals[name].append(_prediction(by_clip[item.clip][0], item, output.text))


def _applies(system: str, item: Item) -> bool:
    """The cascade is not asked for formats: without hearing it writes them as well as with text."""
    return system != "cascade" or item.task.startswith("attribute/")


def conversation(system: str, item: Item, clip: Clip, heard: Heard) -> list[dict[str, Any]]:
    """An item as one of the systems gets it."""
    part: dict[str, Any] = {"type": "audio", "audio": heard}
    if system == "topline":
        part = {"type": "audio", "audio": None, "text": seed_clip(clip).seed}
    return [{"role": "user", "content": [part, {"type": "text", "text": item.instruction}]}]


def _prediction(clip: Clip, item: Item, response: str) -> Prediction:
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
        }
    )


def _batches(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (rows[first : first + size] for first in range(0, len(rows), size))
