"""Questions about a clip, and their answers, before any format is asked for.

One sentence pattern serves descriptions and answers alike ("The pitch is high."), and an attribute that is
not given is answered in the same pattern ("The pitch is not clear."). That is deliberate: the choice between
knowing and not knowing then falls on the word that descriptions train, so that an adapter which learnt to
describe has also learnt to answer. The trade-off: answers sound alike, and every one can be checked by rule.

Words are counted aloud ("1 hide 2 the 3 lantern. The number of words is 3."): a transformer of five layers
that is to say a number at once guesses it from distances, and is off by one as often as not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from desta2.nano.aspects import ASPECT, ASPECTS, UNKNOWN
from desta2.nano.phrasing import SENTENCES, Phrasing, sentence
from desta2.nano.wordings import (
    COUNT,
    FOLLOW_UP,
    NOT,
    OPTIONS,
    RATE,
    STEPWISE,
    TRANSCRIBE,
    TWO,
    WORD,
    YES_NO,
)

_UNKNOWN_MENTIONED = 0.3  # share of the unknown attributes that a description mentions
_MOST_OPTIONS = 4


@dataclass(frozen=True)
class Facts:
    """What is known of a clip, and how it is told.

    Attributes:
        text: the words.
        values: spoken values by key; what is missing is not known.
        phrasing: of the answers.
    """

    text: str
    values: Mapping[str, str]
    phrasing: Phrasing = SENTENCES

    @property
    def words(self) -> list[str]:
        """The words without the full stops between sentences."""
        return self.text.replace(".", " ").split()

    def say(self, key: str) -> str:
        """The sentence that states an attribute, or that it is not known."""
        return ASPECT[key].say(self.values.get(key), self.phrasing)

    def quote(self) -> str:
        """The sentence that says the words."""
        return sentence(self.phrasing.quote, self.text)

    def counted(self) -> str:
        """The words, each with its number: counting aloud."""
        return " ".join(f"{number} {word}" for number, word in enumerate(self.words, 1)) + "."

    def number(self) -> str:
        """The sentence that says how many words there are."""
        return sentence(self.phrasing.number, len(self.words))


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, before any format is asked for.

    Attributes:
        question: as the user writes it.
        sentences: the answer.
        keys: the attributes that it is about, or "text".
        kind: of task: "describe", or one of the first of `KINDS`.
    """

    question: str
    sentences: tuple[str, ...]
    keys: tuple[str, ...]
    kind: str


KINDS = (
    *("attribute", "follow-up", "two", "options", "yes-no", "negation", "transcribe", "count", "word"),
    *("steps", "count-steps", "rate"),
)
"""What `ask_kind` can ask; negations are of the kind "yes-no", and the last two of the kind "steps"."""


def describe(facts: Facts, rng: Random) -> tuple[str, ...]:
    """A description: the words, every known attribute, and some of those that are not known.

    Order and wording are drawn from `rng`. That the unknown is mentioned makes a description decide for each
    attribute whether it is known, as a question does: an adapter that is trained on descriptions alone learns
    that decision with them.
    """
    sentences = []
    for aspect in ASPECTS:
        value = facts.values.get(aspect.key)
        if value is not None and rng.random() < facts.phrasing.aside:
            sentences.append(aspect.aside.format(value))
        elif value is not None or rng.random() < _UNKNOWN_MENTIONED:
            sentences.append(facts.say(aspect.key))
    if rng.random() < 0.3:
        rng.shuffle(sentences)
    sentences.insert(0 if rng.random() < facts.phrasing.words_first else len(sentences), facts.quote())
    return tuple(sentences)


def ask_kind(kind: str, facts: Facts, keys: Sequence[str], rng: Random, held_out: bool = False) -> Exchange:
    """A question of one of `KINDS`.

    Args:
        kind: of question.
        facts: of the clip; with words, where the kind asks about them.
        keys: three attributes, of which the first ones are asked for.
        rng: draws.
        held_out: in wordings that the LLM never saw.
    """
    match kind:
        case "attribute":
            return ask(facts, keys[0], rng, held_out)
        case "follow-up":
            return ask_follow_up(facts, keys[0], rng, held_out)
        case "two":
            return ask_two(facts, keys[:2], rng, held_out)
        case "options":
            return ask_options(facts, keys[0], rng, held_out)
        case "yes-no" | "negation":
            return ask_yes_no(facts, keys[0], rng, held_out, negated=kind == "negation")
        case "transcribe":
            return ask_transcript(facts, rng, held_out)
        case "count":
            return ask_count(facts, rng, held_out)
        case "word":
            return ask_word(facts, rng, held_out)
        case "steps":
            return ask_steps(facts, keys[0], rng, held_out)
        case "count-steps":
            return ask_count_steps(facts, rng, held_out)
        case "rate":
            return ask_rate(facts, rng, held_out)
    raise ValueError(f"no question is of the kind {kind!r}")


def ask(facts: Facts, key: str, rng: Random, held_out: bool = False) -> Exchange:
    """One attribute, in one of its wordings."""
    wordings = ASPECT[key].held_out if held_out else ASPECT[key].trained
    return Exchange(rng.choice(wordings), (facts.say(key),), (key,), "attribute")


