"""PromptSpeech, the corpus of PromptTTS: LibriTTS utterances with style factors and a describing prompt.

What comes from where: Real_training.csv and Real_test.csv → gender, pitch, speaking speed, volume
("energy"; thirds of the corpus as the authors measured it: low/slow, normal, high/fast) and the style
prompt, kept as a field; the LibriTTS tree, in the same folder or under --data-root → audio and text, found
by `item_name`. Only the real version can be read: the speech of the synthesised one is not offered for
download on its page.

Sources: https://speechresearch.github.io/prompttts/ (versions, factors, files); the columns and words from
public code that builds a benchmark from Real_training.csv and checks its checksum. The page states no
licence; LibriTTS is CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root
from desta2.data.sources.labels import gender, labels, level
from desta2.data.sources.librispeech import PARTS
from desta2.data.sources.rows import read_separated
from desta2.errors import InputError
from desta2.records import Clip

_FILES = {"training": "Real_training.csv", "test": "Real_test.csv"}
_COLUMNS = ("item_name", "gender", "pitch", "speaking_speed", "energy")
_LIBRITTS = ("LibriTTS", "LibriTTS_R")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read the rows of the training set, then those of the test set."""
    folder = Path(src).expanduser().absolute()
    files = {split: folder / name for split, name in _FILES.items() if (folder / name).is_file()}
    if not files:
        raise SOURCE.not_found(src, f"there is neither {' nor '.join(_FILES.values())}")
    roots = [root for root in (reading.data_root, folder) if root is not None]
    found = [corpus_root(str(root), PARTS, _LIBRITTS) for root in roots]
    libritts = next((root for root in found if root is not None), None)
    if libritts is None:
        raise InputError(
            f"the audio of PromptSpeech is that of LibriTTS, and {' and '.join(map(str, roots))} holds no "
            "part of it, such as LibriTTS/train-clean-100: put it there, or name its folder with --data-root"
        )
    return _clips({split: files[split] for split in reading.splits(list(files))}, libritts, reading)


def _clips(files: dict[str, Path], libritts: Path, reading: Reading) -> Iterator[Clip]:
    parts = [libritts / part for part in PARTS if (libritts / part).is_dir()]
    for split, file in files.items():
        for place, row in read_separated(file, reading, ",", _COLUMNS):
            name = row["item_name"] or ""
            if name.count("_") != 3:
                reading.bad(
                    place, f"item_name is {name!r}, expected a LibriTTS name such as 19_198_000000_000002"
                )
                continue
            reader, chapter = name.split("_")[:2]
            places = [part / reader / chapter / f"{name}.wav" for part in parts]
            path = next((path for path in places if path.exists()), None)
            if path is None:
                reading.bad(place, f"{name}.wav is in no part of {libritts}")
                continue
            if clip := reading.clip(
                place,
                id=f"prompttts-{name}",
                audio=str(path),
                text=reading.text(path.with_suffix(".normalized.txt")),
                language="en",
                speaker=reader,
                source="prompttts",
                split=split,
                style_prompt=row.get("style_prompt"),
                attributes=labels(
                    gender=gender(row["gender"]),
                    pitch=level("pitch", row["pitch"]),
                    volume=level("volume", row["energy"]),
                    speaking_speed=level("speaking_speed", row["speaking_speed"]),
                ),
            ):
                yield clip


SOURCE = Source(
    name="prompttts",
    title="PromptSpeech (PromptTTS)",
    layout="Real_training.csv, and LibriTTS/train-clean-100/… beside it or under --data-root",
    carries="text, speaker; gender, pitch, volume, speaking speed",
    licence="not stated (the audio is LibriTTS's: CC BY 4.0)",
    obtain="https://speechresearch.github.io/prompttts/ and https://www.openslr.org/60",
    read=read,
    options=frozenset({"split"}),
)
