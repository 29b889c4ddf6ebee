"""The nano benchmark: questions about held-out nano clips, which adapter training never asked.

A clip is asked for each attribute that is known of it, in a wording that the LLM was trained on (as text),
and once in a wording that it never saw; it is to be described, once; the same attribute questions are given
for a forced choice; then one question of each kind, one combination of kind and format that nobody was
trained on, two formats, and one question that no nano clip can answer. Draws depend on the clip's id alone,
so every system answers the same items. The trade-off: held-out wordings and combinations are one for each
clip, so each single one has few items; the families have many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from desta2.evaluate.kind_tasks import combination_question, kind_questions, label_of_kind
from desta2.nano.language import (
    ASPECTS,
    DESCRIBE,
    FORMATS,
    UNKNOWN,
    Facts,
    ask,
    combine,
    draw_format,
    fits,
    spoken_value,
)
from desta2.records import Clip

FORMATS_PER_CLIP = 2
UNANSWERABLE = "age"
"""The attribute that the nano world does not have."""


@dataclass(frozen=True)
class Item:
    """One question about one clip.

    Attributes:
        id: "<clip id>/<task>".
        clip: id of the clip.
        task: "family/name"; see the table in `rules`.
        key: the attribute that it is about; two with "," between them; "" for questions about the words.
        instruction: what is asked.
        label: the right answer; see the table in `rules`.
        phrase: what a start or end format asks for.
        first: the question before a follow-up, answered by the system itself.
    """

    id: str
    clip: str
    task: str
    key: str
    instruction: str
    label: str
    phrase: str = ""
    first: str = ""


def facts_of(clip: Clip) -> Facts:
    """Words and spoken values of an annotated clip; values outside the nano vocabulary are left out."""
    values = {}
    for aspect in ASPECTS:
        written = clip.attributes.get(aspect.key)
        value = spoken_value(aspect.key, written) if written is not None else None
        if value is not None:
            values[aspect.key] = value
    return Facts(clip.text or "", values)


def nano_items(clips: Iterable[Clip]) -> list[Item]:
    """All items of some annotated clips; none of a clip without known attributes."""
    items = []
    for clip in clips:
        facts = facts_of(clip)
        if facts.values:
            rng = Random(f"nano-benchmark-{clip.id}")
            asked = list(_attributes(clip.id, facts, rng))
            items += [*asked, *_formats(clip.id, facts, rng)]
            items += _unseen_and_unknown(clip.id, facts, Random(f"nano-benchmark-unseen-{clip.id}"))
            items += _kinds(clip.id, facts, Random(f"nano-benchmark-kinds-{clip.id}"))
            items += [
                _item(clip.id, f"describe/{item.key}", item.key, DESCRIBE, item.label) for item in asked
            ]
            items += [
                _item(clip.id, f"forced/{item.key}", item.key, item.instruction, item.label) for item in asked
            ]
    return items


def _item(clip: str, task: str, key: str, instruction: str, label: str, **more: str) -> Item:
    return Item(f"{clip}/{task}", clip, task, key, instruction, label, **more)


def _attributes(clip: str, facts: Facts, rng: Random) -> Iterator[Item]:
    for key, value in facts.values.items():
        yield _item(clip, f"attribute/{key}", key, ask(facts, key, rng).question, value)


def _formats(clip: str, facts: Facts, rng: Random) -> Iterator[Item]:
    for name in rng.sample(FORMATS, FORMATS_PER_CLIP):
        exchanges = {key: ask(facts, key, rng) for key in facts.values}
        suitable = [key for key, exchange in exchanges.items() if fits(name, exchange)]
        if not suitable:
            continue
        key = rng.choice(suitable)
        fmt = draw_format(name, rng)
        instruction, _ = combine(exchanges[key], fmt, facts, rng)
        yield _item(clip, f"format/{name}", key, instruction, facts.values[key], phrase=fmt.phrase)


def _unseen_and_unknown(clip: str, facts: Facts, rng: Random) -> Iterator[Item]:
    key = rng.choice(list(facts.values))
    question = ask(facts, key, rng, held_out=True).question
    yield _item(clip, f"unseen/{key}", key, question, facts.values[key])
    if UNANSWERABLE not in facts.values:
        question = ask(facts, UNANSWERABLE, rng).question
        yield _item(clip, f"unknown/{UNANSWERABLE}", UNANSWERABLE, question, UNKNOWN)


def _kinds(clip: str, facts: Facts, rng: Random) -> Iterator[Item]:
    for kind, exchange, first in kind_questions(facts, rng):
        key, label = label_of_kind(kind, exchange, facts)
        yield _item(clip, f"kind/{kind}", key, exchange.question, label, first=first)
    if drawn := combination_question(facts, rng):
        name, exchange, first, instruction, phrase = drawn
        key, label = label_of_kind(name.partition("+")[0], exchange, facts)
        yield _item(clip, f"combination/{name}", key, instruction, label, phrase=phrase, first=first)
