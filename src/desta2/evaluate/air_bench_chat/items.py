"""Reading AIR-Bench-Chat: its items, the questions for a system, and the answers that a system gave.

The layout is the published one: a folder with `Chat_meta.json`, a list of objects with `path`, `question`,
`answer_gt`, `task_name`, `dataset_name`, `uniq_id` and `meta_info` (the description of the audio that the
judge gets), and beside it the audio as `TASK_DATASET/PATH`. Answers are our predictions, or lines as the
benchmark's own script writes them; both carry the whole item, so they can be judged without the benchmark.

The trade-off: tasks whose whole folder is missing are left out with a warning, since the benchmark is 49 GB
and speech alone may be wanted; one missing file in a folder that is there is an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from desta2.errors import AudioError, InputError, RecordError
from desta2.evaluate.formats import parse_json
from desta2.evaluate.speech_ifeval.responses import read_lines
from desta2.evaluate.systems import Question
from desta2.lines import manifest_files

log = logging.getLogger(__name__)
META = "Chat_meta.json"
_PLACES = (".", "Chat")

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One question about one clip.

    Attributes:
        id: the benchmark's `uniq_id` as text.
        task: such as "speech_dialogue_QA".
        dataset: where the clip comes from.
        path: the clip's file in the folder of task and dataset.
        question: what is asked.
        reference: the benchmark's own answer.
        description: of the audio, for the judge.
    """

    id: str
    task: str
    dataset: str
    path: str
    question: str
    reference: str
    description: str

    @property
    def clip(self) -> str:
        """The recording; several tasks may ask about one."""
        return f"{self.dataset}/{self.path}"


@dataclass(frozen=True)
class Answer:
    """A system's answer to an item; `response` is None where the line holds none, `fields` are the line's."""

    item: Item
    response: str | None
    fields: Fields


def read_items(data: Path) -> list[Item]:
    """The items of the benchmark in the folder `data` (or its `Chat`), or of a `Chat_meta.json`.

    Raises:
        InputError: there is no such file, it is not a list of items, or a `uniq_id` occurs twice.
    """
    meta = _meta_file(data)
    try:
        rows = parse_json(meta.read_bytes())
    except ValueError as error:
        raise InputError(f"{meta} is not valid JSON: {error}") from None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{meta} holds no items; expected a list of objects")
    items: dict[str, Item] = {}
    for number, row in enumerate(rows):
        try:
            item = _item(row if isinstance(row, dict) else {}, str(number))
        except InputError as error:
            raise InputError(f"{meta}, item {number}: {error}") from None
        if item.id in items:
            raise InputError(f"{meta}, item {number}: the uniq_id {item.id} occurs twice")
        items[item.id] = item
    return list(items.values())


def questions(data: Path) -> Iterator[Question]:
    """What a system is asked, in the benchmark's order; each question carries the whole item.

    Raises:
        InputError: as `read_items`; or none of the audio folders is there.
        AudioError: a clip is missing in a folder that is there.
    """
    items, folder = read_items(data), _meta_file(data).parent
    wanted = list(dict.fromkeys(_audio_folder(item) for item in items))
    absent = {name for name in wanted if not (folder / name).is_dir()}
    if len(absent) == len(wanted):
        raise InputError(f"{folder} holds none of the audio folders; expected {wanted[0]} and others")
    if absent:
        log.warning("left out, since their folders are not in %s: %s", folder, ", ".join(sorted(absent)))
    for item in items:
        if _audio_folder(item) in absent:
            continue
        audio = folder / _audio_folder(item) / item.path
        if not audio.is_file():
            raise AudioError(f"item {item.id}: no audio file at {audio}; is the download whole?")
        fields = {
            "task": item.task,
            "instruction": item.question,
            "label": item.reference,
            "audio": str(audio),
            "clip": item.clip,
            "dataset_name": item.dataset,
            "path": item.path,
            "meta_info": item.description,
        }
        content = [{"type": "audio", "audio": str(audio)}, {"type": "text", "text": item.question}]
        yield Question(item.id, [{"role": "user", "content": content}], fields)


