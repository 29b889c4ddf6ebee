"""LibriTTS and LibriTTS-R: LibriSpeech's books cut at sentences, 2,456 readers, 585 hours at 24 kHz.

What comes from where: speakers.tsv (or SPEAKERS.txt of early packages) → gender, name (a field);
PART/READER/ CHAPTER/NAME.wav → audio, speaker, split; NAME.normalized.txt beside it → text as it is
spoken, with capitals and punctuation. LibriTTS-R is the same tree with the sound restored; where restoring
failed stands in libritts_r_failed_speech_restoration_examples (https://www.openslr.org/141), which is no
part of the tree.

Sources: lhotse's recipe libritts.py on files; https://www.openslr.org/60 and /141; both CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below
from desta2.data.sources.labels import gender, labels
from desta2.data.sources.librispeech import PARTS
from desta2.data.sources.librispeech import speakers as old_speakers
from desta2.data.sources.rows import read_separated
from desta2.records import Clip

_INNER = ("LibriTTS_R", "LibriTTS", "LibriTTS-R")
_TABLES = ("speakers.tsv", "SPEAKERS.txt")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read part by part, chapter by chapter."""
    root = corpus_root(src, PARTS, _INNER)
    if root is None:
        raise SOURCE.not_found(src, f"there is no part ({', '.join(PARTS)})")
    table = next((root / name for name in _TABLES if (root / name).is_file()), None)
    if table is None:
        raise SOURCE.not_found(src, "there is no speakers.tsv (it is in doc.tar.gz)")
    parts = reading.splits([part for part in PARTS if (root / part).is_dir()])
    return _clips(root, table, parts, reading)


def _clips(root: Path, table: Path, parts: list[str], reading: Reading) -> Iterator[Clip]:
    readers = _speakers(table, reading)
    for part in parts:
        for path in files_below(root / part, (".wav",)):
            reader = path.stem.partition("_")[0]
            known = readers.get(reader, {})
            if clip := reading.clip(
                path,
                id=f"libritts-{path.stem}",
                audio=str(path),
                text=reading.text(path.with_suffix(".normalized.txt")),
                language="en",
                speaker=reader,
                source="libritts",
                split=part,
                name=known.get("name"),
                attributes=labels(gender=known.get("gender")),
            ):
                yield clip


def _speakers(table: Path, reading: Reading) -> dict[str, dict[str, str]]:
    if table.suffix == ".txt":
        return old_speakers(table, reading)
    rows = read_separated(table, reading, "\t", ("READER", "GENDER", "NAME"))
    return {row["READER"]: labels(gender=gender(row["GENDER"]), name=row["NAME"]) for _, row in rows}


SOURCE = Source(
    name="libritts",
    title="LibriTTS",
    layout=(
        "speakers.tsv, train-clean-360/93/123172/93_123172_000001_000000.wav and "
        "93_123172_000001_000000.normalized.txt beside it"
    ),
    carries="text, speaker; gender",
    licence="CC BY 4.0",
    obtain="https://www.openslr.org/60 (LibriTTS-R: https://www.openslr.org/141)",
    read=read,
    options=frozenset({"split"}),
)
