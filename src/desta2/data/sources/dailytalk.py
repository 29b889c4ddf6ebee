"""DailyTalk: 2,541 dialogues of DailyDialog, spoken by one man and one woman; 44.1 kHz.

What comes from where: metadata.json ({dialogue: {turn: …}}) → text, emotion, act (the intent of the turn,
as DailyDialog calls it), topic (kept as a field), speaker; data/DIALOGUE/TURN_SPEAKER_dDIALOGUE.wav →
audio. Speaker 1 is the woman. "no emotion" stays as it is: the annotators saw none of the six, which is
not a neutral voice that somebody heard. With `--dialogues` the turns of a dialogue are joined.

metadata.json is one JSON object and is read whole (some 10 MB).

Sources: the authors' preprocessor (github.com/keonlee9420/DailyTalk, preprocessor/) on files and emotions;
lhotse's recipe daily_talk.py on the fields and on who is speaker 1; CC BY-SA 4.0 by the authors' README.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from desta2.data.sources.base import Reading, Source, corpus_root
from desta2.data.sources.dialogues import Turn, joined_clips
from desta2.data.sources.labels import capital, emotion, labels
from desta2.errors import InputError
from desta2.records import Clip

_GENDERS = {"0": "Male", "1": "Female"}


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read dialogue by dialogue in the order of their numbers."""
    root = corpus_root(src, ["metadata.json"], ("dailytalk",))
    if root is None or not (root / "data").is_dir():
        raise SOURCE.not_found(
            src, "there is no metadata.json" if root is None else "there is no folder data"
        )
    try:
        dialogues = from_json((root / "metadata.json").read_bytes())
    except ValueError as error:
        raise InputError(f"{root / 'metadata.json'}: not valid JSON: {error}") from error
    if not isinstance(dialogues, dict):
        raise InputError(f"{root / 'metadata.json'}: expected an object of dialogues")
    return _clips(root, dialogues, reading)


def _clips(root: Path, dialogues: Mapping[str, Any], reading: Reading) -> Iterator[Clip]:
    for dialogue in sorted(dialogues, key=_number):
        common = {"language": "en", "source": "dailytalk"}
        turns = list(_turns(root, dialogue, dialogues[dialogue], reading))
        if reading.options.dialogues:
            plain = [turn for turn, _ in turns]
            yield from joined_clips(f"dailytalk-d{dialogue}", plain, reading, **common)
            continue
        for turn, topic in turns:
            if clip := reading.clip(
                turn.audio,
                id=f"dailytalk-{turn.audio.stem}",
                audio=str(turn.audio),
                text=turn.text,
                speaker=turn.speaker,
                attributes=turn.attributes,
                topic=topic,
                **common,
            ):
                yield clip


def _turns(root: Path, dialogue: str, turns: Any, reading: Reading) -> Iterator[tuple[Turn, str | None]]:
    """The turns of a dialogue in order, each with its topic."""
    file = root / "metadata.json"
    if not isinstance(turns, dict):
        reading.bad(f"{file}, dialogue {dialogue}", "expected an object of turns")
        return
    for number in sorted(turns, key=_number):
        turn = turns[number]
        speaker = str(turn.get("speaker")) if isinstance(turn, dict) else None
        if speaker not in _GENDERS or not isinstance(turn.get("text"), str):
            reading.bad(
                f"{file}, dialogue {dialogue}, turn {number}", "expected a speaker 0 or 1, and a text"
            )
            continue
        name = f"{number}_{speaker}_d{dialogue}"
        yield (
            Turn(
                audio=root / "data" / dialogue / f"{name}.wav",
                text=turn["text"].strip() or None,
                speaker=speaker,
                attributes=labels(
                    gender=_GENDERS[speaker],
                    emotion=emotion(turn.get("emotion")),
                    intent=capital(turn.get("act")),
                ),
            ),
            turn.get("topic"),
        )


def _number(name: str) -> tuple[int, str]:
    return (int(name) if name.isdigit() else -1, name)


SOURCE = Source(
    name="dailytalk",
    title="DailyTalk",
    layout="metadata.json and data/0/0_1_d0.wav (data/DIALOGUE/TURN_SPEAKER_dDIALOGUE.wav)",
    carries="text, speaker; gender, emotion, intent; with --dialogues segments",
    licence="CC BY-SA 4.0, for academic use",
    obtain="https://github.com/keonlee9420/DailyTalk",
    read=read,
    options=frozenset({"dialogues", "max_seconds"}),
)