def ask_follow_up(facts: Facts, key: str, rng: Random, held_out: bool = False) -> Exchange:
    """One attribute, as a second question asks for it: "And the pitch?".

    A format that was asked for in the turn before does not last.
    """
    question = FOLLOW_UP.draw(rng, held_out).format(ASPECT[key].name)
    return Exchange(question, (facts.say(key),), (key,), "follow-up")


def ask_two(facts: Facts, keys: Sequence[str], rng: Random, held_out: bool = False) -> Exchange:
    """Two attributes in one question."""
    question = TWO.draw(rng, held_out).format(*(ASPECT[key].name for key in keys))
    return Exchange(question, tuple(facts.say(key) for key in keys), tuple(keys), "two")


def ask_options(facts: Facts, key: str, rng: Random, held_out: bool = False) -> Exchange:
    """One attribute, to be chosen from two to four values in any order; the right one is among them."""
    options, value = ASPECT[key].options, facts.values.get(key)
    most = min(_MOST_OPTIONS, len(options))
    offered = rng.sample(options, rng.randint(2, most))
    if value is not None and value not in offered:
        offered[rng.randrange(len(offered))] = value
    listed = f"{', '.join(offered[:-1])} or {offered[-1]}"
    question = OPTIONS.draw(rng, held_out).format(name=ASPECT[key].name, options=listed)
    return Exchange(question, (facts.say(key),), (key,), "options")


def ask_yes_no(
    facts: Facts, key: str, rng: Random, held_out: bool = False, *, negated: bool = False
) -> Exchange:
    """Whether an attribute has, or has not, a certain value.

    The answer is "Yes" exactly when what is asked is true, with a negation as without one: if the pitch is
    low, "Is the pitch not high?" is answered "Yes, the pitch is low." Half of all answers are "Yes".

    Args:
        facts: of the clip.
        key: the attribute.
        rng: draws.
        held_out: in a wording that the LLM never saw.
        negated: with "not".
    """
    aspect, value = ASPECT[key], facts.values.get(key)
    true = rng.random() < 0.5
    guess = value
    if value is None or true == negated:
        guess = rng.choice([option for option in aspect.options if option != value])
    question = (NOT if negated else YES_NO).draw(rng, held_out).format(aspect.name, guess)
    said = facts.say(key)
    if value is not None:
        said = f"{'Yes' if true else 'No'}, {said[0].lower()}{said[1:]}"
    return Exchange(question, (said,), (key,), "yes-no")


def ask_transcript(facts: Facts, rng: Random, held_out: bool = False) -> Exchange:
    """All the words."""
    return Exchange(TRANSCRIBE.draw(rng, held_out), (facts.quote(),), ("text",), "transcribe")


def ask_count(facts: Facts, rng: Random, held_out: bool = False) -> Exchange:
    """The number of words, which are counted aloud."""
    return Exchange(COUNT.draw(rng, held_out), (facts.counted(), facts.number()), ("text",), "count")


def ask_word(facts: Facts, rng: Random, held_out: bool = False) -> Exchange:
    """The first or the last word."""
    which, place = rng.choice((("first", 0), ("last", -1)))
    said = sentence(facts.phrasing.word, which, facts.words[place])
    return Exchange(WORD.draw(rng, held_out).format(which), (said,), ("text",), "word")


def clues_of(key: str) -> list[str]:
    """The two attributes by way of which one is answered step by step: those that follow it in `ASPECTS`."""
    keys = list(ASPECT)
    place = keys.index(key)
    return [keys[(place + i) % len(keys)] for i in (1, 2)]


def ask_steps(facts: Facts, key: str, rng: Random, held_out: bool = False) -> Exchange:
    """An attribute to be answered step by step, by way of `clues_of` it."""
    steps = tuple(facts.say(clue) for clue in clues_of(key))
    return _stepwise(ask(facts, key, rng).question, steps, facts.say(key), key, rng, held_out)


def ask_count_steps(facts: Facts, rng: Random, held_out: bool = False) -> Exchange:
    """The number of words, by way of the words."""
    return _stepwise(COUNT.draw(rng, held_out), (facts.counted(),), facts.number(), "text", rng, held_out)


def ask_rate(facts: Facts, rng: Random, held_out: bool = False) -> Exchange:
    """The words per second, by way of the words, their number and the duration: rounded, halves up."""
    seconds = facts.values.get("duration")
    rate = UNKNOWN if seconds is None else str(_rounded(len(facts.words), int(seconds.split()[0])))
    steps = (facts.counted(), facts.number(), facts.say("duration"))
    said = sentence(facts.phrasing.rate, rate)
    return _stepwise(RATE.draw(rng, held_out), steps, said, "duration", rng, held_out)


def _stepwise(
    question: str, steps: Sequence[str], answer: str, key: str, rng: Random, held_out: bool
) -> Exchange:
    sentences = [f"Step {i}: {step}" for i, step in enumerate(steps, 1)]
    how = STEPWISE.draw(rng, held_out)
    return Exchange(f"{question} {how}", (*sentences, f"Answer: {answer}"), (key,), "steps")


def _rounded(dividend: int, divisor: int) -> int:
    return (2 * dividend + divisor) // (2 * divisor)
