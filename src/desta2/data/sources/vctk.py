"""VCTK: 110 speakers of English with various accents, each reading some 400 sentences, 44 hours at 48 kHz.

What comes from where: speaker-info.txt → gender, age, accent (and the region, kept as a field); txt/ →
text; file names → speaker. Version 0.92 has every sentence from two microphones in `wav48_silence_trimmed`
(`_mic1.flac`, `_mic2.flac`); `--mic` chooses, mic1 by default, since p280 and p315 have no mic2. Version
0.80 has one in `wav48` (`.wav`) and writes its speakers without the p. The texts of p315 were lost: its
clips have none.

Sources: torchaudio's VCTK_092 (docs.pytorch.org/audio) on p280, p315 and p362 and the file names; lhotse's
recipe vctk.py on speaker-info.txt and on the licence (the corpus's README: CC BY 4.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below, text_of
from desta2.data.sources.labels import capital, gender, labels
from desta2.errors import InputError
from desta2.records import Clip

_INNER = ("VCTK-Corpus-0.92", "VCTK-Corpus")
_MICS = ("mic1", "mic2")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read the recordings of one microphone, speaker by speaker."""
    root = corpus_root(src, ["speaker-info.txt"], _INNER)
    if root is None:
        raise SOURCE.not_found(src, "there is no speaker-info.txt")
    mic = reading.options.mic or _MICS[0]
    if mic not in _MICS:
        raise InputError(f"given --mic {mic}, expected one of {', '.join(_MICS)}")
    new, old = root / "wav48_silence_trimmed", root / "wav48"
    if not (new.is_dir() or old.is_dir()):
        raise SOURCE.not_found(src, "there is neither wav48_silence_trimmed nor wav48")
    return _clips(root, new if new.is_dir() else old, mic, reading)


def _clips(root: Path, audio: Path, mic: str, reading: Reading) -> Iterator[Clip]:
    speakers = _speakers(root / "speaker-info.txt", reading)
    for path in files_below(audio, (".flac", ".wav")):
        name, _, file_mic = path.stem.partition("_mic")
        if file_mic and f"mic{file_mic}" != mic:
            continue
        speaker = path.parent.name
        known = speakers.get(speaker, {})
        if clip := reading.clip(
            path,
            id=f"vctk-{name}",
            audio=str(path),
            text=reading.text(root / "txt" / speaker / f"{name}.txt"),
            language="en",
            speaker=speaker,
            source="vctk",
            region=known.get("region"),
            attributes={key: word for key, word in known.items() if key != "region"},
        ):
            yield clip


def _speakers(file: Path, reading: Reading) -> dict[str, dict[str, str]]:
    """Labels by speaker; a comment in parentheses may follow the region, and the region may be missing."""
    speakers = {}
    for number, line in enumerate((text_of(file) or "").splitlines(), start=1):
        fields = re.sub(r"\(.*", "", line).split()
        if not fields or fields[0] == "ID":
            continue
        if len(fields) < 4 or not fields[1].isdigit() or gender(fields[2]) is None:
            reading.bad(f"{file}:{number}", f"given {line!r}, expected ID AGE GENDER ACCENTS REGION")
            continue
        speaker = f"p{fields[0]}" if fields[0].isdigit() else fields[0]
        accent = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", fields[3])  # NorthernIrish, NewZealand
        speakers[speaker] = labels(
            gender=gender(fields[2]), age=fields[1], accent=capital(accent), region=" ".join(fields[4:])
        )
    return speakers


SOURCE = Source(
    name="vctk",
    title="VCTK",
    layout=(
        "speaker-info.txt, txt/p225/p225_001.txt and wav48_silence_trimmed/p225/p225_001_mic1.flac "
        "(or wav48/p225/p225_001.wav)"
    ),
    carries="text, speaker; gender, age, accent",
    licence="CC BY 4.0",
    obtain="https://datashare.ed.ac.uk/handle/10283/3443",
    read=read,
    options=frozenset({"mic"}),
)
