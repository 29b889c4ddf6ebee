"""VoxCeleb1: 1,251 celebrities in interviews from YouTube, over 100,000 utterances at 16 kHz.

What comes from where: vox1_meta.csv (tab-separated in spite of its name) → gender, the set (the split),
and the name and nationality, kept as fields (a nationality is no accent); wav/idNNNNN/VIDEO/NNNNN.wav →
speaker, audio. The wavs may also lie in dev/wav and test/wav, as the two archives unpack side by side.
There are no texts, and the language is not stated.

Sources: lhotse's recipe voxceleb.py on both files and on the licence as the authors state it (CC BY 4.0;
the copyright of the videos remains with their owners); s3prl's instructions on dev/ and test/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below, folders_in
from desta2.data.sources.labels import gender, labels
from desta2.data.sources.rows import read_separated
from desta2.records import Clip

_PARTS = ("wav", "dev/wav", "test/wav")
_COLUMNS = ("VoxCeleb1 ID", "VGGFace1 ID", "Gender", "Nationality", "Set")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read speaker by speaker."""
    root = corpus_root(src, ["vox1_meta.csv"])
    if root is None:
        raise SOURCE.not_found(src, "there is no vox1_meta.csv")
    parts = [root / part for part in _PARTS if (root / part).is_dir()]
    if not parts:
        raise SOURCE.not_found(src, "there is neither wav nor dev/wav and test/wav")
    return _clips(root, parts, reading.splits(("dev", "test")), reading)


def _clips(root: Path, parts: list[Path], sets: list[str], reading: Reading) -> Iterator[Clip]:
    file = root / "vox1_meta.csv"
    people = {row["VoxCeleb1 ID"]: row for _, row in read_separated(file, reading, "\t", _COLUMNS)}
    for part in parts:
        for folder in folders_in(part):
            person = people.get(folder.name)
            if person is None:
                reading.bad(folder, f"{file} has no speaker {folder.name}")
                continue
            if person["Set"] not in sets:
                continue
            for path in files_below(folder, (".wav",)):
                if clip := reading.clip(
                    path,
                    id=f"voxceleb1-{folder.name}-{path.parent.name}-{path.stem}",
                    audio=str(path),
                    speaker=folder.name,
                    source="voxceleb1",
                    split=person["Set"],
                    name=person["VGGFace1 ID"],
                    nationality=person["Nationality"],
                    attributes=labels(gender=gender(person["Gender"])),
                ):
                    yield clip


SOURCE = Source(
    name="voxceleb1",
    title="VoxCeleb1",
    layout="vox1_meta.csv and wav/id10001/1zcIwhmdeo4/00001.wav (or dev/wav/… and test/wav/…)",
    carries="speaker; gender",
    licence="CC BY 4.0; the copyright of the videos remains with their owners",
    obtain="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    read=read,
    options=frozenset({"split"}),
)
