"""The sets of a training run as one list of pairs: checked, split, counted.

One pass before any weight loads reads every pair and looks for its audio, so that a mistake in the last line
costs minutes and not days. What is left out is named in the log and counted: pairs whose audio is missing,
where `data.missing` allows it, and pairs that would be on both sides of a split.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from desta2.errors import AudioError, ConfigError
from desta2.ids import IdTable
from desta2.records import Pair
from desta2.train.config import DataConfig
from desta2.train.dataset import ClippedPair, ClipRef, pair_clips
from desta2.train.pairfiles import PairFiles, Place

logger = logging.getLogger(__name__)

NAMED = 10
"""Pairs that are left out are named one by one up to this number, then only counted."""
Look = Callable[[Pair, Sequence[tuple[ClipRef, str | None]]], None]
"""Gets a pair and its clips with their transcripts."""


@dataclass
class PairList:
    """Pairs of several sets, read when they are wanted; `sets` and `numbers` say where each one is.

    Attributes:
        weights: how often a pair of each set is seen in an epoch.
        untold: 1 for a pair with a clip that has no transcript.
    """

    files: list[PairFiles]
    audio_root: Path | None
    weights: list[float]
    sets: array[int] = field(default_factory=lambda: array("H"))
    numbers: array[int] = field(default_factory=lambda: array("q"))
    untold: array[int] = field(default_factory=lambda: array("b"))

    def __len__(self) -> int:
        return len(self.sets)

    def __getitem__(self, number: int) -> ClippedPair:
        """A pair and its clips.

        Raises:
            AudioError: its audio is gone since the pass.
        """
        own = self.files[self.sets[number]]
        pair, published = own[self.numbers[number]]
        return pair, pair_clips(pair, own.folder, self.audio_root, published=published)

    def name(self, number: int) -> str:
        """Where a pair is, for messages: its set and number, from 0, or any number beyond the end again."""
        number %= len(self)
        return f"pair {self.numbers[number] + 1} of {self.files[self.sets[number]].path}"

    def without(self, dropped: set[int]) -> PairList:
        """The same list without some numbers."""
        kept = [number for number in range(len(self)) if number not in dropped]
        arrays = (
            array(own.typecode, (own[number] for number in kept))
            for own in (self.sets, self.numbers, self.untold)
        )
        return PairList(self.files, self.audio_root, self.weights, *arrays)

    def add(self, set_number: int, number: int, untold: bool) -> None:
        """Put a pair at the end."""
        self.sets.append(set_number)
        self.numbers.append(number)
        self.untold.append(untold)

    def clips(self, start: int = 0) -> Iterator[tuple[ClipRef, str | None]]:
        """All clips, each once, with the transcript where a pair gives one.

        They come in order, from those of pair `start` to the end and then those before it. A clip comes
        again if some pair gives no transcript for it and an earlier one did.
        """
        seen = IdTable()
        for number in (*range(start, len(self)), *range(start)):
            for clip, text in self[number][1]:
                key = repr((clip, text is None))
                if seen.setdefault(key, number) == number and (
                    text is None or repr((clip, True)) not in seen
                ):
                    yield clip, text


@dataclass
class Found:
    """What the pass found.

    Attributes:
        train, validation: the pairs; `validation` is None where none was asked for.
        kinds: a pair of each provenance, and how many have it.
        left_out: reasons with their counts.
        n_clips: different clips of `train`.
        missing: pairs that `find_pairs` was only to look at, and whose audio is not there.
    """

    train: PairList
    validation: PairList | None
    kinds: list[tuple[Pair, int]]
    left_out: Counter[str]
    n_clips: int
    missing: int = 0

    def examples(self) -> Iterator[Pair]:
        """A pair for each pair of `train`, alike in what is told of its making."""
        for pair, count in self.kinds:
            for _ in range(count):
                yield pair


def find_pairs(config: DataConfig, unpacked: Path | None, look: Look | None = None) -> Found:
    """Read and check all sets.

    Args:
        config: where they are.
        unpacked: folder for the lines of compressed files; with None nothing is written, and their pairs
            cannot be read again.
        look: gets each pair to train on as it comes. Then nothing is demanded of audio: pairs whose audio is
            missing are taken and counted, unless `config.missing` is "skip".

    Raises:
        InputError: a set is not there.
        RecordError: a line is no pair, or has the id of another one of its set. Sets may share ids.
        AudioError: audio is missing and `config.missing` is "error".
    """
    return _Pass(config, unpacked, look).run()


class _Pass:
    def __init__(self, config: DataConfig, unpacked: Path | None, look: Look | None) -> None:
        self._config = config
        self._unpacked = unpacked
        self._look = look
        self._left_out: Counter[str] = Counter()
        self._missing = 0
        self._kinds: dict[str, Pair] = {}
        self._counts: Counter[str] = Counter()
        self._clips = IdTable()

    def run(self) -> Found:
        config = self._config
        train = self._list([own.path for own in config.sets], [own.weight for own in config.sets])
        fraction, given = config.validation_fraction, config.validation_paths
        validation = None
        if fraction:
            validation = PairList(train.files, train.audio_root, [1.0] * len(train.files))
        self._read(train, validation, fraction)
        if not len(train):
            raise ConfigError(f"data.train names no pairs: {', '.join(str(own.path) for own in config.sets)}")
        if given:
            validation = self._list(given, [1.0] * len(given))
            self._read(validation, None, 0.0, learned=False)
        if validation is not None and not len(validation):
            raise ConfigError(
                f"data.validation holds out none of {len(train)} pairs; give a larger fraction, or files"
            )
        for reason, count in self._left_out.items():
            logger.warning("left out: %d pairs: %s", count, reason)
        kinds = [(pair, self._counts[key]) for key, pair in self._kinds.items()]
        return Found(train, validation, kinds, self._left_out, len(self._clips), self._missing)

    def _list(self, paths: Sequence[Path], weights: list[float]) -> PairList:
        files = [PairFiles(path, self._unpacked) for path in paths]
        return PairList(files, self._config.audio_root, weights)

    def _read(
        self, pairs: PairList, held_out: PairList | None, fraction: float, *, learned: bool = True
    ) -> None:
        for number, files in enumerate(pairs.files):
            for place, pair, published in files.scan():
                clips = self._clips_of(pair, files, published)
                if clips is None:
                    continue
                groups = _groups(pair, clips, self._config.audio_root)
                sides = {in_validation(group, fraction) for group in groups}
                if len(sides) == 2:
                    self._leave_out(pair, "their clips are on both sides of the validation split")
                    continue
                self._put(held_out if sides == {True} else pairs, number, files, place, clips)
                if learned and sides == {False}:
                    self._note(pair, clips)
                    if self._look is not None:
                        self._look(pair, clips)

    def _put(
        self,
        pairs: PairList | None,
        number: int,
        files: PairFiles,
        place: Place,
        clips: Sequence[tuple[ClipRef, str | None]],
    ) -> None:
        assert pairs is not None  # without a list to hold out, the fraction is 0
        pairs.add(number, len(files), any(text is None for _, text in clips))
        files.keep(place)

    def _clips_of(
        self, pair: Pair, files: PairFiles, published: bool
    ) -> list[tuple[ClipRef, str | None]] | None:
        root = self._config.audio_root
        try:
            return pair_clips(pair, files.folder, root, published=published)
        except AudioError as error:
            if self._config.missing == "skip":
                self._leave_out(pair, "their audio is missing", error)
                return None
            if self._look is None:
                raise
        self._missing += 1
        return pair_clips(pair, files.folder, root, published=published, there=False)

    def _leave_out(self, pair: Pair, reason: str, error: object = None) -> None:
        self._left_out[reason] += 1
        if self._left_out[reason] <= NAMED:
            logger.warning("left out: pair %r: %s", pair.id, error or reason)

    def _note(self, pair: Pair, clips: Sequence[tuple[ClipRef, str | None]]) -> None:
        told = pair.provenance
        key = repr((told.llm, told.fingerprint, told.prompt, told.layout, told.system_prompt))
        self._kinds.setdefault(key, pair)
        self._counts[key] += 1
        for clip, _ in clips:
            self._clips.setdefault(repr(clip), 0)


def in_validation(group: str, fraction: float) -> bool:
    """Whether clips of a group are held out: by a hash of its name, so that a set may grow around it."""
    return int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest()) < fraction * 2**64


def _groups(pair: Pair, clips: Sequence[tuple[ClipRef, str | None]], audio_root: Path | None) -> set[str]:
    """What must not be on both sides: the speakers, where the pair or its clips name them, or the files.

    A file below `audio_root` is known by its path from there, so that the split stays when a corpus moves.
    """
    entries = [entry for message in pair.messages for entry in message.get("audios") or []]
    speaker = (pair.model_extra or {}).get("speaker")
    return {
        str(entry.get("speaker") or speaker or _known_as(Path(clip.path).resolve(), audio_root))
        for entry, (clip, _) in zip(entries, clips, strict=True)
    }


def _known_as(file: Path, audio_root: Path | None) -> str:
    if audio_root is not None and file.is_relative_to(root := audio_root.resolve()):
        return file.relative_to(root).as_posix()
    return str(file)
