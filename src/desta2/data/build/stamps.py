"""What a stage's output was made from: a small JSON file for each stage, in the work folder's `.build`.

Trade-off: an input is known by the digest of its manifest, not of the audio behind it: that takes a second
for a million clips, and survives being copied to another machine. A manifest that only got longer is told
from one that changed, since stages that resume by id need not begin anew for it.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from desta2.config import StrictModel
from desta2.errors import InputError
from desta2.lines import PARTIAL, part_files

FOLDER = ".build"
_BLOCK = 1 << 20


class Content(StrictModel):
    """What a manifest held at some moment; a folder counts as its parts joined."""

    size: int
    mtime_ns: int
    digest: str


class Stamp(StrictModel):
    """How a stage's output came to be.

    Attributes:
        settings: of the stage, those that its output depends on.
        input: what it read; None where that cannot be told, such as a folder of recordings.
        finished: whether it came to its end, and nothing failed.
        result: what the stage told.
        version: of desta2.
    """

    settings: dict[str, Any]
    input: Content | None
    finished: bool
    result: dict[str, Any]
    version: str


def content_of(path: Path) -> Content:
    """Look at a file, or a folder of parts, as it is now."""
    files = _files(path)
    size, mtime_ns = _look(files)
    return Content(size=size, mtime_ns=mtime_ns, digest=_digest(files, size))


def compare(path: Path, before: Content) -> Literal["same", "grown", "changed"]:
    """Whether a file or folder of parts still holds what it held, or that and more at its end.

    Its bytes are read only where size or time differ.
    """
    files = _files(path)
    size, mtime_ns = _look(files)
    if (size, mtime_ns) == (before.size, before.mtime_ns):
        return "same"
    if size < before.size or _digest(files, before.size) != before.digest:
        return "changed"
    return "same" if size == before.size else "grown"


def read_stamp(work: Path, stage: str) -> Stamp | None:
    """The stamp of a stage, if it has one.

    Raises:
        InputError: it cannot be read.
    """
    path = work / FOLDER / f"{stage}.json"
    try:
        return Stamp.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read as a stamp of a build; delete it") from error


def write_stamp(work: Path, stage: str, stamp: Stamp) -> None:
    """Write or replace the stamp of a stage, whole or not at all."""
    path = work / FOLDER / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(stamp.model_dump(mode="json"), file, ensure_ascii=False, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def is_there(path: Path) -> Literal["finished", "begun", "no"]:
    """Whether an output is there, whole or as a journal left it."""
    if path.suffix == ".jsonl":
        begun = path.with_name(path.name + PARTIAL).exists()
        return "begun" if begun else "finished" if path.exists() else "no"
    if any(path.glob(f"part-*{PARTIAL}")):
        return "begun"
    return "finished" if path.is_dir() and part_files(path) else "no"


def _files(path: Path) -> list[Path]:
    return part_files(path) if path.is_dir() else [path]


def _look(files: list[Path]) -> tuple[int, int]:
    """Size in bytes and time of the last change."""
    found = [file.stat() for file in files]
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


def _digest(files: list[Path], size: int) -> str:
    """Digest of the first `size` bytes of the files joined."""
    digest, left = hashlib.blake2b(digest_size=16), size
    for file in files:
        with open(file, "rb") as opened:
            while left and (block := opened.read(min(_BLOCK, left))):
                digest.update(block)
                left -= len(block)
    return digest.hexdigest()
