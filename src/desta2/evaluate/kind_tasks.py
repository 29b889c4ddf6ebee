"""Items of the nano benchmark that ask in other ways than for one attribute: kinds and combinations.

One item of each kind for a clip, of which two are drawn: yes or no with a negation or without, and one of
three step-by-step questions. The trade-off: not every attribute is asked in every kind about every clip,
which would be hundreds of questions; over many clips each occurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from desta2.evaluate.rules import TWO_VALUES
from desta2.nano.language import HELD_OUT_COMBINATIONS, Exchange, Facts, ask, ask_kind, combine, draw_format

KINDS = (
    ("two",),
    ("options",),
    ("yes-no", "negation"),
    ("transcribe",),
    ("count",),
    ("steps", "count-steps", "rate"),
    ("follow-up",),
    ("word",),
)
"""A clip is asked one of each."""
_KEYS_NEEDED = {"two": 2, "options": 1, "yes-no": 1, "negation": 1, "steps": 1, "follow-up": 2}
_COMBINATIONS = sorted(HELD_OUT_COMBINATIONS)


def kind_questions(facts: Facts, rng: Random) -> Iterator[tuple[str, Exchange, str]]:
    """One question of each of `KINDS` that can be answered from the facts.

    Returns:
        name of the kind, the exchange, and for a follow-up the question before it, else "".
    """
    for names in KINDS:
        if possible := [name for name in names if _can_ask(name, facts)]:
            yield _ask(rng.choice(possible), facts, rng)


def combination_question(facts: Facts, rng: Random) -> tuple[str, Exchange, str, str, str] | None:
    """One of `HELD_OUT_COMBINATIONS` that can be answered from the facts; None if none can.

    Returns:
        "<kind>+<format>", the exchange, the question before it or "", the instruction, and the phrase that a
        start or end format asks for.
    """
    possible = [pair for pair in _COMBINATIONS if _can_ask(pair[0], facts)]
    if not possible:
        return None
    kind, name = rng.choice(possible)
    _, exchange, first = _ask(kind, facts, rng)
    fmt = draw_format(name, rng)
    instruction, _ = combine(exchange, fmt, facts, rng)
    return f"{kind}+{name}", exchange, first, instruction, fmt.phrase


def label_of_kind(kind: str, exchange: Exchange, facts: Facts) -> tuple[str, str]:
    """Key and label of a question, as `rules` reads them; no key for questions about the words."""
    last = exchange.sentences[-1]
    match kind:
        case "transcribe":
            return "", facts.text
        case "count" | "count-steps" | "rate" | "word":
            return "", last.removesuffix(".").split()[-1].strip('"')
        case "yes-no" | "negation":
            return exchange.keys[0], last.split(",")[0].lower()
    return ",".join(exchange.keys), TWO_VALUES.join(facts.values[key] for key in exchange.keys)


def _can_ask(kind: str, facts: Facts) -> bool:
    if kind == "rate":
        return bool(facts.words) and "duration" in facts.values
    if kind in _KEYS_NEEDED:
        return len(facts.values) >= _KEYS_NEEDED[kind]
    return bool(facts.words)


def _ask(kind: str, facts: Facts, rng: Random) -> tuple[str, Exchange, str]:
    known: Sequence[str] = list(facts.values)
    keys = rng.sample(known, min(3, len(known)))
    first = ask(facts, keys[1], rng).question if kind == "follow-up" else ""
    return kind, ask_kind(kind, facts, keys, rng), first
