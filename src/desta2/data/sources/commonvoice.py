"""Common Voice: sentences read by volunteers in many languages, mp3 at 32 or 48 kHz.

What comes from where: train.tsv, dev.tsv, test.tsv (or validated.tsv, other.tsv, invalidated.tsv with
`--split`) → text, speaker (client_id), gender, age, accent, language (locale); clips/ → audio. Most
speakers leave some of this empty, and then it is missing. Gender is taken where it is male or female, in
the old words or the new ones (male_masculine, female_feminine); ages are decades ("twenties"); accents are
as the speaker or an older version of the corpus wrote them ("United States English", "us").

Sources: public readers of many versions on the columns (accent became accents, gender got new words) and
on the folders; https://github.com/common-voice/cv-dataset on the releases. CC0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root
from desta2.data.sources.labels import capital, gender, labels
from desta2.data.sources.rows import read_separated
from desta2.errors import InputError
from desta2.records import Clip

_OFFICIAL = ("train", "dev", "test")  # disjoint; validated.tsv holds them all and more
_OTHERS = ("validated", "other", "invalidated")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8})?")  # en, zh-CN, ...
_SPELT = {"fourties": "Forties"}  # as the corpus spells it


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read the splits of one language."""
    root = corpus_root(src, ["clips"])
    if root is None:
        outer = Path(src).expanduser()
        inside = sorted(f.parent.name for f in outer.glob("*/clips")) if outer.is_dir() else []
        if inside:
            raise InputError(f"{src} holds several languages: give one of its folders ({', '.join(inside)})")
        raise SOURCE.not_found(src, "there is no folder clips")
    there = [split for split in _OFFICIAL + _OTHERS if (root / f"{split}.tsv").is_file()]
    if not there:
        raise SOURCE.not_found(src, "there is no train.tsv, dev.tsv, test.tsv or validated.tsv")
    if reading.options.split is None:
        splits = [split for split in there if split in _OFFICIAL] or there[:1]
    else:
        splits = reading.splits(there)
    if len(splits) > 1 and any(split in _OTHERS for split in splits):
        raise InputError(f"--split {reading.options.split}: validated.tsv repeats the others; choose either")
    return _clips(root, splits, reading)


def _clips(root: Path, splits: list[str], reading: Reading) -> Iterator[Clip]:
    language = root.name if _LANGUAGE.fullmatch(root.name) else None  # early versions have no column for it
    for split in splits:
        for place, row in read_separated(
            root / f"{split}.tsv", reading, "\t", ("client_id", "path", "sentence")
        ):
            if not row["path"]:
                reading.bad(place, "has no path")
                continue
            name = row["path"] if Path(row["path"]).suffix else f"{row['path']}.mp3"  # early versions
            age = (row.get("age") or "").casefold()
            if clip := reading.clip(
                place,
                id=f"commonvoice-{Path(name).stem}",
                audio=str(root / "clips" / name),
                text=row["sentence"],
                language=row.get("locale") or language,
                speaker=row["client_id"],
                source="commonvoice",
                split=split,
                attributes=labels(
                    gender=gender(row.get("gender")),
                    age=_SPELT.get(age) or capital(age),
                    accent=row.get("accents") or row.get("accent"),
                ),
            ):
                yield clip


SOURCE = Source(
    name="commonvoice",
    title="Common Voice",
    layout="the folder of one language: train.tsv, dev.tsv, test.tsv and clips/common_voice_en_1.mp3",
    carries="text, speaker, language; where speakers told it gender, age, accent",
    licence="CC0",
    obtain="https://commonvoice.mozilla.org/datasets",
    read=read,
    options=frozenset({"split"}),
)
