"""Speech-IFEval as a benchmark that the runner knows: its instructions, put to a system, and the scores.

A prediction carries the benchmark's own fields (`instruction_id_list`, `kwargs`, `metric`, …), so that it can
be scored again from its file alone, also by `desta2 score speech-ifeval`. The third part, chain-of-thought,
needs a judge. The trade-off: without one it is asked and kept, but not scored, and there is no IFrate; a
score of two parts under the name of all three would be another benchmark's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.errors import InputError, RecordError
from desta2.evaluate.rows import Row
from desta2.evaluate.speech_ifeval.checkers import PARTS, REASONING
from desta2.evaluate.speech_ifeval.responses import (
    FILES,
    Fields,
    instructions_folder,
    read_instructions,
    verdict_of,
)
from desta2.evaluate.speech_ifeval.rows import ifeval_rows
from desta2.evaluate.speech_ifeval.score import score_verdicts
from desta2.evaluate.systems import Question
from desta2.evaluate.words import score_line
from desta2.records import Prediction

AUDIO_PLACES = (".", "audios", "data/audios", "../audios", "../data/audios", "audio", "../audio")
"""Where the clips lie, seen from the instructions."""
_TOLD = ("key", "dataset", "metric", "label", "instruction_id_list", "kwargs", "audio_filepath")


class SpeechIfeval:
    """The benchmark; see `Benchmark`.

    Args:
        spoken: False puts each clip's seed transcript (`textual_audio`) in its place, as text: what the LLM
            makes of the instructions when it need not hear.
    """

    def __init__(self, spoken: bool = True) -> None:
        self.spoken = spoken

    def questions(self, data: Path) -> Iterator[Question]:
        """All instructions, part by part, in the order of their files.

        Args:
            data: the benchmark's folder with its clips (in `data/audios`, as it comes, or beside), which are
                not needed where it is not spoken.

        Raises:
            InputError: there are no instructions, or the first clip is nowhere.
            RecordError: a line is no instruction, or has no seed transcript that is to be shown; with file
                and line.
        """
        folder = instructions_folder(data)
        lines = [
            (part, number, place, fields)
            for part, name in zip(PARTS, FILES, strict=True)
            for number, (place, fields) in enumerate(read_instructions(folder / name), start=1)
        ]
        audio = _audio_folder(folder, data, lines[0][3]) if self.spoken else None
        return (_question(part, number, place, fields, audio) for part, number, place, fields in lines)

    def score(
        self, predictions: Sequence[Prediction], verdicts: Mapping[str, bool] | None = None
    ) -> dict[str, Any]:
        """Following rates: "by_part" and "by_checker", "if_rate" where all parts are scored, and "unjudged".

        Args:
            predictions: of a run.
            verdicts: id → whether a chain-of-thought response does what it was asked, by a judge.

        Raises:
            InputError: there is nothing to score, or a prediction does not carry its instructions.
        """
        verdicts = verdicts or {}
        checked, unjudged = [], 0
        for item in predictions:
            fields = item.to_dict()
            if item.task == REASONING:
                if item.id not in verdicts:
                    unjudged += 1
                    continue
                fields["correct"] = verdicts[item.id]
            try:
                checked.append(verdict_of(fields, item.id))
            except InputError as error:
                raise InputError(f"{item.id!r}: {error}") from None
        if not checked:
            raise InputError("there are no predictions to score; chain-of-thought alone needs a judge")
        score = score_verdicts(checked)
        return {
            "if_rate": None if score.if_rate is None else score.if_rate.to_dict(),
            "by_part": {part: rate.to_dict() for part, rate in score.by_part.items()},
            "by_checker": {name: rate.to_dict() for name, rate in score.by_checker.items()},
            "n": len(checked),
            "unjudged": unjudged,
        }

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """See `ifeval_rows`."""
        return ifeval_rows(predictions)

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """A line for the IFrate, each part and each rule."""
        lines = []
        if scores["if_rate"] is not None:
            lines.append(score_line("IFrate, the mean of the three parts", scores["if_rate"]))
        lines += [
            score_line(f"{part}, responses that follow", rate) for part, rate in scores["by_part"].items()
        ]
        lines += [score_line(f"  {name}", rate) for name, rate in scores["by_checker"].items()]
        if scores["unjudged"]:
            lines.append(
                f"{scores['unjudged']} chain-of-thought responses need a judge, so there is no IFrate"
            )
        return "\n".join(lines)


def _question(part: str, number: int, place: str, fields: Fields, audio: Path | None) -> Question:
    clip = Path(_clip(fields, place))
    heard: dict[str, Any] = {"type": "audio", "audio": None, "text": fields.get("textual_audio")}
    if audio is not None:
        clip = audio / clip
        heard = {"type": "audio", "audio": str(clip)}
    elif not isinstance(heard["text"], str):
        raise RecordError(f"{place}: given textual_audio={heard['text']!r}, expected the clip as a text")
    asked = fields["instruction"]
    told = {name: fields[name] for name in _TOLD if fields.get(name) is not None}
    if "label" in told:
        told["label"] = str(told["label"])
    return Question(
        f"{part}/{fields.get('id', number)}",
        [
            {
                "role": "user",
                "content": [heard, {"type": "text", "text": asked}],
            }
        ],
        {"task": part, "instruction": asked, "audio": str(clip), "clip": clip.name, **told},
    )


def _audio_folder(folder: Path, data: Path, first: Fields) -> Path:
    """Where the clips lie, found by the first of them."""
    clip = _clip(first, str(folder / FILES[0]))
    places = [folder / place for place in AUDIO_PLACES] + [data / place for place in AUDIO_PLACES[:3]]
    for place in places:
        if (place / clip).exists():
            return place.resolve()
    raise InputError(
        f"the clip {clip} is nowhere in {data}; expected the benchmark's audio in {data / 'data' / 'audios'}"
    )


def _clip(fields: Fields, place: str) -> str:
    clip = fields.get("audio_filepath")
    if not isinstance(clip, str) or not clip:
        raise RecordError(f"{place}: given audio_filepath={clip!r}, expected the path of a clip")
    return clip
