"""LibriSpeech: 2,484 readers of audiobooks, 982 hours at 16 kHz.

What comes from where: SPEAKERS.TXT → gender, and the reader's name, kept as a field; PART/READER/CHAPTER/
READER-CHAPTER.trans.txt → the utterances and their text, in capitals without punctuation, as the corpus
has it; the folder → the split.

Source: the corpus's README.TXT (https://www.openslr.org/12) on structure, parts and files; CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below, text_of
from desta2.data.sources.labels import gender, labels
from desta2.records import Clip

PARTS = (
    "train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other", "test-clean",
    "test-other", "train-clean-5", "dev-clean-2",
)  # fmt: skip
"""Of LibriSpeech and LibriTTS; the last two are those of Mini LibriSpeech."""


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read part by part, chapter by chapter."""
    root = corpus_root(src, PARTS, ("LibriSpeech",))
    if root is None:
        raise SOURCE.not_found(src, f"there is no part ({', '.join(PARTS)})")
    if not (root / "SPEAKERS.TXT").is_file():
        raise SOURCE.not_found(src, "there is no SPEAKERS.TXT")
    return _clips(root, reading.splits([part for part in PARTS if (root / part).is_dir()]), reading)


def _clips(root: Path, parts: list[str], reading: Reading) -> Iterator[Clip]:
    readers = speakers(root / "SPEAKERS.TXT", reading)
    for part in parts:
        for transcript in files_below(root / part, (".txt",)):
            for number, line in enumerate((text_of(transcript) or "").splitlines(), start=1):
                name, _, text = line.strip().partition(" ")
                reader = name.partition("-")[0]
                if name.count("-") != 2 or not text:
                    reading.bad(
                        f"{transcript}:{number}", f"given {line[:60]!r}, expected READER-CHAPTER-NUMBER TEXT"
                    )
                    continue
                known = readers.get(reader, {})
                if clip := reading.clip(
                    f"{transcript}:{number}",
                    id=f"librispeech-{name}",
                    audio=str(transcript.parent / f"{name}.flac"),
                    text=text,
                    language="en",
                    speaker=reader,
                    source="librispeech",
                    split=part,
                    name=known.get("name"),
                    attributes=labels(gender=known.get("gender")),
                ):
                    yield clip


def speakers(file: Path, reading: Reading) -> dict[str, dict[str, str]]:
    """Gender and name by reader, from lines such as `14 | F | train-clean-360 | 25.03 | Kristin LeMoine`."""
    found = {}
    for number, line in enumerate((text_of(file) or "").splitlines(), start=1):
        if not line.strip() or line.startswith(";"):
            continue
        fields = [field.strip() for field in line.split("|", maxsplit=4)]
        if len(fields) < 5 or gender(fields[1]) is None:
            reading.bad(
                f"{file}:{number}", f"given {line[:60]!r}, expected ID | SEX | SUBSET | MINUTES | NAME"
            )
            continue
        found[fields[0]] = labels(gender=gender(fields[1]), name=fields[4])
    return found


SOURCE = Source(
    name="librispeech",
    title="LibriSpeech",
    layout=(
        "SPEAKERS.TXT, train-clean-100/19/198/19-198.trans.txt and train-clean-100/19/198/19-198-0000.flac"
    ),
    carries="text, speaker; gender",
    licence="CC BY 4.0",
    obtain="https://www.openslr.org/12",
    read=read,
    options=frozenset({"split"}),
)