def read_answers(files: Sequence[Path], items: Sequence[Item] | None = None) -> list[Answer]:
    """The answers of a system, in order.

    A line is a prediction of ours, or one of the benchmark's own script; it has the `response`, and either
    the whole item or, where `items` are given, the `uniq_id` (or `id`) or the task, clip and question of one.

    Raises:
        InputError: there is no such file, or it holds nothing.
        RecordError: a line cannot be understood, or answers an item again; names file and line.
    """
    lines = (line for path in files for file in manifest_files(path) for line in read_lines(file))
    answers = match_answers(lines, items)
    if not answers:
        raise InputError(f"{', '.join(map(str, files))}: no answers; expected one JSON object a line")
    return answers


def match_answers(lines: Iterable[tuple[str, Fields]], items: Sequence[Item] | None = None) -> list[Answer]:
    """The same for lines that are read, each with its place for errors."""
    known = None if items is None else _Known(items)
    answers: dict[str, Answer] = {}
    for place, fields in lines:
        try:
            item = _item(fields, "") if known is None else known.find(fields)
            response = fields.get("response")
            if response is not None and not isinstance(response, str):
                raise InputError(f"given response={response!r}, expected a text")
        except InputError as error:
            hint = "; where lines do not carry the items, give the benchmark's folder with --data"
            raise RecordError(f"{place}: {error}{hint if known is None else ''}") from None
        if item.id in answers:
            raise RecordError(f"{place}: item {item.id} is answered a second time; keep one answer to each")
        answers[item.id] = Answer(item, response, fields)
    return list(answers.values())


class _Known:
    """The benchmark's items, to be found for a line."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._by_id = {item.id: item for item in items}
        self._by_text = {(item.task, item.dataset, item.path, item.question): item for item in items}

    def find(self, fields: Fields) -> Item:
        """By id, unless the line's question is another's; else by task, clip and question."""
        question = _first(fields, "question", "instruction")
        item = self._by_id.get(str(_first(fields, "uniq_id", "id")))
        if item is not None and question in (None, item.question):
            return item
        text = (_first(fields, "task_name", "task"), fields.get("dataset_name"), fields.get("path"), question)
        if text in self._by_text:
            return self._by_text[text]
        named = f"uniq_id {item.id} asks another question" if item else "no item has this id"
        raise InputError(f"{named}, and none this task_name, dataset_name, path and question")


def _meta_file(data: Path) -> Path:
    places = [data] if data.is_file() else [data / place / META for place in _PLACES]
    for place in places:
        if place.is_file():
            return place
    raise InputError(f"{data} holds no {META}; expected the folder Chat of AIR-Bench")


def _audio_folder(item: Item) -> str:
    return f"{item.task}_{item.dataset}"


def _item(fields: Fields, number: str) -> Item:
    key = _first(fields, "uniq_id", "id")
    if key is None and not number:
        raise InputError("the line has neither 'uniq_id' nor 'id'")
    return Item(
        number if key is None else str(key),
        _text(fields, "task_name", "task"),
        _text(fields, "dataset_name"),
        _text(fields, "path"),
        _text(fields, "question", "instruction"),
        _text(fields, "answer_gt", "label"),
        _description(fields),
    )


def _description(fields: Fields) -> str:
    """As the benchmark writes it: a text, which often is a list or an object in Python's notation."""
    found = fields.get("meta_info")
    if isinstance(found, dict | list) and found:
        return json.dumps(found, ensure_ascii=False)
    return _text(fields, "meta_info")


def _text(fields: Fields, *keys: str) -> str:
    found = _first(fields, *keys)
    if not isinstance(found, str) or not found.strip():
        given = "nothing" if found is None else repr(found)[:60]
        raise InputError(f"{' or '.join(map(repr, keys))} should be a text, given {given}")
    return found


def _first(fields: Fields, *keys: str) -> Any:
    return next((fields[key] for key in keys if fields.get(key) is not None), None)
