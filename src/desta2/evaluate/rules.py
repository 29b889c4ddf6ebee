"""Whether the answer to an item of the nano benchmark is right, and whether it is written as asked.

The item's task says what it is and by which rule it is judged: "family/name". The trade-off: a rule looks for
what the question asked and for nothing else, so an answer with the right "yes" and a wrong value beside it is
right. What a rule takes for the answer is said here, once, in `is_item_right`.

| task | label | right if the answer |
| --- | --- | --- |
| attribute/KEY, unseen/KEY, format/NAME, forced/KEY | the value | states this value of the attribute alone |
| describe/KEY | the value | the same; it is a description, see `read_description` |
| unknown/KEY | "not clear" | says that it is not clear, and states no value |
| kind/two | "VALUE and VALUE" | states both values, and no others |
| kind/options, kind/follow-up | the value | as for an attribute |
| kind/yes-no, kind/negation | "yes" or "no" | holds that word, and not the other |
| kind/transcribe, kind/word | the words | has exactly these words in quotes, or at all without quotes |
| kind/count, kind/count-steps, kind/rate | a number | has this number last, whatever it counts aloud before |
| kind/steps | the value | as for an attribute, behind its last "Answer:" |
| combination/KIND+FORMAT | that of the kind | is right by the rule of the kind |
"""

from __future__ import annotations

import re

from desta2.errors import InputError
from desta2.evaluate.answers import (
    check_label,
    conclusion,
    is_right,
    normalise,
    quoted,
    read_answer,
    read_description,
)
from desta2.evaluate.formats import obeys
from desta2.nano.language import UNKNOWN
from desta2.records import Prediction

SYSTEMS = ("speech", "cascade", "topline")
"""The trained model; its LLM with the transcript only; its LLM with the true seed transcript as text."""
_HEARD_AND_READ = ("speech", "topline")
ASKED = {
    "attribute": SYSTEMS,
    "unseen": _HEARD_AND_READ,
    "format": _HEARD_AND_READ,
    "kind": _HEARD_AND_READ,
    "combination": _HEARD_AND_READ,
    "unknown": _HEARD_AND_READ,
    "describe": ("speech",),
    "forced": ("speech",),
}
"""Which systems answer the items of a family."""
TWO_VALUES = " and "
"""Between the labels, and "," between the keys, of an item about two attributes."""


def family_of(item: Prediction) -> str:
    """The part of a task before the slash, one of `ASKED`.

    Raises:
        InputError: it is none of them, or nothing follows.
    """
    family, _, name = item.task.partition("/")
    if family not in ASKED or not name:
        given = f"{item.id!r} has the task {item.task!r}"
        raise InputError(f"{given}; expected NAME behind one of {', '.join(f'{one}/' for one in ASKED)}")
    return family


def name_of(item: Prediction) -> str:
    """The part of a task behind the slash: the attribute, kind, format or combination."""
    return item.task.partition("/")[2]


def key_of(item: Prediction) -> str:
    """The attribute that an item asks for; several with "," between them."""
    own = family_of(item) in ("attribute", "unseen", "unknown", "describe", "forced")
    return name_of(item) if own else extra_of(item, "key")


def label_of(item: Prediction) -> str:
    """The right answer, written as the attribute's options are.

    Raises:
        InputError: there is none, or none that the item's attribute can have.
    """
    if item.label is None:
        raise InputError(f"{item.id!r} has no label; items of the nano benchmark need one")
    family = family_of(item)
    if family in ("kind", "combination") or (family == "unknown" and item.label == UNKNOWN):
        return item.label
    return check_label(key_of(item), item.label)


def extra_of(item: Prediction, name: str) -> str:
    """What an item holds beside the fields of every prediction; "" where it does not."""
    return str((item.model_extra or {}).get(name, ""))


def is_item_right(item: Prediction) -> bool:
    """Whether the response is right, by the rule of the item's task.

    Raises:
        InputError: the task is not one of the nano benchmark's, or the label does not fit it.
    """
    family, label = family_of(item), label_of(item)
    if family == "unknown":
        return read_answer(key_of(item), item.response) == UNKNOWN
    if family == "describe":
        return read_description(key_of(item), item.response) == label
    if family not in ("kind", "combination"):
        return is_right(key_of(item), label, item.response)
    kind = name_of(item).partition("+")[0]
    if kind not in _RULES:
        raise InputError(f"{item.id!r} is of the kind {kind!r}; expected one of {', '.join(_RULES)}")
    return _RULES[kind](item, label)


def is_obeyed(item: Prediction) -> bool:
    """Whether the response to a format or combination item is written as asked; see `formats.obeys`."""
    name = name_of(item)
    return obeys(name.partition("+")[2] or name, item.response, extra_of(item, "phrase"))


def _value(item: Prediction, label: str) -> bool:
    return is_right(key_of(item), label, item.response)


def _two_values(item: Prediction, label: str) -> bool:
    keys, labels = key_of(item).split(","), label.split(TWO_VALUES)
    if len(keys) != len(labels):
        given = f"{item.id!r} has the keys {keys} and the labels {labels}"
        raise InputError(f"{given}; expected as many of each")
    return all(is_right(*pair, item.response) for pair in zip(keys, labels, strict=True))


def _yes_or_no(item: Prediction, label: str) -> bool:
    return {"yes", "no"} & set(normalise(item.response).split()) == {label}


def _words(item: Prediction, label: str) -> bool:
    return quoted(item.response) == normalise(label)


def _number(item: Prediction, label: str) -> bool:
    return re.findall(r"\d+(?:[.,]\d+)*", item.response)[-1:] == [label]


def _concluded_value(item: Prediction, label: str) -> bool:
    return is_right(key_of(item), label, conclusion(item.response))


_RULES = {
    "two": _two_values,
    "options": _value,
    "yes-no": _yes_or_no,
    "negation": _yes_or_no,
    "transcribe": _words,
    "count": _number,
    "word": _words,
    "steps": _concluded_value,
    "count-steps": _number,
    "rate": _number,
    "follow-up": _value,
}
