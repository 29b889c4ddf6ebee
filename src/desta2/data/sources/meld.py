"""MELD: 1,433 dialogues of the series Friends, 13,708 utterances with emotion and sentiment, as video clips.

What comes from where: train_sent_emo.csv, dev_… and test_sent_emo.csv → text, speaker (a name), emotion,
sentiment, dialogue; season, episode and the time in the episode are kept as fields; train_splits,
dev_splits_complete and output_repeated_splits_test → diaN_uttM.mp4, whose sound is read (or a .wav, .flac
or .mp3 of that name that a user took out of it). The CSV files lie beside the folders of MELD.Raw.tar.gz
or in them. The corpus does not tell the gender of the speakers. With `--dialogues` the utterances are
joined.

Left out: train dia125_utt3, which cannot be decoded, and dev dia110_utt7, which is not in the archive. In
some copies of the CSV files apostrophes are the control characters that a wrong encoding made of them;
they are put right.

Sources: the authors' README and CSV files (github.com/declare-lab/MELD) on columns and downloads; public
loaders, which agree, on the folders and on the two missing clips. The README states no licence; the clips
are copyrighted television: see to your own right to use them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from desta2.data.sources.base import Reading, Source, corpus_root
from desta2.data.sources.dialogues import Turn, joined_clips
from desta2.data.sources.labels import capital, emotion, labels
from desta2.data.sources.rows import read_separated
from desta2.records import Clip

_FOLDERS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
_KNOWN_BROKEN = {("train", "125", "3"), ("dev", "110", "7")}
_SUFFIXES = (".wav", ".flac", ".mp3", ".mp4")
_CLOCK = re.compile(r"(\d+):(\d+):(\d+)[,.](\d+)")


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read split by split, in the order of the CSV files."""
    places = [f"{folder}{split}_sent_emo.csv" for split in _FOLDERS for folder in ("", f"{split}/")]
    root = corpus_root(src, places, ("MELD.Raw",))
    if root is None:
        raise SOURCE.not_found(src, "there is no train_sent_emo.csv, dev_sent_emo.csv or test_sent_emo.csv")
    files: dict[str, tuple[Path, Path]] = {}
    for split, folder in _FOLDERS.items():
        table = next(
            (
                p
                for p in (root / f"{split}_sent_emo.csv", root / split / f"{split}_sent_emo.csv")
                if p.is_file()
            ),
            None,
        )
        clips = next((p for p in (root / folder, root / split / folder) if p.is_dir()), None)
        if table is not None and clips is not None:
            files[split] = (table, clips)
    if not files:
        raise SOURCE.not_found(
            src, f"none of the folders {', '.join(_FOLDERS.values())} is beside a CSV file"
        )
    return _clips({split: files[split] for split in reading.splits(list(files))}, reading)


def _clips(files: dict[str, tuple[Path, Path]], reading: Reading) -> Iterator[Clip]:
    for split, (table, folder) in files.items():
        utterances = _utterances(split, table, folder, reading)
        common = {"language": "en", "source": "meld", "split": split}
        if reading.options.dialogues:
            for dialogue, group in itertools.groupby(utterances, key=lambda found: found[0]):
                turns = [turn for _, turn, _ in group]
                yield from joined_clips(f"meld-{split}-{dialogue}", turns, reading, **common)
            continue
        for _, turn, fields in utterances:
            if clip := reading.clip(
                fields.pop("place"),
                id=f"meld-{split}-{turn.audio.stem}",
                audio=str(turn.audio),
                text=turn.text,
                speaker=turn.speaker,
                attributes=turn.attributes,
                **fields,
                **common,
            ):
                yield clip


def _utterances(
    split: str, table: Path, folder: Path, reading: Reading
) -> Iterator[tuple[str, Turn, dict[str, Any]]]:
    """Each row as (dialogue, turn, further fields)."""
    for place, row in read_separated(table, reading, ",", _COLUMNS):
        dialogue, number = row["Dialogue_ID"], row["Utterance_ID"]
        if not (dialogue and number and (dialogue + number).isdigit()):
            reading.bad(place, f"Dialogue_ID {dialogue!r} and Utterance_ID {number!r} are no numbers")
            continue
        name = f"dia{dialogue}_utt{number}"
        if (split, dialogue, number) in _KNOWN_BROKEN:
            reading.leave_out(place, "clips that are broken in the corpus itself")
            continue
        audio = next((p for s in _SUFFIXES if (p := folder / f"{name}{s}").exists()), folder / f"{name}.mp4")
        turn = Turn(
            audio=audio,
            text=_repaired(row["Utterance"]),
            speaker=row["Speaker"],
            attributes=labels(emotion=emotion(row["Emotion"]), sentiment=capital(row["Sentiment"])),
        )
        fields = {
            "place": place,
            "season": row.get("Season"),
            "episode": row.get("Episode"),
            "episode_start": _seconds(row.get("StartTime")),
            "episode_end": _seconds(row.get("EndTime")),
        }
        yield f"dia{dialogue}", turn, fields


def _repaired(text: str | None) -> str | None:
    """Put characters of Windows-1252 right that were read as Latin-1: U+0092 is an apostrophe."""
    fixed = re.sub(
        "[\x80-\x9f]", lambda found: found[0].encode("latin-1").decode("cp1252", errors="ignore"), text or ""
    )
    return " ".join(fixed.split()) or None


def _seconds(clock: str | None) -> float | None:
    """ "00:20:57,256" → 1257.256."""
    found = _CLOCK.fullmatch(clock or "")
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


SOURCE = Source(
    name="meld",
    title="MELD",
    layout=(
        "train_sent_emo.csv and train_splits/dia0_utt0.mp4 (dev_splits_complete, output_repeated_splits_test)"
    ),
    carries="text, speaker; emotion, sentiment; with --dialogues segments",
    licence="none stated; the clips are copyrighted television",
    obtain="https://github.com/declare-lab/MELD (MELD.Raw.tar.gz)",
    read=read,
    options=frozenset({"split", "dialogues", "max_seconds"}),
)
