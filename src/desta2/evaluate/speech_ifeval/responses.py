"""Reading responses to Speech-IFEval, with the instructions that they answer.

Published files differ: some carry the benchmark's fields on each line, some only an id or the instruction's
text. Both are read; what a line does not say is looked up in the benchmark's folder, by its id, or, because
ids may be somebody's own, by the instruction's text and the clip.

The trade-off: a file is read whole and its mistakes are errors that name the line, because a rate over the
lines that could be understood would be the rate of another benchmark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.errors import InputError, RecordError
from desta2.evaluate.formats import parse_json
from desta2.evaluate.judging.verdicts import read_yes_no
from desta2.evaluate.speech_ifeval.checkers import CHECKERS, REASONING, check
from desta2.lines import manifest_files, numbered_lines

FILES = ("closed_ended_questions.jsonl", "creative_writing.jsonl", "chain-of-thought.jsonl")
"""The benchmark's files of instructions."""
_PLACES = (".", "eval_data", "data/eval_data")  # where they lie in the benchmark's folder
# Not "answer": in files of questions that is the right one.
_RESPONSE = ("response", "prediction", "output", "model_response", "generated_text", "completion")
_INSTRUCTION = ("instruction", "prompt", "question")
_AUDIO = ("audio_filepath", "audio_path", "audio")

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One response and whether it follows its instructions.

    Attributes:
        fields: the line as it was read.
        part: one of `PARTS`.
        names: of the instructions; empty where a judge decided.
        followed: for each instruction, or the judge's verdict alone; empty where the judge gave none.
        item: what was asked, equal for two systems: the clip's file and the instruction's text, or the id, or
            empty where the line says neither.
        clip: the clip's file, or what stands for it: responses about one clip are not independent.
    """

    fields: Fields
    part: str
    names: tuple[str, ...]
    followed: tuple[bool, ...]
    item: str
    clip: str

    def to_dict(self) -> dict[str, Any]:
        """The line with its verdicts, in the benchmark's form."""
        return {
            **self.fields,
            "follow_instruction_list": list(self.followed),
            "follow_all_instructions": all(self.followed) if self.followed else None,
        }


@dataclass(frozen=True)
class Judged:
    """What a judge just said of a chain-of-thought response.

    Attributes:
        follows: its verdict; None where it gave none.
        answer: its words; empty where it was not asked.
        reason: why there is no verdict; empty where there is one.
    """

    follows: bool | None
    answer: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The fields of a line, as the benchmark writes them; without verdict it stays to be asked again."""
        if self.follows is None:
            return {"unjudged": self.reason, "unread": self.answer}
        said = {"eval_response": self.answer} if self.answer else {}
        return {**said, "correct": self.follows}


class Instructions:
    """The benchmark's instructions, to be looked up for responses that do not carry theirs."""

    def __init__(self, folder: Path) -> None:
        """Read them from the benchmark's folder, or the `eval_data` in it; InputError where they are not."""
        place = instructions_folder(folder)
        self._by_text: defaultdict[str, list[Fields]] = defaultdict(list)
        self._by_id: dict[str, Fields] = {}
        for path in (place / name for name in FILES):
            for _, fields in read_instructions(path):
                self._by_text[fields["instruction"].strip()].append(fields)
                if "id" in fields:
                    self._by_id[str(fields["id"])] = fields

    def find(self, response: Fields) -> Fields | None:
        """The item that a response answers: by its id, unless its text is another; else by text and clip."""
        text, clip = _text(response, _INSTRUCTION), _clip(response)
        by_id = self._by_id.get(str(response.get("id")))
        if text is None or (by_id is not None and by_id["instruction"].strip() in text):
            return by_id
        found = self._by_text.get(text.strip(), [])
        if clip:
            found = [item for item in found if _clip(item) == clip]
        return found[0] if len(found) == 1 else None


def instructions_folder(folder: Path) -> Path:
    """Where the files of instructions lie in the benchmark's folder; InputError where they are not."""
    for place in _PLACES:
        if (folder / place / FILES[0]).exists():
            return folder / place
    raise InputError(f"{folder} holds no {FILES[0]}, expected the benchmark's folder or its eval_data")


def read_instructions(path: Path) -> Iterator[tuple[str, Fields]]:
    """The lines of one of the benchmark's files with their places; none where there is no such file."""
    for place, fields in read_lines(path) if path.exists() else ():
        if not isinstance(fields.get("instruction"), str):
            raise RecordError(f"{place}: the benchmark's line has no text 'instruction'")
        yield place, fields


def read_verdicts(
    path: Path, instructions: Instructions | None = None, judged: Mapping[str, Judged] | None = None
) -> list[Verdict]:
    """Read a file of responses, or a folder of parts, and check each of them.

    A line holds the response, and `instruction_id_list` with `kwargs`, or else (chain-of-thought) the judge's
    answer `eval_response`, or its verdict `correct`; what it does not hold is taken from `instructions`, and
    what a judge said now from `judged`, by the line's place (see `judge_reasoning`).

    Raises:
        InputError: there is no such file, or it holds no responses.
        RecordError: a line cannot be scored; names file and line.
    """
    verdicts = []
    for file in manifest_files(path):
        for place, fields in read_lines(file):
            try:
                said = (judged or {}).get(place)
                verdicts.append(verdict_of(fields, place, instructions, said))
            except InputError as error:
                raise RecordError(f"{place}: {error}") from None
    if not verdicts:
        raise InputError(f"{path} holds no responses; expected one JSON object a line")
    return verdicts


