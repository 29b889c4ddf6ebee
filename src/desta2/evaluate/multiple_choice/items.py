"""Reading multiple choice in the form of MMAU, and asking it with options in shuffled orders.

Systems favour places: some choose the first option more often than any other. Options are therefore shown in
an order that depends on the item's id alone, the same for every system and run. With several orders, each is
the one before with every option moved on by one place, so that with as many orders as options the right one
stands in each place once, and a favour for a place gains nothing. The trade-off: each order costs an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from desta2.errors import InputError, RecordError
from desta2.evaluate.answers import normalise
from desta2.evaluate.multiple_choice.choose import LETTERS
from desta2.evaluate.systems import Question
from desta2.lines import numbered_lines

_ID = ("id", "uniq_id", "question_id")
_AUDIO = ("audio", "audio_path", "audio_id", "audio_filepath")
_CHOICES = ("choices", "options")
_GROUPS = {
    "category": ("category",),
    "subcategory": ("sub-category", "sub_category", "subcategory"),
    "difficulty": ("difficulty",),
    "dataset": ("dataset",),
}
_LETTERED = re.compile(r"\(?([A-Z])[).:]\s*(.*)", re.DOTALL)
_TASK = "multiple-choice"  # where items name none


@dataclass(frozen=True)
class Item:
    """A question with its options.

    Attributes:
        id: unique among the items.
        audio: the clip's path.
        clip: its path as the item gives it; items of one clip are not independent.
        question: without the options.
        options: in the order of the file, without letters of their own.
        right: place of the right one.
        task: such as "speech".
        groups: what else the item belongs to: category, subcategory, difficulty, dataset.
    """

    id: str
    audio: str
    clip: str
    question: str
    options: tuple[str, ...]
    right: int
    task: str
    groups: Mapping[str, str]


def read_items(data: Path) -> list[Item]:
    """The items of a `.json` file with a list of objects, or of a `.jsonl` file; or of a folder with one.

    An object has `question`, `choices`, `answer` (the right option's text, or its letter), its clip under
    `audio`, `audio_path`, `audio_id` or `audio_filepath`, relative to the file, and perhaps `id`, `task`,
    `category`, `sub-category`, `difficulty` and `dataset`.

    Raises:
        InputError: there is no such file, or a folder with none or several.
        RecordError: an object is no such item, or an id occurs twice; names the place.
    """
    path = _file(data)
    items: dict[str, Item] = {}
    for number, (place, fields) in enumerate(_rows(path), start=1):
        item = _item(fields, place, number, path.parent)
        if item.id in items:
            raise RecordError(f"{place}: the id {item.id!r} is another item's already; ids must be unique")
        items[item.id] = item
    if not items:
        raise InputError(f"{path} holds no items, expected objects with question, choices, answer and audio")
    return list(items.values())


def orders(item: Item, count: int) -> list[tuple[int, ...]]:
    """The orders in which an item's options are shown: places in the file, for each place that is shown.

    Args:
        item: the item.
        count: of orders; an item has no more of them than options.
    """
    base = list(range(len(item.options)))
    Random(f"multiple-choice-{item.id}").shuffle(base)
    return [tuple(base[-turn:] + base[:-turn]) for turn in range(min(count, len(base)))]


def question_of(item: Item, turn: int, order: Sequence[int]) -> Question:
    """An item with its options in one order, the `turn`-th from 0 on."""
    options = [item.options[place] for place in order]
    shown = "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    asked = f"{item.question}\n{shown}\nAnswer with the letter of the right option."
    content = [{"type": "audio", "audio": item.audio}, {"type": "text", "text": asked}]
    fields = {
        "task": item.task,
        "instruction": asked,
        "label": item.options[item.right],
        "audio": item.audio,
        "clip": item.clip,
        "item": item.id,
        "options": options,
        "order": list(order),
        **item.groups,
    }
    return Question(f"{item.id}#{turn + 1}", [{"role": "user", "content": content}], fields)


def _file(data: Path) -> Path:
    if not data.is_dir():
        if not data.exists():
            raise InputError(f"{data} does not exist; expected a .json or .jsonl file of multiple choice")
        return data
    found = sorted(path for path in data.iterdir() if re.search(r"\.jsonl?(\.gz|\.zst)?$", path.name))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(f"{data} has these .json and .jsonl files: {names}; expected one, or name the file")
    return found[0]


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Objects with their places."""
    if path.suffix == ".json":
        try:
            rows = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not valid JSON: {error}") from None
        if not isinstance(rows, list):
            raise InputError(f"{path}: given a {type(rows).__name__}, expected a list of objects")
        places = ((f"{path}: item {number}", row) for number, row in enumerate(rows, start=1))
    else:
        places = (
            (f"{path}:{number}", _parsed(f"{path}:{number}", line))
            for number, line in numbered_lines(path)
            if line.strip()
        )
    for place, row in places:
        if not isinstance(row, dict):
            raise RecordError(f"{place}: given a {type(row).__name__}, expected an object")
        yield place, row


def _parsed(place: str, line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{place}: not valid JSON: {error}") from None


def _item(fields: Mapping[str, Any], place: str, number: int, folder: Path) -> Item:
    options = _options(fields, place)
    clip = _text(fields, _AUDIO, place)
    return Item(
        id=str(_first(fields, _ID) or number),
        audio=str(folder / clip),
        clip=clip,
        question=_text(fields, ("question",), place),
        options=options,
        right=_right(_text(fields, ("answer",), place), options, place),
        task=str(fields.get("task") or _TASK),
        groups={name: str(found) for name, keys in _GROUPS.items() if (found := _first(fields, keys))},
    )


def _options(fields: Mapping[str, Any], place: str) -> tuple[str, ...]:
    given = _first(fields, _CHOICES)
    if not isinstance(given, list) or not all(isinstance(option, str) and option.strip() for option in given):
        raise RecordError(f"{place}: given choices={given!r}, expected a list of texts")
    lettered = [_LETTERED.fullmatch(option.strip()) for option in given]
    own = [match[1] if match and match[2] else "" for match in lettered]
    # Letters of the file's own would name other options once these are shuffled.
    named = "".join(own) == LETTERS[: len(given)]
    bare = [match[2] for match in lettered if match] if named else [option.strip() for option in given]
    if not 2 <= len(bare) <= len(LETTERS):
        raise RecordError(f"{place}: given {len(bare)} choices, expected 2 to {len(LETTERS)}")
    if len({option.casefold() for option in bare}) < len(bare):
        raise RecordError(f"{place}: two choices are the same: {', '.join(bare)}")
    return tuple(bare)


def _right(answer: str, options: Sequence[str], place: str) -> int:
    """Place of the right option, named by its text or by its letter in the file's order."""
    lettered = _LETTERED.fullmatch(answer)
    for text in (answer, *([lettered[2]] if lettered else [])):
        for same in (str.casefold, normalise):
            found = [at for at, option in enumerate(options) if same(option) == same(text) != ""]
            if len(found) == 1:
                return found[0]
    letter = answer.strip("(). ")
    if len(letter) == 1 and letter in LETTERS[: len(options)]:
        return LETTERS.index(letter)
    raise RecordError(f"{place}: the answer {answer!r} is none of the choices {', '.join(options)}")


def _first(fields: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((fields[key] for key in keys if fields.get(key) not in (None, "")), None)


def _text(fields: Mapping[str, Any], keys: Sequence[str], place: str) -> str:
    found = _first(fields, keys)
    if not isinstance(found, str) or not found.strip():
        raise RecordError(f"{place}: given {keys[0]}={found!r}, expected a text")
    return found.strip()
