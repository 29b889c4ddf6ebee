"""The one protocol of the readers: what a reader is told, what it gives, and where it reports problems.

A reader is a module with a `SOURCE`. `SOURCE.read(src, reading)` looks at once whether the corpus has the
layout that it should have, and then gives records one by one: `Clip`s whose `audio` is an absolute path
(the stage makes it relative), or `Seed`s and `Pair`s from the published training sets. What goes wrong
with a single row is given to `reading.bad`, which raises unless the user asked to skip; what the corpus's
own documentation says is broken goes to `reading.leave_out`, which counts. The trade-off: a reader knows
nothing of files that are written, resumed or counted, and so is short; the price is that audio which has
no file of its own yet (bytes in a Parquet file, the turns of a dialogue) is kept by `reading.keep_audio`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from desta2.data.sources.store import AudioStore
from desta2.errors import InputError, RecordError
from desta2.records import Clip, Record, parse_line, to_line

logger = logging.getLogger(__name__)

MAX_EXAMPLES = 1000  # of bad rows: all are counted and logged, this many are listed


@dataclass(frozen=True)
class Options:
    """What a user may ask of a reader; each reader takes some of them and refuses the others.

    Attributes:
        split: part of the corpus, or several with commas between; everything by default.
        columns: column of a table → field or attribute of the clip, see `columns`.
        config: configuration of a Hugging Face dataset.
        revision: revision of a dataset on the hub.
        mic: microphone of a corpus that was recorded with several.
        dialogues: clips of several speakers, with their turns as `segments`, instead of single turns.
        max_seconds: longest clip of a dialogue, in seconds.
        seeds: the seeds of a published training set, to be answered anew, instead of its pairs.
    """

    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    config: str | None = None
    revision: str | None = None
    mic: str | None = None
    dialogues: bool = False
    max_seconds: float = 30.0
    seeds: bool = False

    def given(self) -> list[str]:
        """Names of the options that are not as by default."""
        default = Options()
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(default, f.name)]


class Reading:
    """One run of a reader: what was asked, and what became of it.

    Args:
        options: what the user asks.
        store: where audio goes that has no file yet.
        data_root: folder that the audio paths of the manifest will be relative to, if one is given.
        skip_bad: count and list what cannot be used, instead of raising.
    """

    def __init__(
        self,
        options: Options,
        store: AudioStore,
        *,
        data_root: Path | None = None,
        skip_bad: bool = False,
    ) -> None:
        self.options = options
        self.data_root = data_root
        self.bad_count = 0
        self.bad_examples: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.unused_columns: tuple[str, ...] = ()
        self._store = store
        self._skip_bad = skip_bad

    def bad(self, place: object, reason: object) -> None:
        """Report something that cannot be used: it is named and counted, or ends the run."""
        problem = f"{place}: {reason}"
        if not self._skip_bad:
            raise RecordError(f"{problem} (--skip-bad leaves such things out)")
        self.bad_count += 1
        if len(self.bad_examples) < MAX_EXAMPLES:
            self.bad_examples.append(problem)
        logger.warning("left out: %s", problem)

    def leave_out(self, place: object, reason: str) -> None:
        """Count something that is left out on purpose, whatever the user says about bad rows."""
        self.left_out[reason] += 1
        logger.info("left out: %s: %s", place, reason)

    def clip(self, place: object, **values: Any) -> Clip | None:
        """Make a clip of values that come from a corpus; None, and reported, where they make none."""
        try:
            return parse_line(to_line({k: v for k, v in values.items() if v is not None and v != {}}), Clip)
        except RecordError as error:
            self.bad(place, error)
            return None

    def text(self, path: Path) -> str | None:
        """The content of a small text file beside a clip; None without one, reported if it is no text."""
        try:
            return text_of(path)
        except InputError as error:
            self.bad(path, error)
            return None

    def keep_audio(self, clip_id: str, suffix: str, make: Callable[[], bytes | np.ndarray]) -> Path:
        """Keep audio that has no file yet, and give the file; what an earlier run kept is not made again.

        Args:
            clip_id: of the clip that the audio is for.
            suffix: of the file, such as ".wav".
            make: gives the content of the file, or samples, (samples,) floats at 16 kHz.
        """
        return self._store.keep(clip_id, suffix, make)

    def splits(self, known: Sequence[str]) -> list[str]:
        """The splits that the user asks for, in the order of `known`; all by default."""
        if self.options.split is None:
            return list(known)
        wanted = [name.strip() for name in self.options.split.split(",") if name.strip()]
        if strange := [name for name in wanted if name not in known]:
            raise InputError(f"there is no split {strange[0]!r} here; choose from {', '.join(known)}")
        return [name for name in known if name in wanted]


Reader = Callable[[str, Reading], Iterator[Record]]


@dataclass(frozen=True)
class Source:
    """A reader with what a user has to know about its corpus.

    Attributes:
        name: as it stands on the command line.
        title: of the corpus.
        layout: files that must be there, in words for the error when they are not.
        carries: what each clip has: fields, then attributes.
        licence: as the corpus's authors state it.
        obtain: where the corpus comes from.
        read: (src, reading) → records; raises InputError at once where the layout is not there.
        options: names of the `Options` that it takes.
        repeats: its records repeat each other on purpose, and one of each is enough.
        own_data: it reads whatever the user has, so that SRC tells which corpus it is.
    """

    name: str
    title: str
    layout: str
    carries: str
    licence: str
    obtain: str
    read: Reader
    options: frozenset[str] = frozenset()
    repeats: bool = False
    own_data: bool = False

    def label(self, src: str) -> str:
        """The `source` of its records."""
        return f"{self.name}:{Path(src).name}" if self.own_data else self.name

    def not_found(self, src: object, missing: str) -> InputError:
        """The error for a folder that is not this corpus."""
        return InputError(
            f"{src} does not look like {self.title}: {missing}; expected {self.layout}. "
            f"It comes from {self.obtain}"
        )


def corpus_root(src: str, markers: Sequence[str], inner: Sequence[str] = ()) -> Path | None:
    """The folder that holds one of `markers`: `src`, or a folder in it that an archive made (`inner`).

    Args:
        src: what the user gave.
        markers: relative paths of which one must exist.
        inner: names of the folders to look into as well.
    """
    outer = Path(src).expanduser().absolute()
    for folder in (outer, *(outer / name for name in inner)):
        if any((folder / marker).exists() for marker in markers):
            return folder
    return None


def files_below(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """The files with one of the suffixes, folder by folder in the order of their names.

    Hidden files are passed over, and so are the `._` twins that macOS puts into archives. Only the names of
    one folder at a time are in memory.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be listed ({error.strerror}); check its mode and owner"
        ) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from files_below(entry, suffixes)
        elif entry.suffix.lower() in suffixes:
            yield entry


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, by name; hidden ones are passed over."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def text_of(path: Path, encoding: str = "utf-8-sig") -> str | None:
    """The content of a small text file, without the white space around; None where there is none, or no file.

    Raises:
        InputError: it is not text in that encoding.
    """
    try:
        return path.read_text(encoding=encoding).strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text in {encoding}: {error}") from error