def read_lines(path: Path) -> Iterator[tuple[str, Fields]]:
    """The JSON objects of a file's lines, each with its place "path:LINE"; blank lines are nothing."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            fields = parse_json(line)
        except ValueError as error:
            raise RecordError(f"{place}: not valid JSON in UTF-8: {error}") from None
        if not isinstance(fields, dict):
            raise RecordError(f"{place}: given a {type(fields).__name__}, expected a JSON object")
        yield place, fields


def verdict_of(
    fields: Fields, place: str, instructions: Instructions | None = None, judged: Judged | None = None
) -> Verdict:
    """Check one response; see `read_verdicts`. InputError, without the place, where it cannot be scored."""
    asked = find_asked(fields, instructions)
    text, clip = _text(asked, _INSTRUCTION), _clip(asked)
    item = f"{clip}\n{text.strip()}" if clip and text else str(asked.get("id", ""))
    cluster = clip or item or place
    if not asked.get("instruction_id_list"):
        if judged is None:
            return Verdict(fields, REASONING, (), (_judged(asked),), item, cluster)
        said = () if judged.follows is None else (judged.follows,)
        return Verdict({**fields, **judged.to_dict()}, REASONING, (), said, item, cluster)
    response = _response(asked)
    names, arguments = _instructions(asked)
    followed = tuple(check(name, response, given) for name, given in zip(names, arguments, strict=True))
    return Verdict(fields, CHECKERS[names[0]].part, names, followed, item, cluster)


def find_asked(fields: Fields, instructions: Instructions | None) -> Fields:
    """A line with what it does not say of its instruction; InputError where that cannot be found."""
    asked: Fields = {key: value for key, value in fields.items() if value is not None}
    if not _is_complete(asked):
        asked = {**asked, **((instructions and instructions.find(asked)) or {})}
        if not _is_complete(asked):
            raise InputError(_unknown(fields, instructions))
    return asked


def open_reasoning(asked: Fields) -> tuple[str, str] | None:
    """The instruction and the response of a chain-of-thought line whose judge has not answered; else None.

    Raises:
        InputError: such a line lacks one of the two.
    """
    has_verdict = bool(asked.get("eval_response")) or isinstance(asked.get("correct"), bool)
    if asked.get("instruction_id_list") or has_verdict:
        return None
    if (instruction := _text(asked, _INSTRUCTION)) is None:
        raise InputError(f"no instruction: expected one of the fields {', '.join(_INSTRUCTION)}")
    return instruction, _response(asked)


def _is_complete(fields: Fields) -> bool:
    """Whether it is known what was asked: chain-of-thought alone names no rules, but its metric."""
    has_rules = bool(fields.get("instruction_id_list")) and "kwargs" in fields
    return has_rules or fields.get("metric") == "cot"


def _unknown(fields: Fields, instructions: Instructions | None) -> str:
    given = f"given a line with {', '.join(map(repr, fields)) or 'nothing'}"
    if instructions is None:
        return (
            f"{given}, expected 'instruction_id_list' with 'kwargs', or 'metric': \"cot\"; if responses do "
            "not carry their instructions, give the benchmark's folder with --instructions"
        )
    return f"{given}: no single instruction of the benchmark has this text and clip, or this id"


def _response(fields: Fields) -> str:
    for key in _RESPONSE:
        if key in fields:
            if not isinstance(fields[key], str):
                raise InputError(f"given {key}={fields[key]!r}, expected a text; an empty one for no answer")
            return str(fields[key])
    raise InputError(f"no response: expected one of the fields {', '.join(_RESPONSE)}")


def _instructions(fields: Fields) -> tuple[tuple[str, ...], Sequence[Fields]]:
    names, arguments = fields["instruction_id_list"], fields.get("kwargs")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"given instruction_id_list={names!r}, expected a list of one or more names")
    if not isinstance(arguments, list) or not all(isinstance(given, dict) for given in arguments):
        raise InputError(f"given kwargs={arguments!r}, expected a list with an object for each instruction")
    if len(arguments) != len(names):
        raise InputError(f"given {len(arguments)} kwargs for {len(names)} instructions, expected as many")
    return tuple(names), arguments


def _judged(fields: Fields) -> bool:
    """The verdict of a stored judge's answer, the last one that it states."""
    answer = fields.get("eval_response")
    if isinstance(answer, str):
        if (stated := read_yes_no(answer)) is not None:
            return stated
        raise InputError(f"the judge's answer ends {answer[-60:]!r}, expected 'Result: YES' or 'Result: NO'")
    if isinstance(fields.get("correct"), bool):
        return bool(fields["correct"])
    raise InputError(
        "a chain-of-thought response needs its judge's answer: expected the field 'eval_response' with "
        "'Result: YES' or 'Result: NO', or 'correct': true or false; or a judge to ask now, with --judge"
    )


def _text(fields: Fields, keys: Sequence[str]) -> str | None:
    return next((fields[key] for key in keys if isinstance(fields.get(key), str)), None)


def _clip(fields: Fields) -> str:
    """The name of the clip's file: folders differ from machine to machine, names do not repeat."""
    audio = _text(fields, _AUDIO)
    return Path(audio).name if audio else ""
