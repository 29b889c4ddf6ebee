"""The unit of work: one shard through one stage, from a folder to a folder.

Trade-off: a stage gets a whole file and writes a whole file, by its own code; nothing of it is written again
for a cluster. What is in memory is what the stage holds for one shard, however many there are. A shard whose
output is there under its final name is done; nothing else is remembered, so runs may be stopped, moved and
continued on another engine. Between two attempts at a shard the stage's own partial output is kept: in the
output folder itself where both folders are local, otherwise in the scratch folder of the machine.

Audio paths: where both folders are local, the stage reads and writes in place and keeps relative paths true
as it always does. Where one is not, paths stay as they are, so they have to be absolute or relative to a
data root.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from desta2.data.scale.folders import Folder
from desta2.errors import Desta2Error, InputError
from desta2.lines import PARTIAL, RECORDS, numbered_lines, writing

logger = logging.getLogger(__name__)

Stage = Callable[[Path, Path], object]
"""Reads the records of a file and writes a `.jsonl` file, continuing what is there; may return counts."""

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_EXAMPLES = 10


@dataclass(frozen=True)
class Work:
    """What is to be done with each shard; it travels to the workers.

    Attributes:
        stage: a function that can be pickled (of a module, or a `functools.partial` of one).
        source: where the shards are.
        out: where the finished shards go.
        suffix: form of the finished shards, one of SUFFIXES.
        scratch: folder for copies and partial output where a folder is not local; by default in the
            machine's temporary folder.
        settings: what the stage was given, in words; partial output of other settings is not continued.
        retry: whether finished shards of which items failed are done again.
    """

    stage: Stage
    source: Folder
    out: Folder
    suffix: str = ".jsonl"
    scratch: Path | None = None
    settings: str = ""
    retry: bool = False

    def __post_init__(self) -> None:
        if self.suffix not in SUFFIXES:
            raise InputError(f"given the form {self.suffix!r}, expected one of {', '.join(SUFFIXES)}")
        if self.source == self.out:
            raise InputError(f"{self.out} is both input and output: give another output folder")

    @property
    def in_place(self) -> bool:
        """Whether the stage reads and writes the two folders themselves."""
        return self.source.local is not None and self.out.local is not None

    def name_of(self, shard: str) -> str:
        """The name of a shard's output: a part, whatever the shard is called, so that all verbs read it."""
        return stem_of(shard) + self.suffix


@dataclass(frozen=True)
class Outcome:
    """How a shard ended.

    Attributes:
        shard: its name.
        error: why it is not done; None where it is.
        mistake: whether that is the user's to mend (and trying again will not help).
        counts: what the stage counted.
        examples: what the stage listed, the first few.
    """

    shard: str
    error: str | None = None
    mistake: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


def stem_of(shard: str) -> str:
    """The name of a shard without its suffix, as that of a part."""
    stem = RECORDS.sub("", shard)
    return stem if stem.startswith("part-") else f"part-{stem}"


def pending(work: Work) -> tuple[list[str], int]:
    """List the shards that are not done, and count those that are.

    With `work.retry`, shards whose stage left a list of failed items beside the output are not done either.

    Raises:
        InputError: there are no shards, or two that would get the same name.
    """
    shards = work.source.shards()
    names = [work.name_of(shard) for shard in shards]
    if twice := [name for name in names if names.count(name) > 1][:1] if len(set(names)) < len(names) else []:
        both = [shard for shard in shards if work.name_of(shard) == twice[0]]
        raise InputError(f"{work.source}: {' and '.join(both)} would both become {twice[0]}: rename one")
    there = set(work.out.names())
    left = [shard for shard in shards if not _is_done(work, shard, there.__contains__)]
    return left, len(shards) - len(left)


def _is_done(work: Work, shard: str, is_there: Callable[[str], bool]) -> bool:
    stem = stem_of(shard)
    being_made = [f"{stem}.jsonl{PARTIAL}", *([f"{stem}.jsonl"] if work.suffix != ".jsonl" else [])]
    if not is_there(work.name_of(shard)) or any(is_there(name) for name in being_made):
        return False
    return not (work.retry and is_there(f"{stem}.failed.jsonl"))


def attempt(work: Work, shard: str) -> Outcome:
    """Do one shard, whatever happens: a shard that cannot be done must not keep the others waiting."""
    try:
        counts, examples = _counted(run_shard(work, shard))
    except Desta2Error as error:
        logger.warning("%s: %s", shard, error)
        return Outcome(shard, str(error), mistake=isinstance(error, InputError))
    except Exception as error:
        logger.exception("%s", shard)
        return Outcome(shard, f"unexpected {type(error).__name__}: {error}")
    return Outcome(shard, counts=counts, examples=examples)


