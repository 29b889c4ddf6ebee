"""Audio paths when a stage writes its records into another folder than the one it read them from."""

from __future__ import annotations

import os
from collections.abc import Callable
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
    return relocator(manifest, out, data_root)(clip)


def relocator(manifest: Path, out: Path, data_root: Path | None = None) -> Callable[[AnyClip], AnyClip]:
    """`relocate_audio` for many clips of one manifest: what depends on the folders alone is found once."""
    before = (manifest if manifest.is_dir() else manifest.parent).resolve()
    after = (out.parent if out.suffix == ".jsonl" else out).resolve()

    def relocated(clip: AnyClip) -> AnyClip:
        if before == after or Path(clip.audio).is_absolute() or not (before / clip.audio).exists():
            return clip
        if data_root is not None and (data_root / clip.audio).exists():
            return clip
        moved = os.path.relpath((before / clip.audio).resolve(), after)
        return clip.model_copy(update={"audio": Path(moved).as_posix()})

    return relocated
