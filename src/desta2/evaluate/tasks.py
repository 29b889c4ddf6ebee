"""The nano benchmark: questions about held-out nano clips, which adapter training never asked.

Each clip gets one question per attribute that is known of it, in a wording drawn from those that the LLM was
trained on (as text), and two questions with a format to be obeyed. Draws depend on the clip's id alone, so
every system answers the same items. "Held out" means from the adapter: it was trained on descriptions
only. Wordings and formats that the LLM itself never saw are a later step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from desta2.nano.language import ASPECTS, FORMATS, Facts, ask, combine, draw_format, fits, spoken_value
from desta2.records import Clip

FORMATS_PER_CLIP = 2


@dataclass(frozen=True)
class Item:
    """One question about one clip.

    Attributes:
        id: "<clip id>/<task>".
        clip: id of the clip.
        task: "attribute/<key>" or "format/<name>".
        key: the attribute that it is about.
        instruction: what is asked.
        label: the attribute's right value.
        phrase: what a start or end format asks for.
    """

    id: str
    clip: str
    task: str
    key: str
    instruction: str
    label: str
    phrase: str = ""


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
    """All items of some annotated clips."""
    items = []
    for clip in clips:
        rng = Random(f"nano-benchmark-{clip.id}")
        facts = facts_of(clip)
        for key, value in facts.values.items():
            task = f"attribute/{key}"
            items.append(Item(f"{clip.id}/{task}", clip.id, task, key, ask(facts, key, rng).question, value))
        for name in rng.sample(FORMATS, FORMATS_PER_CLIP):
            exchanges = {key: ask(facts, key, rng) for key in facts.values}
            suitable = [key for key, exchange in exchanges.items() if fits(name, exchange)]
            if not suitable:
                continue
            key = rng.choice(suitable)
            fmt = draw_format(name, rng)
            task, label = f"format/{name}", facts.values[key]
            instruction, _ = combine(exchanges[key], fmt, facts, rng)
            items.append(Item(f"{clip.id}/{task}", clip.id, task, key, instruction, label, fmt.phrase))
    return items
