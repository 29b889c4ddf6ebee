"""What the nano LLM is taught: clips that nobody recorded, questions about them, and the right answers.

Attributes are drawn apart from the words and from each other, so that reading the seed is the only way to
know. Half of the texts are random words: what is copied must not depend on what is usually said. Only
sentences of the training split occur. Seeds start with one attribute and one word and grow over the first
part of the training; formats come a little later, and negations when seeds have grown.
"""

from __future__ import annotations

from random import Random

from desta2.data.seed import Turn, format_seed
from desta2.nano.grammar import WORDS, draw_sentence
from desta2.nano.language import (
    ASPECTS,
    DESCRIBE,
    DESCRIBE_ALSO,
    FORMATS,
    HELD_OUT_COMBINATIONS,
    KINDS,
    NUMBER,
    REPEAT,
    Exchange,
    Facts,
    ask_kind,
    combine,
    describe,
    draw_format,
    fits,
    written_value,
)
from desta2.nano.phrasing import SENTENCES, Phrasing

GROWTH = 0.25  # share of the training over which seeds grow
_MOST_WORDS = 10  # in a row of random ones
_FORMATS_FROM = 0.1
# Counting takes more practice than reading, and yes or no the comparison of two places.
_KIND_WEIGHTS = dict(zip(KINDS, (17, 0, 10, 9, 13, 8, 10, 7, 8, 5, 4, 5), strict=True))
_DESCRIPTIONS = 0.14
# These say the value in another form than the seed does, which takes more practice than the rest.
_FORMAT_WEIGHTS = {"word": 3, "json": 2, "capitals": 2}
_KEYS = [aspect.key for aspect in ASPECTS]


def draw_text(rng: Random, split: str) -> str:
    """What a clip says: one sentence of a split, in a quarter of the clips two or three."""
    sentences = rng.choices((1, 2, 3), (0.75, 0.18, 0.07))[0]
    return ". ".join(draw_sentence(rng, split) for _ in range(sentences))


def draw_facts(rng: Random, progress: float, phrasing: Phrasing = SENTENCES) -> Facts:
    """Words and attributes, few at first and all of them after `GROWTH` of the training."""
    grown = min(1.0, progress / GROWTH)
    if rng.random() < 0.5:
        most = 1 + round((_MOST_WORDS - 1) * grown)
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, most)))
    else:
        text = draw_text(rng, "train")
        if grown < 1:
            text = " ".join(text.replace(".", "").split()[: 1 + round(_MOST_WORDS * grown)])
    keep = 1.0 if rng.random() < 0.6 else rng.uniform(0.2, 1.0)
    aspects = [aspect for aspect in ASPECTS if rng.random() < keep]
    aspects = rng.sample(aspects, min(1 + round((len(ASPECTS) - 1) * grown), len(aspects)))
    return Facts(text, {a.key: rng.choice(a.options) for a in ASPECTS if a in aspects}, phrasing)


def seed_text(facts: Facts, rng: Random) -> str:
    """The seed transcript of facts, as `desta2 seed` would write it."""
    duration = facts.values.get("duration")
    seconds = int(duration.split()[0]) if duration else rng.randint(1, 8)
    written = {a.label: written_value(a.key, facts.values[a.key]) for a in ASPECTS if a.key in facts.values}
    # The clock is rounded up and the attribute to the nearest second: they may differ by one.
    return format_seed([Turn(0, seconds + rng.choice((0, 0, 1)), facts.text, written)])


def draw_keys(facts: Facts, count: int, rng: Random) -> list[str]:
    """Different attributes to ask for, mostly known ones: "not clear" is taught sparingly."""
    unknown = [key for key in _KEYS if key not in facts.values]
    weights = {key: 0.12 / len(unknown) if key in unknown else 0.88 / len(facts.values) for key in _KEYS}
    keys: list[str] = []
    while len(keys) < count:
        left = [key for key in _KEYS if key not in keys]
        keys += rng.choices(left, [weights[key] for key in left])
    return keys


def draw_exchange(facts: Facts, rng: Random, progress: float) -> Exchange:
    """A description or a first question.

    Negations wait until seeds have grown. As many of them as of plain questions, from the start, would hide
    that "yes" has to do with a value being there.
    """
    if rng.random() < _DESCRIPTIONS:
        prompt = DESCRIBE if rng.random() < 0.7 else rng.choice(DESCRIBE_ALSO)
        return Exchange(prompt, describe(facts, rng), (), "describe")
    kinds = [kind for kind in KINDS if kind != "negation" or progress >= GROWTH]
    kind = rng.choices(kinds, [_KIND_WEIGHTS[kind] for kind in kinds])[0]
    return ask_kind(kind, facts, draw_keys(facts, 3, rng), rng)


def draw_conversation(facts: Facts, rng: Random, progress: float) -> list[tuple[str, str]]:
    """One or two instructions about a clip with these facts, each with its answer."""
    exchanges = [draw_exchange(facts, rng, progress)]
    if rng.random() < 0.25:
        follow_up = ask_kind("follow-up", facts, draw_keys(facts, 1, rng), rng)
        exchanges.append(follow_up if rng.random() < 0.6 else draw_exchange(facts, rng, progress))
    return [_formatted(exchange, facts, rng, progress) for exchange in exchanges]


def _formatted(exchange: Exchange, facts: Facts, rng: Random, progress: float) -> tuple[str, str]:
    wanted = progress > _FORMATS_FROM and rng.random() < (0.15 if exchange.kind == "describe" else 0.5)
    names = [name for name in FORMATS if wanted and _is_taught(name, exchange)]
    if not names:
        return combine(exchange, None, facts, rng)
    name = rng.choices(names, [_FORMAT_WEIGHTS.get(name, 1) for name in names])[0]
    return combine(exchange, draw_format(name, rng), facts, rng)


def _is_taught(name: str, exchange: Exchange) -> bool:
    return fits(name, exchange) and (exchange.kind, name) not in HELD_OUT_COMBINATIONS


def draw_repetition(rng: Random) -> tuple[str, str]:
    """Words to be repeated or numbered, and how that is done."""
    words = " ".join(rng.choices(WORDS, k=rng.randint(2, _MOST_WORDS)))
    if rng.random() < 0.5:
        return rng.choice(REPEAT).format(words), words
    return rng.choice(NUMBER).format(words), Facts(words, {}).counted()
