"""The annotate stage: clips in, the same clips with measured attributes and their words out.

Trade-off: whole processes side by side, each with its own one-thread sessions, as `pool` says. Results are
written in the order of the clips as they come, so that a run that is stopped goes on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from desta2.data.attributes import (
    SAMPLE_RATE,
    Scheme,
    describe,
    f0_median_hz,
    key_of,
    load_scheme,
    loudness_lufs,
    speaking_rate,
)
from desta2.data.audio import load_audio
from desta2.data.manifests import relocate_audio
from desta2.data.pool import cores, in_order
from desta2.data.vad import speech_seconds
from desta2.errors import AudioError
from desta2.journal import Journal
from desta2.records import BadLine, Clip, read_records, resolve_audio

logger = logging.getLogger(__name__)

_DECIMALS = {"f0_median_hz": 1, "loudness_lufs": 1, "syllables_per_s": 2}


@dataclass(frozen=True)
class BadClip:
    """A clip whose audio cannot be read; `reason` names clip, file and cause."""

    id: str
    reason: str


@dataclass
class Summary:
    """What a run of `annotate` did."""

    annotated: int = 0
    already_done: int = 0
    bad_clips: list[BadClip] = field(default_factory=list)
    bad_lines: list[BadLine] = field(default_factory=list)


def annotate_clip(clip: Clip, samples: NDArray[np.float32], scheme: Scheme | None = None) -> Clip:
    """Measure a clip and put its attributes into words.

    Args:
        clip: its labels are kept as they are: they win over what is measured.
        samples: the clip's audio, float32 (samples,) at 16 kHz.
        scheme: attributes and their words; the shipped one by default.

    Returns:
        a copy with `duration` (s), with `measured` (`f0_median_hz`, `loudness_lufs`, `syllables_per_s`, each
        left out where it cannot be measured) and with the words in `attributes`. Numbers that the clip has
        already are kept: a corpus that states them knows better. The speaking rate needs the transcript, of
        the clip or of all its segments, and an English `language`.
    """
    scheme = scheme or load_scheme()
    text = clip.text if clip.text is not None else _segments_text(clip)
    measurements: dict[str, Callable[[], float | None]] = {
        "f0_median_hz": lambda: f0_median_hz(samples),
        "loudness_lufs": lambda: loudness_lufs(samples),
        "syllables_per_s": lambda: speaking_rate(text, speech_seconds(samples), clip.language),
    }
    values = {key: measure() for key, measure in measurements.items() if key not in clip.measured}
    fresh = {key: round(value, _DECIMALS[key]) for key, value in values.items() if value is not None}
    duration = max(0.001, round(len(samples) / SAMPLE_RATE, 3))
    measured = clip.model_copy(update={"duration": duration, "measured": fresh | clip.measured})
    words = describe(measured, scheme)
    labelled = {key_of(key) for key, label in clip.attributes.items() if label.strip()}
    new = {a.key: words[a.name] for a in scheme.attributes if a.name in words and a.key not in labelled}
    return measured.model_copy(update={"attributes": clip.attributes | new})


def annotate(
    clips_path: str | Path,
    out_path: str | Path,
    *,
    data_root: str | Path | None = None,
    processes: int | None = None,
    skip_bad: bool = False,
    scheme: Scheme | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Annotate a file of clips, in its order; a second run continues where the first one stopped.

    Args:
        clips_path: clips, see `read_records`.
        out_path: where the annotated clips go; relative audio paths are rewritten for its folder.
        data_root: where relative audio paths are looked for first, see `resolve_audio`.
        processes: how many work at a time, all cores by default; 1 works in this process. The result is the
            same.
        skip_bad: leave out lines and audio that cannot be read and list them in the summary, instead of
            raising.
        scheme: attributes and their words; the shipped one by default.
        progress: called with the number of clips finished so far, those of earlier runs included.

    Raises:
        AudioError: a clip cannot be read; the message names clip and file. All clips before it are written.
        RecordError: a line of `clips_path` is not a clip.
        RunError: a process died.
    """
    summary = Summary()
    manifest, out = Path(clips_path), Path(out_path)
    work = partial(
        _annotate_file, scheme=scheme or load_scheme(), manifest=manifest, out=out,
        data_root=None if data_root is None else Path(data_root),
    )  # fmt: skip
    clips = read_records(manifest, Clip, skip_bad=skip_bad, bad=summary.bad_lines)
    with (
        Journal(out) as journal,
        closing(
            in_order(work, _without(clips, journal, summary), processes or cores(), "annotating")
        ) as results,
    ):
        for result in results:
            if isinstance(result, Clip):
                journal.append(result)
                summary.annotated += 1
            elif skip_bad:
                summary.bad_clips.append(result)
                logger.warning("left out: %s", result.reason)
            else:
                raise AudioError(result.reason)
            if progress is not None:
                progress(summary.already_done + summary.annotated + len(summary.bad_clips))
    return summary


def _without(clips: Iterable[Clip], journal: Journal, summary: Summary) -> Iterator[Clip]:
    for clip in clips:
        if clip.id in journal.done:
            summary.already_done += 1
        else:
            yield clip


def _annotate_file(
    clip: Clip, *, scheme: Scheme, manifest: Path, out: Path, data_root: Path | None
) -> Clip | BadClip:
    try:
        place = resolve_audio(clip, manifest, data_root)
    except AudioError as error:
        return BadClip(clip.id, str(error))
    try:
        samples = load_audio(place, start=clip.start, end=clip.end)
    except AudioError as error:
        return BadClip(clip.id, f"clip {clip.id!r}: {error}")
    return annotate_clip(relocate_audio(clip, manifest, out, data_root), samples, scheme)


def _segments_text(clip: Clip) -> str | None:
    texts = [segment.text for segment in clip.segments or ()]
    known = [text for text in texts if text is not None]
    return " ".join(known) if known and len(known) == len(texts) else None
