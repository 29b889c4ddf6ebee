"""Audio paths when a stage writes its records into another folder than the one it read them from.

Trade-off: folders are resolved once and remembered, since a stage asks for each of a million clips; a folder
that becomes a link to another one while a stage runs is not noticed. Links to files stay as they are.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from desta2.records import Clip

AnyClip = TypeVar("AnyClip", bound=Clip)


def relocate_audio(clip: AnyClip, manifest: Path, out: Path, data_root: Path | None = None) -> AnyClip:
    """Keep a clip's relative audio path true for records in `out`, when it was true beside `manifest`.

    Paths that are absolute, that are found under `data_root`, or that are not found beside the manifest (they
    belong to a data root that is named later) stay as they are, and so do URIs.

    Args:
        clip: a record of `manifest`.
        manifest: file of records, or folder of parts.
        out: the file (`.jsonl`) or folder of parts that the record goes to.
        data_root: where audio is looked for first.
    """
    before, after = _folders(os.path.abspath(manifest), os.path.abspath(out))
    if before == after or os.path.isabs(clip.audio) or not os.path.exists(os.path.join(before, clip.audio)):
        return clip
    if data_root is not None and (data_root / clip.audio).exists():
        return clip
    folder, name = os.path.split(clip.audio)
    return clip.model_copy(update={"audio": _way(os.path.join(before, folder), after) + name})


@lru_cache(maxsize=16)
def _folders(manifest: str, out: str) -> tuple[str, str]:
    """The folders that records in the two are relative to, without links."""
    before = manifest if os.path.isdir(manifest) else os.path.dirname(manifest)
    after = os.path.dirname(out) if out.endswith(".jsonl") else out
    return os.path.realpath(before), os.path.realpath(after)


@lru_cache(maxsize=4096)
def _way(folder: str, start: str) -> str:
    """The relative path from `start` to a folder, with the slash that a file's name needs."""
    way = Path(os.path.relpath(os.path.realpath(folder), start)).as_posix()
    return "" if way == "." else f"{way}/"
