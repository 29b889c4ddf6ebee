"""What is said in the nano world: short English sentences from a small grammar, each with an intent.

More than 400 words in sentences of four to ten words, six kinds of them: the intent of a sentence is the kind
it was drawn from, and the patterns of a kind begin in different ways, so that no single first word gives it
away. A sentence belongs to one split only, decided by a hash of its text: held-out clips say sentences that
no training clip says.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from random import Random

from desta2.nano.lexicon import (
    ANIMALS,
    BEASTLY,
    COLOURS,
    COMING_TIMES,
    DAYS,
    DONE_TO,
    FAVORS,
    FIERCE,
    HARM,
    IDLE,
    MANNERS,
    NUMBERS,
    PAST_TIMES,
    PEOPLE,
    PERILS,
    PLACES,
    PLURALS,
    THINGS,
    TIMES,
    TO_PEOPLE,
    TRAITS,
    TROUBLES,
    VERBS,
    WEAR,
)

SPLITS = ("train", "val", "test")
MIN_WORDS, MAX_WORDS = 4, 10
_SHORT = 7  # words of a sentence that is not alone

# What stands in braces is drawn by `_FILL`; a verb and the thing that it is done to belong together, so {do},
# {did} and {doing} draw both, {harm}, {harmed} and {harming} with something that one is sorry for.
PATTERNS: dict[str, tuple[str, ...]] = {
    "informing": (
        "{actor} {did} {then}",
        "{actor} {idle} {where}",
        "{actor} and {actor} {idle} {how}",
        "{actor} {met} {actor} {then}",
        "there are {number} {plural} {where}",
        "my {person} is a {trait} {person}",
        "i {did} {then}",
        "we {bought} {number} {plural} on {day}",
        "every {day} {actor} {idle} {where}",
        "yesterday {actor} {did}",
    ),
    "asking": (
        "did {actor} {do} {then}",
        "where did {actor} {do}",
        "who {did} {then}",
        "when will {actor} {do}",
        "how many {plural} are {where}",
        "why is {actor} so {trait} {soon}",
        "do you know who {did}",
        "is {actor} {where}",
        "what happened to {thing} {then}",
        "which {person} {did} {then}",
        "can your {person} {do} {soon}",
    ),
    "requesting": (
        "please {do} {soon}",
        "{do} {where} please",
        "could you {do} {soon}",
        "would you please {do} {how}",
        "can you help me {do} {soon}",
        "i need you to {do} {soon}",
        "let us {do} {soon}",
        "do not {do} {how} please",
    ),
    "warning": (
        "look out {fierce} is coming",
        "watch out for {fierce} {soon}",
        "be careful {peril}",
        "stop {peril}",
        "do not touch {fierce} {where}",
        "stay away from {fierce} {soon}",
        "{peril} be careful",
        "{fierce} is behind you run",
        "never {do} during a storm",
        "danger {fierce} escaped {then}",
    ),
    "thanking": (
        "thank you for {doing} {then}",
        "thanks for the {favor} {then}",
        "many thanks to {actor} for the {favor}",
        "i am grateful for {favors}",
        "i really appreciate {favors} {then}",
        "it was so kind of you to {do} {soon}",
        "we thank {actor} for {doing}",
        "how nice that you {did} thanks",
    ),
    "apologizing": (
        "i am sorry about the {trouble} {then}",
        "sorry for {harming} {then}",
        "please forgive me for {harming} {then}",
        "i apologize for the {trouble} {then}",
        "excuse the {trouble} {where}",
        "i did not mean to {harm} {then}",
        "it was my fault that {actor} {harmed}",
        "we are sorry that {actor} {harmed}",
        "the {trouble} {where} was my fault",
    ),
}
INTENTS = tuple(PATTERNS)


def _described(noun: str, adjectives: list[str], rng: Random) -> str:
    determiner = rng.choices(("the", "my", "our", "your"), (6, 2, 1, 1))[0]
    return f"{determiner} {rng.choice(adjectives)} {noun}" if rng.random() < 0.35 else f"{determiner} {noun}"


def _actor(rng: Random) -> str:
    if rng.random() < 0.65:
        return _described(rng.choice(PEOPLE), TRAITS, rng)
    return _described(rng.choice(ANIMALS), BEASTLY, rng)


def _fierce(rng: Random) -> str:
    return f"the {rng.choice(FIERCE)} {rng.choice(ANIMALS)}"


def _thing(rng: Random, thing: str | None = None) -> str:
    return _described(thing or rng.choice(THINGS), rng.choice((COLOURS, WEAR)), rng)


def _deed(rng: Random, form: int, verbs: list[str] | None = None) -> str:
    """A verb (form 0: base, 1: past, 2: -ing), of `verbs` or of the usual ones, and its thing."""
    thing = rng.choice(THINGS)
    verb = rng.choice(verbs or DONE_TO[thing])
    return f"{(verb, *VERBS[verb])[form]} {_thing(rng, thing)}"


def _where(rng: Random) -> str:
    preposition, place = rng.choice([(p, place) for p, places in PLACES.items() for place in places])
    return f"{preposition} the {place}"


def _end(rng: Random, times: list[str]) -> str:
    """How a sentence may end: with a place, a time, or neither."""
    kind = rng.random()
    return "" if kind < 0.1 else _where(rng) if kind < 0.48 else rng.choice(times)


def _peril(rng: Random) -> str:
    noun, state = rng.choice([(n, s) for ns, ss in PERILS.items() for n in ns.split() for s in ss.split()])
    return f"the {noun} is {state}"


_FILL: dict[str, Callable[[Random], str]] = {
    "actor": _actor,
    "fierce": _fierce,
    "thing": _thing,
    "do": lambda rng: _deed(rng, 0),
    "did": lambda rng: _deed(rng, 1),
    "doing": lambda rng: _deed(rng, 2),
    "harm": lambda rng: _deed(rng, 0, HARM),
    "harmed": lambda rng: _deed(rng, 1, HARM),
    "harming": lambda rng: _deed(rng, 2, HARM),
    "bought": lambda rng: rng.choice(("bought", "sold", "found", "lost")),
    "met": lambda rng: rng.choice(TO_PEOPLE),
    "idle": lambda rng: rng.choice(IDLE),
    "person": lambda rng: rng.choice(PEOPLE),
    "trait": lambda rng: rng.choice(TRAITS),
    "number": lambda rng: rng.choice(NUMBERS),
    "plural": lambda rng: rng.choice(PLURALS),
    "day": lambda rng: rng.choice(DAYS),
    "how": lambda rng: rng.choice(MANNERS),
    "where": _where,
    "then": lambda rng: _end(rng, PAST_TIMES),
    "soon": lambda rng: _end(rng, COMING_TIMES),
    "peril": _peril,
    "trouble": lambda rng: rng.choice(TROUBLES),
    "favor": lambda rng: rng.choice(FAVORS),
    "favors": lambda rng: f"{rng.choice(('your', 'the'))} {rng.choice(FAVORS)}",
}
_SLOT = re.compile(r"\{([a-z]+)\}")


def _words() -> set[str]:
    """Every word that a sentence can hold: those of the patterns and those of the lexicon."""
    found = set(_SLOT.sub(" ", " ".join(pattern for kind in PATTERNS.values() for pattern in kind)).split())
    found |= {"the", "my", "our", "your", "is", *PLACES, *VERBS}
    found |= {form for forms in VERBS.values() for form in forms}
    for places in PLACES.values():
        found |= set(places)
    for nouns, states in PERILS.items():
        found |= {*nouns.split(), *states.split()}
    for group in (
        PEOPLE,
        ANIMALS,
        TRAITS,
        BEASTLY,
        FIERCE,
        COLOURS,
        WEAR,
        THINGS,
        PLURALS,
        TO_PEOPLE,
        IDLE,
        TIMES,
    ):
        found |= set(group)
    return found | {*NUMBERS, *DAYS, *TROUBLES, *FAVORS}


WORDS: tuple[str, ...] = tuple(sorted(_words()))


def split_of(sentence: str) -> str:
    """The one split that a sentence belongs to: 80 % train, 10 % val, 10 % test."""
    bucket = hashlib.sha256(sentence.encode()).digest()[0] % 10
    return "test" if bucket == 0 else "val" if bucket == 1 else "train"


def draw_sentence(
    rng: Random, split: str | None = None, max_words: int = MAX_WORDS, intent: str | None = None
) -> str:
    """Draw a sentence.

    Args:
        rng: where it is drawn from.
        split: that it belongs to; of any split when None.
        max_words: at most; not less than 5, below which some intents have no sentence.
        intent: one of `INTENTS`; any of them, each alike often, when None.
    """
    kind = intent or rng.choice(INTENTS)
    while True:
        pattern = rng.choice(PATTERNS[kind])
        sentence = " ".join(_SLOT.sub(lambda slot: _FILL[slot[1]](rng), pattern).split())
        fits = MIN_WORDS <= len(sentence.split()) <= max_words
        if fits and split in (None, split_of(sentence)):
            return sentence


def draw_sentences(rng: Random, split: str | None = None, intent: str | None = None) -> tuple[str, ...]:
    """Draw what a clip says: one sentence, or in a quarter of the cases two or three short ones.

    All have the same intent, so that the intent of the clip is no matter of opinion. Texts are written with
    ". " between sentences.
    """
    kind = intent or rng.choice(INTENTS)
    count = rng.choices((1, 2, 3), (6, 1, 1))[0]
    longest = MAX_WORDS if count == 1 else _SHORT
    return tuple(draw_sentence(rng, split, longest, kind) for _ in range(count))
