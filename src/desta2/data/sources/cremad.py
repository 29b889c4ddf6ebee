"""CREMA-D: 91 actors, 12 sentences in six emotions, 7,442 clips.

What comes from where: VideoDemographics.csv → gender (the sex that the actor stated), age; race and
ethnicity are kept as fields, since they are nothing that is heard; file names → speaker, sentence,
emotion, and its intensity (a field). The emotion is the one that was to be played, not what listeners
voted for. AudioWAV is read if it is there, otherwise AudioMP3.

Left out, as the authors list them: 1076_MTI_SAD_XX (no sound) and, of the mp3 files, 1076_MTI_NEU_XX,
1064_TIE_SAD_XX and 1064_IEO_DIS_MD. A clone without git-lfs holds pointers in place of the audio, which is
told.

Source: the authors' README.md (https://github.com/CheyneyComputerScience/CREMA-D) on names, sentences,
codes and broken files; Open Database License, contents under the Database Contents License.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from desta2.data.sources.base import Reading, Source, corpus_root, files_below
from desta2.data.sources.labels import capital, gender, labels
from desta2.data.sources.rows import read_separated
from desta2.records import Clip

_SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_EMOTIONS = {
    "ANG": "Angry", "DIS": "Disgusted", "FEA": "Fearful", "HAP": "Happy", "NEU": "Neutral", "SAD": "Sad",
}  # fmt: skip
_INTENSITIES = {"LO": "Low", "MD": "Medium", "HI": "High"}
_BROKEN = {
    ".wav": {"1076_MTI_SAD_XX"},
    ".mp3": {"1076_MTI_SAD_XX", "1076_MTI_NEU_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD"},
}


def read(src: str, reading: Reading) -> Iterator[Clip]:
    """Read the clips in the order of their names."""
    root = corpus_root(src, ["VideoDemographics.csv"], ("CREMA-D",))
    if root is None:
        raise SOURCE.not_found(src, "there is no VideoDemographics.csv")
    folder = next((root / name for name in ("AudioWAV", "AudioMP3") if (root / name).is_dir()), None)
    if folder is None:
        raise SOURCE.not_found(src, "there is neither AudioWAV nor AudioMP3")
    return _clips(root / "VideoDemographics.csv", folder, reading)


def _clips(table: Path, folder: Path, reading: Reading) -> Iterator[Clip]:
    rows = read_separated(table, reading, ",", ("ActorID", "Age", "Sex", "Race", "Ethnicity"))
    actors = {row["ActorID"]: row for _, row in rows}
    for path in files_below(folder, (".wav", ".mp3")):
        if path.stem in _BROKEN[path.suffix.lower()]:
            reading.leave_out(path, "clips that are broken in the corpus itself")
            continue
        actor, sentence, emotion, intensity = (*path.stem.split("_"), "", "", "")[:4]
        if actor not in actors or sentence not in _SENTENCES or emotion not in _EMOTIONS:
            reading.bad(path, "its name is none of CREMA-D's, such as 1001_IEO_ANG_HI")
            continue
        person = actors[actor]
        if clip := reading.clip(
            path,
            id=f"cremad-{path.stem}",
            audio=str(path),
            text=_SENTENCES[sentence],
            language="en",
            speaker=actor,
            source="cremad",
            intensity=_INTENSITIES.get(intensity),
            race=capital(person["Race"]),
            ethnicity=person["Ethnicity"],
            attributes=labels(gender=gender(person["Sex"]), age=person["Age"], emotion=_EMOTIONS[emotion]),
        ):
            yield clip


SOURCE = Source(
    name="cremad",
    title="CREMA-D",
    layout="VideoDemographics.csv and AudioWAV/1001_IEO_ANG_HI.wav (or AudioMP3)",
    carries="text, speaker; gender, age, emotion",
    licence="Open Database License 1.0; contents: Database Contents License 1.0",
    obtain="https://github.com/CheyneyComputerScience/CREMA-D (with git-lfs)",
    read=read,
)
