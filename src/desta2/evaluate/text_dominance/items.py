"""The same question about a clip with its voice, without it, and with words that are another clip's.

A model that reads a transcript beside the adapter's vectors may answer from the words alone. Four conditions
tell: with everything; without the vectors; with the transcript of another clip, of which the attribute has
another value; and with that clip's seed transcript, which states the other value outright.

The trade-off: the other clip is drawn by the item's id alone, so every model meets the same conflicts; what
its words say about the attribute is whatever the corpus has them say. In nano speech that is nothing, where
emotions are acted in words as well it is much; the fourth condition says much in every corpus.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from desta2.data.seed import seed_clip
from desta2.errors import InputError
from desta2.evaluate.answers import normalise
from desta2.evaluate.clips import audio_of
from desta2.evaluate.systems import Question
from desta2.evaluate.tasks import facts_of
from desta2.nano.language import ASPECT, ask
from desta2.records import Clip, read_records

logger = logging.getLogger(__name__)
AUDIO, TRANSCRIPT, CONFLICT, STATED = "audio", "transcript", "conflict", "stated"
CONDITIONS = (AUDIO, TRANSCRIPT, CONFLICT, STATED)
"""Everything; no vectors; another clip's words; another clip's seed transcript, with its labels."""
MAX_OPTIONS = 12
_NANO = "nano"  # the source of clips whose questions the nano LLM knows
_DRAWS = 20  # of another clip, until one has other words
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Item:
    """One attribute of one clip.

    Attributes:
        clip: whose voice is heard.
        key: the attribute.
        instruction: what is asked.
        options: the values that an answer may name.
        label: the clip's value.
        other: the clip whose words are put in place of its own.
        other_label: that clip's value, which is another.
    """

    clip: Clip
    key: str
    instruction: str
    options: tuple[str, ...]
    label: str
    other: Clip
    other_label: str


def read_items(manifest: Path) -> list[Item]:
    """All items of labelled clips with words: one for each attribute that has 2 to 12 values.

    Clips whose source is "nano" are asked in the nano LLM's wordings; others are asked for one of the values
    that occur.

    Raises:
        InputError: no clip has words and labels, or no two clips differ in both.
    """
    clips = [clip for clip in read_records(manifest, Clip) if clip.text]
    nano = all(clip.source == _NANO for clip in clips)
    labels = {clip.id: dict(facts_of(clip).values if nano else clip.attributes) for clip in clips}
    by_value: defaultdict[str, defaultdict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        for key, value in labels[clip.id].items():
            by_value[key][value].append(clip)
    for key in [key for key, values in by_value.items() if not 2 <= len(values) <= MAX_OPTIONS]:
        logger.warning("%s has %d values and is not asked about", key, len(by_value.pop(key)))
    items = [
        item
        for clip in clips
        for key in labels[clip.id]
        if key in by_value and (item := _item(clip, key, labels, by_value[key], nano)) is not None
    ]
    if not items:
        raise InputError(
            f"{manifest} has no two clips with other words and another value of an attribute; expected clips "
            f"with a text and attributes of 2 to {MAX_OPTIONS} values (desta2 annotate measures some)"
        )
    return items


def questions_of(items: Sequence[Item], manifest: Path) -> Iterator[Question]:
    """Each item under each of the conditions.

    Raises:
        AudioError: a clip's file is missing.
        InputError: the length of a clip is not known, which its seed transcript needs.
    """
    for item in items:
        audio = audio_of(item.clip, manifest)
        words = {CONFLICT: item.other.text, STATED: seed_clip(item.other).seed}
        for condition in CONDITIONS:
            given = {"text": words[condition]} if condition in words else {}
            content = [
                {"type": "audio", "audio": audio, **given},
                {"type": "text", "text": item.instruction},
            ]
            yield Question(
                f"{item.clip.id}/{item.key}/{condition}",
                [{"role": "user", "content": content}],
                _fields(item, condition) | ({"words": words[condition]} if given else {}),
                vectors=condition != TRANSCRIPT,
            )


def _fields(item: Item, condition: str) -> dict[str, Any]:
    return {
        "task": f"attribute/{item.key}",
        "condition": condition,
        "instruction": item.instruction,
        "label": item.label,
        "words_label": item.other_label,
        "options": list(item.options),
        "audio": item.clip.audio,
        "clip": item.clip.id,
        "words_clip": item.other.id,
        "speaker": item.clip.speaker or item.clip.id,
    }


def _item(
    clip: Clip, key: str, labels: Mapping[str, Labels], by_value: Mapping[str, Sequence[Clip]], nano: bool
) -> Item | None:
    """The item; None where no clip with another value and other words is found."""
    label, rng = labels[clip.id][key], Random(f"text-dominance-{clip.id}-{key}")
    others = sorted(value for value in by_value if value != label)
    for _ in range(_DRAWS):
        value = rng.choice(others)
        other = rng.choice(by_value[value])
        if normalise(other.text or "") != normalise(clip.text or ""):
            break
    else:
        return None
    if nano:
        options, instruction = ASPECT[key].options, ask(facts_of(clip), key, rng).question
    else:
        options = tuple(sorted(by_value))
        name = key.replace("_", " ")
        instruction = f"What is the {name} in this audio? Answer with one of these: {', '.join(options)}."
    return Item(clip, key, instruction, tuple(options), label, other, value)
