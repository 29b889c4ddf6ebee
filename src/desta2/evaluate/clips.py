"""Clip records as the material of benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from desta2.data.audio import load_audio
from desta2.records import Clip, resolve_audio


def clips_file(data: Path) -> Path:
    """The file of clip records that a user means: the `clips.jsonl` of a folder, or the path itself."""
    return data / "clips.jsonl" if (data / "clips.jsonl").exists() else data


def audio_of(clip: Clip, manifest: Path) -> Any:
    """What stands for a clip in a message: its path, or the samples where it is a part of a recording.

    Raises:
        AudioError: there is no such file, or it is a part of one that cannot be read.
    """
    path = resolve_audio(clip, manifest, None)
    cut = clip.start is not None or clip.end is not None
    return load_audio(path, start=clip.start, end=clip.end) if cut else str(path)
