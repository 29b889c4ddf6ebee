"""Audio that a corpus has in no file of its own: kept beside the manifest, under a name made from the id.

Trade-off: one file for each clip, in 256 folders so that no folder gets too long to list. The bytes of a
corpus are kept as they are, in their own format (16-bit wav is written only for audio that we put
together), so nothing is lost and nothing is decoded here.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from desta2.data import containers
from desta2.data.audio import write_wav
from desta2.errors import AudioError, RunError

_SUFFIXES = {"wav": ".wav", "flac": ".flac", "ogg": ".ogg", "mp3": ".mp3", "mov": ".m4a", "matroska": ".webm"}


class AudioStore:
    """Files of audio in `folder`, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, clip_id: str, suffix: str, make: Callable[[], bytes | np.ndarray]) -> Path:
        """Write the audio of a clip unless it is there, and give its path; see `Reading.keep_audio`."""
        path = self.path(clip_id, suffix)
        if path.exists():
            return path
        content = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
                try:
                    temporary.write_bytes(content)
                    os.replace(temporary, path)
                finally:
                    temporary.unlink(missing_ok=True)
            else:
                write_wav(path, content)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}; what is written is kept") from error
        return path

    def path(self, clip_id: str, suffix: str) -> Path:
        """Where the audio of a clip goes: readable, unique, and safe on every file system."""
        digest = hashlib.blake2s(clip_id.encode("utf-8", "surrogatepass")).hexdigest()
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", clip_id)[-80:].lstrip(".")
        return self._folder / digest[:2] / f"{readable}-{digest[:10]}{suffix}"


def suffix_for(content: bytes, name: str | None = None) -> str:
    """The suffix for the bytes of a file of audio: that of its `name` in the corpus, or what the bytes say.

    Raises:
        AudioError: the bytes are none of the formats that desta2 reads.
    """
    kind = containers.identify(content)
    if kind is None:
        raise AudioError(
            f"the bytes are no audio that desta2 reads, they look like {containers.describe(content)}"
        )
    given = os.path.splitext(name or "")[1].lower()
    return given if re.fullmatch(r"\.[a-z0-9]{1,5}", given) else _SUFFIXES[kind]


def audio_folder_of(manifest: Path) -> Path:
    """Where the audio of a manifest goes by default: "NAME_audio" beside it."""
    return manifest.with_name(f"{manifest.name.removesuffix('.jsonl')}_audio")