def run_shard(work: Work, shard: str) -> object:
    """Take one shard through the stage and put its output under its final name; what the stage returned.

    A shard that was done since it was listed (tasks of Slurm wait, and are put back) is left alone.
    """
    source, out = work.source.local, work.out.local
    if _is_done(work, shard, work.out.exists):
        return None
    if source is not None and out is not None:
        return _through(work, shard, _checked(source / shard), out)[0]
    with _room(work, shard) as room:
        result, finished = _through(work, shard, _copied(work, shard, room / "in"), room / "out")
        _publish(work, shard, finished)
    return result


def _through(work: Work, shard: str, manifest: Path, folder: Path) -> tuple[object, Path]:
    """Let the stage make a shard in `folder`; what it returned, and the finished file."""
    made = folder / f"{stem_of(shard)}.jsonl"
    _bring_back(work, shard, made)
    result = work.stage(manifest, made)
    return result, _converted(work, made)


@contextlib.contextmanager
def _room(work: Work, shard: str) -> Iterator[Path]:
    """A folder for this shard alone, the same at every attempt; deleted when it was done."""
    base = work.scratch or _own_scratch()
    key = sha256("\n".join([work.source.url, work.out.url, work.suffix, work.settings]).encode()).hexdigest()
    room = base / key[:16] / stem_of(shard)
    try:
        for name in ("in", "out"):
            (room / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the scratch folder {base}: {error.strerror}") from error
    yield room
    shutil.rmtree(room, ignore_errors=True)


def _own_scratch() -> Path:
    """A folder in the temporary one that nobody else can write to, since what lies there is published."""
    base = Path(tempfile.gettempdir()) / f"desta2-scale-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    found = base.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{base} is not a folder of yours alone: delete it, or give another scratch folder")
    return base


def _checked(file: Path) -> Path:
    if not file.is_file():
        raise InputError(
            f"{file} does not exist (any more), or not on this machine: a folder that is no URL has to be on "
            "a disk that all workers share"
        )
    return file


def _copied(work: Work, shard: str, folder: Path) -> Path:
    """The shard in a folder of its own: no audio is beside it, so that stages leave relative paths alone."""
    manifest = folder / shard
    manifest.unlink(missing_ok=True)
    if work.source.local is not None:
        manifest.symlink_to(_checked(work.source.local / shard))
    else:
        work.source.fetch(shard, manifest)
    return manifest


def _bring_back(work: Work, shard: str, made: Path) -> None:
    """Let the stage continue a finished shard: it adds what it left out."""
    name, partial = work.name_of(shard), made.with_name(made.name + PARTIAL)
    if made.exists() or partial.exists() or not work.out.exists(name):
        return
    finished = made.with_name(name)
    if not work.in_place:
        work.out.fetch(name, finished)
    if finished == made:
        return
    with writing(made) as lines:
        for _, line in numbered_lines(finished):
            lines.write(line)


def _converted(work: Work, made: Path) -> Path:
    if work.suffix == ".jsonl":
        return made
    finished = made.with_name(made.name.removesuffix(".jsonl") + work.suffix)
    with writing(finished) as lines:
        for _, line in numbered_lines(made):
            lines.write(line)
    made.unlink()
    return finished


def _publish(work: Work, shard: str, finished: Path) -> None:
    """Put the output into its folder, after the list of failed items that may stand beside it."""
    failed = f"{stem_of(shard)}.failed.jsonl"
    if (finished.parent / failed).exists():
        work.out.publish(finished.parent / failed, failed)
    else:
        work.out.remove(failed)
    work.out.publish(finished, finished.name)


def _counted(result: object) -> tuple[dict[str, int], tuple[str, ...]]:
    """The numbers in what a stage returned; a list counts by its length, and gives examples."""
    if isinstance(result, int):
        return {"records": result}, ()
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        result = {entry.name: getattr(result, entry.name) for entry in dataclasses.fields(result)}
    if not isinstance(result, Mapping):
        return {}, ()
    fields: Mapping[str, Any] = result
    counts = {name: n for name, value in fields.items() if (n := _number(value)) is not None}
    lists = [value for value in fields.values() if isinstance(value, list | tuple)]
    return counts, tuple(str(entry) for value in lists for entry in value[:_EXAMPLES])


def _number(value: object) -> int | None:
    if isinstance(value, list | tuple):
        return len(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
