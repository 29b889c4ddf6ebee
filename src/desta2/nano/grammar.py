"""What is said in the nano world: short English sentences from a small grammar.

About 190 words, each common and distinct in sound, in statements, requests and questions of five to nine
words. A sentence belongs to one split only, decided by a hash of its text: held-out clips say sentences that
no training clip says.
"""

from __future__ import annotations

import hashlib
from random import Random

PEOPLE = (
    "teacher doctor farmer sailor baker painter singer driver soldier student mother father sister brother "
    "uncle neighbor lawyer butcher captain gardener"
).split()
ANIMALS = "dog cat horse fox rabbit bird tiger monkey elephant chicken spider dolphin".split()
_TRAITS = "old young happy sad angry tired clever lazy brave".split()
_BEASTLY = "big small hungry quiet gentle warm white".split()
_COLOURS = "red blue green black white yellow golden silver".split()
_WEAR = "heavy empty broken dusty cold round narrow".split()
# What is usually done to what. Habits like these are what a recogniser's decoder can learn: without them
# every word would be as likely as any other, and speech as hard as random words.
_DEEDS = {
    "book letter ticket pencil candle lantern": "found lost bought sold dropped",
    "table ladder mirror carpet wagon engine": "moved cleaned painted pushed",
    "window garden basket bottle kettle": "opened closed admired",
    "camera guitar hammer jacket blanket button pillow": "borrowed carried hid wanted",
    "apple orange potato sandwich": "wanted bought dropped",
}
_TO_PEOPLE = "followed watched remembered touched".split()
THINGS = [thing for things in _DEEDS for thing in things.split()]
_DONE_TO = {thing: deeds.split() for things, deeds in _DEEDS.items() for thing in things.split()}
VERBS = sorted({verb for verbs in _DONE_TO.values() for verb in verbs} | set(_TO_PEOPLE))
PLACES = {
    "in": "kitchen school church hospital office".split(),
    "near": "river mountain bridge".split(),
    "behind": "market station".split(),
    "beside": "harbor library".split(),
    "inside": "castle forest".split(),
    "above": "village".split(),
    "at": "island".split(),
}
_IDLE = "slept waited laughed danced worked rested sang jumped arrived walked".split()
COMMANDS = "open close bring clean carry paint move find watch sell".split()
TIMES = "yesterday today tonight tomorrow again slowly quickly alone together early".split()
NUMBERS = "two three four five six seven eight nine ten".split()
_PLURALS = "books letters bottles candles tickets apples potatoes pencils buttons".split()
_FUNCTION = "the my our did will can you please and".split()

_GROUPS = (
    *(PEOPLE, ANIMALS, _TRAITS, _BEASTLY, _COLOURS, _WEAR, THINGS, VERBS, _IDLE, COMMANDS, TIMES, NUMBERS),
    *(_PLURALS, _FUNCTION, PLACES, *PLACES.values()),
)
WORDS: tuple[str, ...] = tuple(sorted({word for group in _GROUPS for word in group}))
SPLITS = ("train", "val", "test")


def _described(noun: str, adjectives: list[str], rng: Random) -> str:
    determiner = rng.choices(("the", "my", "our"), (6, 2, 1))[0]
    return f"{determiner} {rng.choice(adjectives)} {noun}" if rng.random() < 0.35 else f"{determiner} {noun}"


def _actor(rng: Random) -> str:
    if rng.random() < 0.65:
        return _described(rng.choice(PEOPLE), _TRAITS, rng)
    return _described(rng.choice(ANIMALS), _BEASTLY, rng)


def _thing(thing: str, rng: Random) -> str:
    return _described(thing, rng.choice((_COLOURS, _WEAR)), rng)


def _deed(rng: Random) -> str:
    if rng.random() < 0.2:
        return f"{rng.choice(_TO_PEOPLE)} {_actor(rng)}"
    if rng.random() < 0.15:
        return f"{rng.choice(_DONE_TO['book'])} {rng.choice(NUMBERS)} {rng.choice(_PLURALS)}"
    thing = rng.choice(THINGS)
    return f"{rng.choice(_DONE_TO[thing])} {_thing(thing, rng)}"


def _where(rng: Random) -> str:
    preposition, place = rng.choice([(p, place) for p, places in PLACES.items() for place in places])
    return f"{preposition} the {place}"


def _draw(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return f"{_actor(rng)} {_deed(rng)}"
    if kind < 0.50:
        return f"{_actor(rng)} {_deed(rng)} {rng.choice(TIMES)}"
    if kind < 0.65:
        return f"{_actor(rng)} {rng.choice(_IDLE)} {_where(rng)}"
    if kind < 0.75:
        return f"{_actor(rng)} and {_actor(rng)} {rng.choice(_IDLE)} {rng.choice(TIMES)}"
    thing = _thing(rng.choice(THINGS), rng)
    if kind < 0.90:
        return f"please {rng.choice(COMMANDS)} {thing} {_where(rng)}"
    return f"{rng.choice(('did', 'will', 'can'))} you {rng.choice(COMMANDS)} {thing} {rng.choice(TIMES)}"


def split_of(sentence: str) -> str:
    """The one split that a sentence belongs to: 80 % train, 10 % val, 10 % test."""
    bucket = hashlib.sha256(sentence.encode()).digest()[0] % 10
    return "test" if bucket == 0 else "val" if bucket == 1 else "train"


def draw_sentence(rng: Random, split: str | None = None, max_words: int = 9) -> str:
    """Draw a sentence of `split` (of any split when None) with at most `max_words` words."""
    while True:
        sentence = _draw(rng)
        if len(sentence.split()) <= max_words and split in (None, split_of(sentence)):
            return sentence
