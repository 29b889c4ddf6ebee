"""Pairs → token ids and labels.

Prompts are built by the function that chat uses; the response follows with the token that ends a turn.
Labels stand on the response and that token alone. Responses are never cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from desta2.errors import RecordError
from desta2.records import Clip, Pair, read_records, resolve_audio

if TYPE_CHECKING:
    from desta2.model.processing import Desta2Processor

IGNORED = -100


@dataclass(frozen=True)
class ClipRef:
    """Where a clip is: a path, cut from `start` to `end` seconds where they are given."""

    path: str
    start: float | None = None
    end: float | None = None


ClippedPair = tuple[Pair, list[tuple[ClipRef, str | None]]]
"""A pair, and its clips in order, each with its transcript if the pair gives one."""


@dataclass(frozen=True)
class Example:
    """One training example.

    Attributes:
        id: of the pair.
        input_ids: prompt, then response.
        labels: as long as `input_ids`; −100 on the prompt.
        slots: first position of each clip.
        clips: the clips, in the order of `slots`.
    """

    id: str
    input_ids: list[int]
    labels: list[int]
    slots: list[int]
    clips: list[ClipRef]


def pair_clips(pair: Pair, folder: Path, audio_root: Path | None) -> list[tuple[ClipRef, str | None]]:
    """The clips of a pair in order, each with its transcript if the pair gives one.

    Relative paths are taken from `audio_root` if the file is there, else from `folder`, that of the pairs.

    Raises:
        RecordError: there is no clip, or an entry of `audios` is no clip.
        AudioError: the file of a clip is not there.
    """
    found = []
    for message in pair.messages:
        for entry in message.get("audios") or []:
            clip = _clip(entry, pair.id)
            path = str(resolve_audio(clip, folder, audio_root))
            found.append((ClipRef(path, clip.start, clip.end), entry.get("text")))
    if not found:
        raise RecordError(f"pair {pair.id!r} has no clip: 'audios' is missing or empty in every message")
    return found


def _clip(entry: Any, pair_id: str) -> Clip:
    """An entry of `audios` as a clip, its values checked; it takes the id of the pair, for messages."""
    try:
        given = {key: entry.get(key) for key in ("audio", "start", "end")}
        return Clip.model_validate({"id": pair_id, **given})
    except (AttributeError, ValidationError):
        raise RecordError(
            f"pair {pair_id!r}: 'audios' must hold objects with a path as 'audio', and 'start' and 'end' in "
            f"seconds for a part of it, got {entry!r}"
        ) from None


def read_pairs(sources: Sequence[Path], audio_root: Path | None) -> list[ClippedPair]:
    """All pairs of some files or folders of parts, each with its clips.

    Raises:
        InputError: as `read_records`.
        RecordError, AudioError: as `pair_clips`.
    """
    pairs = []
    for source in sources:
        folder = source if source.is_dir() else source.parent
        for pair in read_records(source, Pair):
            pairs.append((pair, pair_clips(pair, folder, audio_root)))
    return pairs


def make_example(
    pair: Pair, clips: Sequence[ClipRef], transcripts: Sequence[str], processor: Desta2Processor
) -> Example:
    """Tokenise one pair."""
    from desta2.model.prompt import response_ids

    prompt = processor.prompt(pair.messages, transcripts)
    response = response_ids(pair.response, processor.tokenizer)
    return Example(
        id=pair.id,
        input_ids=prompt.input_ids + response,
        labels=[IGNORED] * len(prompt.input_ids) + response,
        slots=[start for start, _ in prompt.audio_slots],
        clips=list(clips),
    )


class PairDataset:
    """Examples with what the model hears, for torch's DataLoader.

    Args:
        examples: tokenised pairs.
        hear: clip → what `collate` stacks: its taps (n_taps, T, d) or its features (n_mels, frames).
    """

    def __init__(self, examples: Sequence[Example], hear: Callable[[ClipRef], Any]) -> None:
        self.examples = examples
        self.hear = hear

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Example, list[Any]]:
        example = self.examples[index]
        return example, [self.hear(clip) for clip in example.clips]
