"""The annotate stage: clips in, the same clips with measured and classified attributes and their words out.

Trade-off: whole processes side by side, each with its own one-thread sessions, as `pool` says. Results are
written in the order of the clips as they come, so that a run that is stopped goes on where it was. Models
(the text by Whisper, classifiers) run in this process, on the accelerator, before and behind the measuring
processes; each opens the audio for itself, which costs little beside what it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from desta2.data.attributes import (
    ESTIMATED,
    SAMPLE_RATE,
    Scheme,
    describe,
    f0_median_hz,
    key_of,
    load_scheme,
    loudness_lufs,
    scheme_for,
)
from desta2.data.audio import load_audio
from desta2.data.estimates import mark_estimates
from desta2.data.manifests import relocate_audio
from desta2.data.models import Models
from desta2.data.pool import cores, in_order
from desta2.data.snr import wada_snr_db
from desta2.data.speed import speaking_rate, spoken_text, syllables_of
from desta2.data.vad import seconds_of, speech_spans
from desta2.errors import AudioError
from desta2.journal import Journal
from desta2.records import BadLine, Clip, read_records, resolve_audio

logger = logging.getLogger(__name__)

_SNR, _BLIND_SNR = "snr_db", f"snr_db{ESTIMATED}"
_SHORT = 5 * SAMPLE_RATE  # a clip up to here is searched whole for a voice: it costs little, and finds all
_DECIMALS = {"f0_median_hz": 1, "loudness_lufs": 1, "syllables_per_s": 2, _BLIND_SNR: 1}


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
        a copy with `duration` (s), with `measured` (`f0_median_hz`, `loudness_lufs`, `syllables_per_s`, and
        `snr_db_estimated` where `snr_db` is not known; each left out where it cannot be measured) and with
        the words in `attributes`. Numbers that the clip has already are kept: a corpus that states them knows
        better. The speaking rate needs the transcript, of the clip or of all its segments, and its
        `language`. Words that come from an estimate are marked (`estimates`).
    """
    scheme = scheme or load_scheme()
    speech = cache(lambda: speech_spans(samples))  # found once, and only if something needs it
    measurements: dict[str, Callable[[], float | None]] = {
        "f0_median_hz": lambda: f0_median_hz(samples, speech() if len(samples) > _SHORT else ()),
        "loudness_lufs": lambda: loudness_lufs(samples),
        "syllables_per_s": lambda: _speed(clip, speech),
    }
    if _SNR not in clip.measured and _SNR not in _left_to_models(scheme):
        measurements[_BLIND_SNR] = lambda: wada_snr_db(samples)
    values = {key: measure() for key, measure in measurements.items() if key not in clip.measured}
    fresh = {key: round(value, _DECIMALS[key]) for key, value in values.items() if value is not None}
    duration = max(0.001, round(len(samples) / SAMPLE_RATE, 3))
    measured = clip.model_copy(update={"duration": duration, "measured": fresh | clip.measured})
    words = describe(measured, scheme)
    labelled = {key_of(key) for key, label in clip.attributes.items() if label.strip()}
    new = {a.key: words[a.name] for a in scheme.attributes if a.name in words and a.key not in labelled}
    judged = {
        a.key: {"by": "WADA-SNR"}
        for a in scheme.attributes
        if a.key in new and a.measured == _SNR and _BLIND_SNR in fresh
    }
    return mark_estimates(measured.model_copy(update={"attributes": clip.attributes | new}), judged)


def _speed(clip: Clip, speech: Callable[[], list[tuple[int, int]]]) -> float | None:
    """Syllables/s; where somebody speaks is looked for only where there is something to divide."""
    text = spoken_text(clip)
    syllables = None if text is None else syllables_of(text, clip.language)
    return None if syllables is None else speaking_rate(syllables, seconds_of(speech()))


def _left_to_models(scheme: Scheme) -> set[str | None]:
    """Numbers whose attributes the user lets a model judge."""
    return {attribute.measured for attribute in scheme.attributes if attribute.key in scheme.classifiers}


def annotate(
    clips_path: str | Path,
    out_path: str | Path,
    *,
    data_root: str | Path | None = None,
    processes: int | None = None,
    skip_bad: bool = False,
    scheme: Scheme | None = None,
    transcribe: str | None = None,
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
        scheme: attributes, their words and classifiers; by default `attributes.yaml` beside the clips, or
            else the shipped one.
        transcribe: hub id or folder of a Whisper, or "nano", that writes the text of clips without one.
        progress: called with the number of clips finished so far, those of earlier runs included.

    Raises:
        AudioError: a clip cannot be read; the message names clip and file. All clips before it are written.
        CheckpointError, ConfigError: a model cannot be loaded, or does not fit the scheme.
        RecordError: a line of `clips_path` is not a clip.
        RunError: a process died.
    """
    summary = Summary()
    manifest, out = Path(clips_path), Path(out_path)
    root = None if data_root is None else Path(data_root)
    scheme = scheme or scheme_for(manifest)
    work = partial(_measure_file, scheme=scheme, manifest=manifest, data_root=root)
    clips = read_records(manifest, Clip, skip_bad=skip_bad, bad=summary.bad_lines)
    with Journal(out) as journal:
        models = Models(scheme, transcribe, partial(_open, manifest=manifest, data_root=root))
        todo = models.write_texts(_without(clips, journal, summary))
        with closing(in_order(work, todo, processes or cores(), "annotating")) as measured:
            for result in models.classify(measured):
                if isinstance(result, Clip):
                    journal.append(relocate_audio(result, manifest, out, root))
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


def _measure_file(clip: Clip, *, scheme: Scheme, manifest: Path, data_root: Path | None) -> Clip | BadClip:
    try:
        return annotate_clip(clip, _open(clip, manifest, data_root), scheme)
    except AudioError as error:
        return BadClip(clip.id, str(error))


def _open(clip: Clip, manifest: Path, data_root: Path | None) -> NDArray[np.float32]:
    """The samples of a clip; AudioError names clip and file."""
    place = resolve_audio(clip, manifest, data_root)
    try:
        return load_audio(place, start=clip.start, end=clip.end)
    except AudioError as error:
        raise AudioError(f"clip {clip.id!r}: {error}") from error
