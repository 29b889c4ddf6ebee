"""AccentDB: English in nine accents, four of them of India: 19,111 recordings of Harvard sentences.

What comes from where: data/ACCENT/speaker_01/ACCENT_s01_001.wav → accent and speaker. There are neither
texts nor anything else about the speakers.

Sources: https://accentdb.github.io (accentdb_core, accentdb_extended; CC BY-NC 4.0) and, for the tree,
public code that reads it (accents, speaker folders and file names agree in three projects).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below, folders_in
from desta2.data.sources.labels import capital, labels
from desta2.records import Clip

_ACCENTS = ("american", "australian", "bangla", "british", "indian", "malayalam", "odiya", "telugu", "welsh")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read accent by accent."""
    inner = ("data", "accentdb_extended/data", "accentdb_core/data", "accentdb_extended", "accentdb_core")
    root = corpus_root(src, _ACCENTS, inner)
    if root is None:
        raise SOURCE.not_found(src, f"there is no folder of an accent ({', '.join(_ACCENTS)})")
    return _clips(root, reading)


def _clips(root: Path, reading: Reading) -> Iterator[Clip]:
    for folder in folders_in(root):
        if folder.name not in _ACCENTS:
            reading.bad(folder, f"is no accent of AccentDB; expected {', '.join(_ACCENTS)}")
            continue
        for path in files_below(folder, (".wav",)):
            number = path.stem.removeprefix(f"{folder.name}_").partition("_")[0]  # s01 of american_s01_001
            if clip := reading.clip(
                path,
                id=f"accentdb-{path.stem}",
                audio=str(path),
                language="en",
                speaker=f"{folder.name}_{number}",
                source="accentdb",
                attributes=labels(accent=capital(folder.name)),
            ):
                yield clip


SOURCE = Source(
    name="accentdb",
    title="AccentDB",
    layout="data/american/speaker_01/american_s01_001.wav and the like for other accents",
    carries="speaker; accent",
    licence="CC BY-NC 4.0",
    obtain="https://accentdb.github.io",
    read=read,
)
