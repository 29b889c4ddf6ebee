"""How an answer is to be written, and what of all this nobody is trained on.

The trade-off: eight formats whose rules a few lines can check (`evaluate/formats.py`), rather than many that
need a judge. Adapter training sees no format and no question at all: it is given one prompt and its
descriptions. `HELD_OUT_COMBINATIONS` and the held-out wordings are withheld from the LLM as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from desta2.nano.aspects import ASPECT, UNKNOWN
from desta2.nano.questions import Exchange, Facts
from desta2.nano.wordings import Wordings

_UNKNOWN_WORD = "unclear"  # where one word is asked for
STARTS = ("Certainly.", "Of course.", "Sure.", "Here is my answer.", "Listen.", "Thank you.")
ENDS = ("That is all.", "Have a nice day.", "I hope this helps.", "Thank you.", "Goodbye.", "The end.")
_IN = (
    "Answer in {}.", "Answer only in {}.", "Write in {}.", "Write only in {}.", "Write the answer in {}.",
    "Put the answer in {}.", "Use {}.", "Use only {}.",
)  # fmt: skip


def _in(nouns: tuple[str, ...], more: tuple[str, ...], held_out: tuple[str, ...]) -> Wordings:
    """Every pattern with every noun, and some wordings more, but for those held out."""
    made = [*(pattern.format(noun) for noun in nouns for pattern in _IN), *more]
    return Wordings(tuple(text for text in made if text not in held_out), held_out)


INSTRUCTIONS: dict[str, Wordings] = {
    "capitals": _in(("capital letters",), (), ("Use capital letters.", "Write only in capital letters.")),
    "lower": _in(("lower case", "small letters"), (), ("Use lower case.", "Write only in small letters.")),
    "json": _in(
        ("JSON", "JSON format", "the JSON format"),
        ("Write the answer as JSON.", "Answer as JSON."),
        ("Use the JSON format.", "Write JSON.", "Write as JSON."),
    ),
    "bullets": _in(("bullet points",), (), ("Use only bullet points.", "Put the answer in bullet points.")),
    "quotes": _in(("double quotes",), (), ("Write the answer in double quotes.", "Write in double quotes.")),
    "start": Wordings(
        (
            'Start the answer with "{}".', 'Begin with "{}".', 'Start your answer with "{}".',
            'Begin your answer with "{}".', 'Say "{}" first.', 'Write "{}" first.',
        ),
        ('Start with "{}".', 'Begin the answer with "{}".'),
    ),
    "end": Wordings(
        (
            'End the answer with "{}".', 'Finish with "{}".', 'End your answer with "{}".',
            'Finish your answer with "{}".', 'Say "{}" last.', 'Write "{}" last.',
        ),
        ('End with "{}".', 'Finish the answer with "{}".'),
    ),
    "word": _in(
        ("one word",),
        ("Write only the value.", "Answer with one word.", "Say only one word.", "Say only the value."),
        ("Write only one word.", "Write the answer in one word."),
    ),
}  # fmt: skip
FORMATS = tuple(INSTRUCTIONS)
HELD_OUT_COMBINATIONS = frozenset(
    {
        ("two", "bullets"), ("two", "end"), ("options", "json"), ("options", "capitals"), ("yes-no",
        "quotes"),
        ("yes-no", "lower"), ("transcribe", "start"), ("count", "capitals"), ("word", "end"), ("steps",
        "start"),
        ("follow-up", "bullets"), ("follow-up", "json"),
    }
)  # fmt: skip
"""Kind of question and format that LLM training never puts together, though it has either with others."""


@dataclass(frozen=True)
class Format:
    """How an answer is to be written.

    Attributes:
        name: one of `FORMATS`.
        instruction: as the user writes it.
        phrase: the start or end phrase.
    """

    name: str
    instruction: str
    phrase: str = ""

    def apply(self, exchange: Exchange, facts: Facts) -> str:
        """The answer written in this format."""
        answer = " ".join(exchange.sentences)
        match self.name:
            case "capitals":
                return answer.upper()
            case "lower":
                return answer.lower()
            case "quotes":
                return f'"{answer}"'
            case "bullets":
                return "\n".join(f"* {sentence}" for sentence in exchange.sentences)
            case "start":
                return f"{self.phrase} {answer}"
            case "end":
                return f"{answer} {self.phrase}"
            case "json":
                values = {ASPECT[key].name: facts.values.get(key, UNKNOWN) for key in exchange.keys}
                return json.dumps(values)
            case "word":
                return _one_word(exchange, facts)
        raise ValueError(f"no format is called {self.name!r}")


def _one_word(exchange: Exchange, facts: Facts) -> str:
    value = facts.values.get(exchange.keys[0], _UNKNOWN_WORD)
    if exchange.kind == "yes-no" and value != _UNKNOWN_WORD:
        value = exchange.sentences[0].split(",")[0]
    return f"{value[0].upper()}{value[1:]}."


def draw_format(name: str, rng: Random, held_out: bool = False) -> Format:
    """One wording of a format."""
    phrase = rng.choice(STARTS) if name == "start" else rng.choice(ENDS) if name == "end" else ""
    return Format(name, INSTRUCTIONS[name].draw(rng, held_out).format(phrase), phrase)


def fits(name: str, exchange: Exchange) -> bool:
    """Whether a format can be asked for with a question."""
    if name == "json":
        return exchange.kind in ("attribute", "follow-up", "options", "two")
    if name == "word":
        one = exchange.kind in ("attribute", "follow-up", "options") and exchange.keys[0] != "duration"
        return one or exchange.kind == "yes-no"
    return True


def combine(exchange: Exchange, fmt: Format | None, facts: Facts, rng: Random) -> tuple[str, str]:
    """The instruction as the user writes it, with its format before or after it, and the answer."""
    if fmt is None:
        return exchange.question, " ".join(exchange.sentences)
    parts = (
        (exchange.question, fmt.instruction) if rng.random() < 0.75 else (fmt.instruction, exchange.question)
    )
    return " ".join(parts), fmt.apply(exchange, facts)
