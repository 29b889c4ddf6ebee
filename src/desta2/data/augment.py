"""The augment stage: clips in, the same clips and noisy and reverberant copies of them out.

Trade-off: what is drawn for a clip follows from its id (see `disturb`), so the result is the same for any
order of the clips and any number of processes, and a run that is stopped goes on where it was. The copies are
files of their own, 16-bit wav: they take disk, but every later stage, and everybody's ears, can open them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from desta2.data.annotate import BadClip
from desta2.data.attributes import Scheme, scheme_for
from desta2.data.audio import load_audio, write_wav
from desta2.data.disturb import Recipe, augment_clip, copies_of
from desta2.data.manifests import relocate_audio
from desta2.data.pool import cores, in_order
from desta2.data.scenes import recordings
from desta2.data.sources.stage import portable
from desta2.data.sources.store import AudioStore, audio_folder_of
from desta2.data.vad import speech_spans
from desta2.errors import AudioError, RunError
from desta2.journal import Journal
from desta2.records import BadLine, Clip, read_records, resolve_audio
from desta2.settings import keep_settings

logger = logging.getLogger(__name__)


@dataclass
class Summary:
    """What a run of `augment` did.

    Attributes:
        written: records written now, those of unchanged clips included.
        already_done: clips whose records were all there before.
        without_speech: copies that were to get noise but have no speech to measure it against.
        bad_clips: clips that cannot be read.
        bad_lines: lines that are no clips.
    """

    written: int = 0
    already_done: int = 0
    without_speech: int = 0
    bad_clips: list[BadClip] = field(default_factory=list)
    bad_lines: list[BadLine] = field(default_factory=list)


@dataclass(frozen=True)
class _Done:
    """All records of one clip."""

    clips: list[Clip]
    without_speech: int


def augment(
    clips_path: str | Path,
    out_path: str | Path,
    *,
    noise: str | Path | None = None,
    rirs: str | Path | None = None,
    noise_probability: float = 0.5,
    reverb_probability: float = 0.5,
    snr_db: tuple[float, float] = (0.0, 30.0),
    copies: int = 1,
    originals: bool = True,
    seed: int = 0,
    audio_folder: str | Path | None = None,
    data_root: str | Path | None = None,
    processes: int | None = None,
    skip_bad: bool = False,
    scheme: Scheme | None = None,
    progress: Callable[[int], None] | None = None,
) -> Summary:
    """Add noise and rooms to clips, in their order; a second run continues where the first one stopped.

    Goes before `annotate`, which measures what is heard: numbers that the change makes wrong (loudness) and
    labels of noise and reverberation are taken out of the copies.

    Args:
        clips_path: clips, see `read_records`.
        out_path: where the records go; relative audio paths are rewritten for its folder.
        noise: folder of noise recordings; white, pink and brown noise is made by default.
        rirs: folder of impulse responses (several channels are averaged); rooms are simulated by default.
        noise_probability: of noise, for each copy. A copy that is to get neither noise nor room is not made.
        reverb_probability: of a room, for each copy.
        snr_db: lowest and highest signal-to-noise ratio, drawn evenly.
        copies: drawn for each clip; their ids are the clip's with "+noise1", "+reverb1" or "+reverb+noise1".
        originals: whether the clips themselves are written too; if not, those are that have no copy.
        seed: another seed draws other noises and rooms.
        audio_folder: where the copies' audio goes, 16-bit wav; "NAME_audio" beside the output by default. A
            copy that would clip is scaled as a whole.
        data_root: where relative audio paths are looked for first, see `resolve_audio`.
        processes: how many work at a time, all cores by default.
        skip_bad: leave out lines and audio that cannot be read and list them in the summary, instead of
            raising.
        scheme: attributes and their words, to know the labels of noise and reverberation; by default
            `attributes.yaml` beside the clips, or else the shipped one.
        progress: called with the number of clips finished so far, those of earlier runs included.

    Raises:
        InputError: an impossible value, a folder without audio, or an output begun with other values.
        AudioError: a clip or recording cannot be read; the message names it.
        RecordError: a line of `clips_path` is not a clip.
        RunError: the disk refuses, or a process died.
    """
    recipe = Recipe(
        _folder(noise), _folder(rirs), noise_probability, reverb_probability, snr_db, copies, originals, seed
    )
    manifest, out = Path(clips_path), Path(out_path)
    audio = Path(audio_folder) if audio_folder is not None else audio_folder_of(out)
    summary = Summary()
    clips = read_records(manifest, Clip, skip_bad=skip_bad, bad=summary.bad_lines)
    keep_settings(audio, _settings(recipe))
    work = partial(
        _augment_clip, recipe=recipe, scheme=scheme or scheme_for(manifest), store=AudioStore(audio),
        manifest=manifest, out=out, data_root=None if data_root is None else Path(data_root),
    )  # fmt: skip
    with (
        Journal(out) as journal,
        closing(
            in_order(work, _without(clips, recipe, journal, summary), processes or cores(), "augmenting")
        ) as results,
    ):
        seen = 0
        for seen, result in enumerate(results, start=1):
            if isinstance(result, BadClip):
                _leave_out(result, skip_bad, summary)
            else:
                fresh = [clip for clip in result.clips if clip.id not in journal.done]
                for clip in fresh:
                    journal.append(clip)
                summary.written += len(fresh)
                summary.without_speech += result.without_speech
            if progress is not None:
                progress(summary.already_done + seen)
    return summary


def _folder(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _settings(recipe: Recipe) -> dict[str, object]:
    """What the copies depend on, for `keep_settings`; folders by what is in them, since they may move."""
    folders = {"noise": _contents(recipe.noise), "rirs": _contents(recipe.rirs)}
    return asdict(recipe) | {"snr_db": list(recipe.snr_db)} | folders


def _contents(folder: Path | None) -> str | None:
    if folder is None:
        return None
    names = [path.relative_to(folder).as_posix() for path in recordings(folder)]
    listing = "\n".join(names).encode("utf-8", "surrogateescape")
    return f"{len(names)} files ({hashlib.blake2b(listing, digest_size=6).hexdigest()})"


def _without(clips: Iterable[Clip], recipe: Recipe, journal: Journal, summary: Summary) -> Iterator[Clip]:
    for clip in clips:
        ids = [copy.id_of(clip) for copy in copies_of(clip, recipe)]
        if recipe.originals or not ids:
            ids.append(clip.id)
        if all(each in journal.done for each in ids):
            summary.already_done += 1
        else:
            yield clip


def _leave_out(bad: BadClip, skip_bad: bool, summary: Summary) -> None:
    if not skip_bad:
        raise AudioError(bad.reason)
    summary.bad_clips.append(bad)
    logger.warning("left out: %s", bad.reason)


def _augment_clip(
    clip: Clip,
    *,
    recipe: Recipe,
    scheme: Scheme,
    store: AudioStore,
    manifest: Path,
    out: Path,
    data_root: Path | None,
) -> _Done | BadClip:
    """All records of a clip, with the audio of its copies written."""
    copies, made, without_speech = copies_of(clip, recipe), [], 0
    if copies:
        try:
            place = resolve_audio(clip, manifest, data_root)
        except AudioError as error:
            return BadClip(clip.id, str(error))
        try:
            samples = load_audio(place, start=clip.start, end=clip.end)
            active = _active(samples)
            possible = [copy for copy in copies if copy.snr_db is None or active.any()]
            without_speech = len(copies) - len(possible)
            for copy in possible:
                record, changed = augment_clip(clip, copy, samples, active, recipe, scheme)
                path = _write(store, record.id, changed)
                made.append(record.model_copy(update={"audio": portable(path, out, None)}))
        except AudioError as error:
            return BadClip(clip.id, f"clip {clip.id!r}: {error}")
    if recipe.originals or not made:
        made.insert(0, relocate_audio(clip, manifest, out, data_root))
    return _Done(made, without_speech)


def _active(samples: np.ndarray) -> np.ndarray:
    """Where somebody speaks: bool (samples,)."""
    active = np.zeros(len(samples), bool)
    for first, end in speech_spans(samples):
        active[first:end] = True
    return active


def _write(store: AudioStore, clip_id: str, samples: np.ndarray) -> Path:
    path = store.path(clip_id, ".wav")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, samples)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; what is written is kept") from error
    return path
