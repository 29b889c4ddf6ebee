"""Clips of several speakers: the turns of a dialogue one after another, with their times as segments.

Trade-off: turns that a corpus has in files of their own are joined without a pause, because the corpora do
not tell the pauses (the times are right, the rhythm between the turns is not). A dialogue longer than the
limit becomes several clips, cut between turns; a single turn that is longer stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from desta2.data.audio import SAMPLE_RATE, load_audio
from desta2.data.sources.base import Reading
from desta2.errors import AudioError
from desta2.records import Clip


@dataclass(frozen=True)
class Turn:
    """One turn of a dialogue.

    Attributes:
        audio: the file of the turn.
        text: what is said.
        speaker: who says it.
        attributes: labels of the turn.
        start: seconds from the beginning of the dialogue's recording, where it has one.
        end: likewise.
    """

    audio: Path
    text: str | None = None
    speaker: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    start: float = 0.0
    end: float = 0.0


def joined_clips(dialogue_id: str, turns: Sequence[Turn], reading: Reading, **common: Any) -> Iterator[Clip]:
    """Clips of turns whose files are put one after another into files of our own, 16 kHz mono wav.

    Args:
        dialogue_id: the ids of the clips begin with it.
        turns: in the order of the dialogue; one that cannot be read is reported and its clip ends before it.
        reading: of this run; `options.max_seconds` is the longest clip.
        common: fields that all clips get.
    """
    group: list[tuple[int, Turn, np.ndarray]] = []
    for number, turn in enumerate(turns):
        try:
            samples: np.ndarray | None = load_audio(turn.audio)
        except AudioError as error:
            reading.bad(f"{dialogue_id}, turn {number}", error)
            samples = None
        length = sum(len(s) for *_, s in group) + (0 if samples is None else len(samples))
        if group and (samples is None or length > reading.options.max_seconds * SAMPLE_RATE):
            yield from _joined(dialogue_id, group, reading, common)
            group = []
        if samples is not None:
            group.append((number, turn, samples))
    if group:
        yield from _joined(dialogue_id, group, reading, common)


def _joined(
    dialogue_id: str, group: list[tuple[int, Turn, np.ndarray]], reading: Reading, common: dict[str, Any]
) -> Iterator[Clip]:
    clip_id = f"{dialogue_id}-{group[0][0]}-{group[-1][0]}"
    segments, position = [], 0
    for _, turn, samples in group:
        segments.append(_segment(turn, position / SAMPLE_RATE, (position + len(samples)) / SAMPLE_RATE))
        position += len(samples)
    joined = np.clip(np.concatenate([samples for *_, samples in group]), -1.0, 1.0)
    path = reading.keep_audio(clip_id, ".wav", lambda: joined)
    seconds = round(position / SAMPLE_RATE, 3)
    if clip := reading.clip(
        clip_id, id=clip_id, audio=str(path), duration=seconds, segments=segments, **common
    ):
        yield clip


def cut_clips(
    dialogue_id: str, recording: Path, turns: Sequence[Turn], reading: Reading, **common: Any
) -> Iterator[Clip]:
    """Clips that are cut out of the recording of a whole dialogue, by the `start` and `end` of its turns.

    Turns may overlap, as people do; the pauses between them are in the clip.
    """
    ordered = sorted(turns, key=lambda turn: (turn.start, turn.end))
    group: list[Turn] = []
    for turn in [*ordered, None]:
        begin = group[0].start if group else 0.0
        if group and (
            turn is None or max(turn.end, *(t.end for t in group)) - begin > reading.options.max_seconds
        ):
            end = max(t.end for t in group)
            clip_id = f"{dialogue_id}-{begin:.2f}-{end:.2f}"
            segments = [_segment(t, t.start - begin, t.end - begin) for t in group]
            values = {"audio": str(recording), "start": begin, "end": end, "duration": round(end - begin, 3)}
            if clip := reading.clip(clip_id, id=clip_id, segments=segments, **values, **common):
                yield clip
            group = []
        if turn is not None:
            group.append(turn)


def _segment(turn: Turn, start: float, end: float) -> dict[str, Any]:
    segment = {"start": round(start, 3), "end": round(end, 3), "text": turn.text, "speaker": turn.speaker}
    return {k: v for k, v in (segment | {"attributes": turn.attributes}).items() if v is not None and v != {}}
