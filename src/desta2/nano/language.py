"""What the nano LLM knows: attributes it can talk about, wordings it understands, answers it gives.

One sentence pattern serves descriptions and answers alike ("The pitch is high."), and an attribute that is
not given is answered in the same pattern ("The pitch is not clear."). That is deliberate: the choice between
knowing and not knowing then falls on the word that descriptions train, so that an adapter which learnt to
describe has also learnt to answer.

`ASPECTS[...].held_out` wordings are in nobody's training: they are for evaluation alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

UNKNOWN = "not clear"
_UNKNOWN_WORD = "unclear"  # where one word is asked for


@dataclass(frozen=True)
class Aspect:
    """One attribute that can be asked about.

    Attributes:
        key: its key in clip records.
        label: its name in seed transcripts.
        name: its name in sentences.
        options: all values as sentences write them.
        aside: another sentence with the same meaning, for descriptions.
        questions: wordings that the LLM is trained on.
        held_out: wordings that it never sees; every word of them occurs in some trained wording.
    """

    key: str
    label: str
    name: str
    options: tuple[str, ...]
    aside: str
    questions: tuple[str, ...]
    held_out: tuple[str, ...]

    def say(self, value: str | None) -> str:
        """The sentence that states a value, or that it is not known."""
        return f"The {self.name} is {UNKNOWN if value is None else value}."


ASPECTS: tuple[Aspect, ...] = (
    Aspect(
        "gender", "Gender", "gender", ("female", "male"), "The speaker is {}.",
        (
            "What is the gender of the speaker?", "Is the speaker a man or a woman?",
            "Is the speaker male or female?",
            "Tell me the gender.", "Is this the voice of a woman or a man?", "Which gender do you hear?",
        ),
        ("Is this speaker a woman or a man?", "Tell me the gender of the voice."),
    ),
    Aspect(
        "accent", "Accent", "accent", ("American", "British", "Scottish", "Caribbean"),
        "The speaker has a {} accent.",
        (
            "What is the accent of the speaker?", "Which accent do you hear?", "Tell me the accent.",
            "What accent does the speaker have?", "Where is the accent from?",
            "Is the accent American, British, Scottish or Caribbean?",
        ),
        ("Which accent does the voice have?", "Where is the speaker from?"),
    ),
    Aspect(
        "pitch", "Pitch", "pitch", ("low", "medium", "high"), "The voice has a {} pitch.",
        (
            "What is the pitch of the voice?", "Is the pitch low, medium or high?", "How high is the voice?",
            "Tell me the pitch.", "Which pitch does the voice have?", "How low is the pitch?",
        ),
        ("How high is the pitch?", "What pitch do you hear?"),
    ),
    Aspect(
        "volume", "Volume", "volume", ("quiet", "normal", "loud"), "The speech is {}.",
        (
            "What is the volume of the speech?", "Is the volume quiet, normal or loud?",
            "How loud is the speech?",
            "Tell me the volume.", "How quiet is the voice?", "Which volume does the audio have?",
        ),
        ("How loud is the audio?", "What volume does the speaker have?"),
    ),
    Aspect(
        "speaking_speed", "Speaking speed", "speaking speed", ("slow", "moderate", "fast"), "The pace is {}.",
        (
            "What is the speaking speed?", "Is the speaking speed slow, moderate or fast?",
            "How fast does the speaker talk?", "Tell me the speaking speed.", "How slow is the pace?",
            "What is the pace of the speech?",
        ),
        ("How fast is the speech?", "Tell me the pace of the speaker."),
    ),
    Aspect(
        "noise_level", "Noise level", "noise level", ("clean", "mild", "noisy"), "The background is {}.",
        (
            "What is the noise level?", "Is the noise level clean, mild or noisy?", "How noisy is the audio?",
            "Tell me the noise level.", "How clean is the background?", "Which noise level do you hear?",
        ),
        ("How noisy is the background?", "What noise do you hear?"),
    ),
    Aspect(
        "reverberation", "Reverberation", "reverberation", ("dry", "light", "echoing"), "The room sounds {}.",
        (
            "What is the reverberation?", "Is the reverberation dry, light or echoing?",
            "How does the room sound?",
            "Tell me the reverberation.", "How echoing is the room?",
            "Which reverberation does the audio have?",
        ),
        ("Tell me the reverberation of the room.", "What reverberation do you hear?"),
    ),
    Aspect(
        "duration", "Duration", "duration", tuple(["1 second", *(f"{n} seconds" for n in range(2, 9))]),
        "The audio lasts {}.",
        (
            "What is the duration of the audio?", "How long is the audio?", "Tell me the duration.",
            "How many seconds does the audio have?", "How long does the speech last?",
        ),
        ("How many seconds does the speech last?", "What is the duration of the speech?"),
    ),
)  # fmt: skip
ASPECT = {aspect.key: aspect for aspect in ASPECTS}
DESCRIBE = "What can you hear from the audio?"
DESCRIBE_ALSO = ("Describe the audio.", "Tell me about the audio.", "What do you hear?")
TRANSCRIBE = (
    "What does the speaker say?", "Transcribe the audio.", "Tell me the words of the speaker.",
    "Write down the speech.", "Which words do you hear?",
)  # fmt: skip
REPEAT = ("Say the words: {}", "Write the words: {}")
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()


def spoken_value(key: str, written: str) -> str | None:
    """How sentences write a value that a seed writes: "Female" → "female", "3s" → "3 seconds".

    None for a value outside the aspect's options.
    """
    if key == "duration":
        seconds = written.removesuffix("s")
        written = "1 second" if seconds == "1" else f"{seconds} seconds"
    return next((option for option in ASPECT[key].options if option.lower() == written.lower()), None)


@dataclass(frozen=True)
class Facts:
    """What is known of a clip: its words and spoken values by key; what is missing is not known."""

    text: str
    values: Mapping[str, str]

    def say(self, key: str) -> str:
        """The sentence that states an attribute, or that it is not known."""
        return ASPECT[key].say(self.values.get(key))


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, before any format is asked for.

    Attributes:
        question: as the user writes it.
        sentences: the answer.
        keys: the attributes that it is about.
        kind: of task.
    """

    question: str
    sentences: tuple[str, ...]
    keys: tuple[str, ...]
    kind: str


def describe(facts: Facts, rng: Random) -> tuple[str, ...]:
    """A description: the words and every known attribute, in an order and wording drawn from `rng`."""
    sentences = [
        aspect.say(facts.values[aspect.key])
        if rng.random() < 0.75
        else aspect.aside.format(facts.values[aspect.key])
        for aspect in ASPECTS
        if aspect.key in facts.values
    ]
    if rng.random() < 0.3:
        rng.shuffle(sentences)
    said = f'The speaker says "{facts.text}".'
    sentences.insert(0 if rng.random() < 0.8 else len(sentences), said)
    return tuple(sentences)


def ask(facts: Facts, key: str, rng: Random, held_out: bool = False) -> Exchange:
    """One attribute, in one of its wordings."""
    wordings = ASPECT[key].held_out if held_out else ASPECT[key].questions
    return Exchange(rng.choice(wordings), (facts.say(key),), (key,), "attribute")


def ask_two(facts: Facts, keys: Sequence[str], rng: Random) -> Exchange:
    """Two attributes in one question."""
    one, two = (ASPECT[key].name for key in keys)
    pattern = rng.choice(
        ("What is the {} and what is the {}?", "Tell me the {} and the {}.", "What are the {} and the {}?")
    )
    return Exchange(pattern.format(one, two), tuple(facts.say(key) for key in keys), tuple(keys), "two")


def ask_yes_no(facts: Facts, key: str, rng: Random) -> Exchange:
    """Whether an attribute has a certain value."""
    aspect, value = ASPECT[key], facts.values.get(key)
    guess = value if value and rng.random() < 0.5 else rng.choice(aspect.options)
    question = rng.choice(("Is the {} {}?", "Would you say the {} is {}?")).format(aspect.name, guess)
    if value is None:
        return Exchange(question, (aspect.say(None),), (key,), "yes-no")
    return Exchange(
        question, (f"{'Yes' if guess == value else 'No'}, the {aspect.name} is {value}.",), (key,), "yes-no"
    )


def ask_steps(facts: Facts, keys: Sequence[str], rng: Random) -> Exchange:
    """An attribute to be answered step by step, by way of two others."""
    *clues, asked = keys
    question = rng.choice(ASPECT[asked].questions)
    sentences = [f"Step {i}: {facts.say(key)}" for i, key in enumerate(clues, 1)]
    how = rng.choice(("Think step by step.", "Answer step by step."))
    return Exchange(f"{question} {how}", (*sentences, f"Answer: {facts.say(asked)}"), (asked,), "steps")


def ask_words(facts: Facts, rng: Random) -> Exchange:
    """The words, their number, or the first or last of them."""
    words = facts.text.split()
    kind = rng.random()
    if kind < 0.6 or not 0 < len(words) <= len(_NUMBERS):
        return Exchange(
            rng.choice(TRANSCRIBE), (f'The speaker says "{facts.text}".',), ("text",), "transcribe"
        )
    if kind < 0.8:
        question = rng.choice(("How many words are there?", "How many words do you hear?"))
        return Exchange(
            question, (f"The number of words is {_NUMBERS[len(words) - 1]}.",), ("text",), "count"
        )
    which, word = rng.choice((("first", words[0]), ("last", words[-1])))
    return Exchange(f"What is the {which} word?", (f'The {which} word is "{word}".',), ("text",), "word")


STARTS = ("Certainly.", "Of course.", "Sure.", "Here is my answer.", "Listen.", "Thank you.")
ENDS = ("That is all.", "Have a nice day.", "I hope this helps.", "Thank you.", "Goodbye.", "The end.")


@dataclass(frozen=True)
class Format:
    """How an answer is to be written.

    Attributes:
        name: "capitals", "lower", "json", "bullets", "quotes", "start", "end" or "word".
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
                value = facts.values.get(exchange.keys[0], _UNKNOWN_WORD)
                return f"{value[0].upper()}{value[1:]}."
        raise ValueError(f"no format is called {self.name!r}")


_INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "capitals": (
        "Answer in capital letters.",
        "Write the answer in capital letters.",
        "Use only capital letters.",
    ),
    "lower": ("Answer in lower case.", "Write the answer in lower case.", "Use only small letters."),
    "json": ("Answer in JSON.", "Write the answer in JSON format.", "Use JSON."),
    "bullets": ("Answer in bullet points.", "Write the answer in bullet points.", "Use bullet points."),
    "quotes": ("Answer in double quotes.", "Put the answer in double quotes.", "Use double quotes."),
    "word": ("Answer in one word.", "Write only the value.", "Use one word."),
    "start": ('Start the answer with "{}".', 'Begin with "{}".'),
    "end": ('End the answer with "{}".', 'Finish with "{}".'),
}
FORMATS = tuple(_INSTRUCTIONS)


def draw_format(name: str, rng: Random) -> Format:
    """One wording of a format."""
    phrase = rng.choice(STARTS) if name == "start" else rng.choice(ENDS) if name == "end" else ""
    return Format(name, rng.choice(_INSTRUCTIONS[name]).format(phrase), phrase)


def fits(name: str, exchange: Exchange) -> bool:
    """Whether a format can be asked for with a question."""
    if name == "json":
        return exchange.kind in ("attribute", "two")
    if name == "word":
        return exchange.kind == "attribute" and exchange.keys[0] != "duration"
    return True


def combine(exchange: Exchange, fmt: Format | None, facts: Facts, rng: Random) -> tuple[str, str]:
    """The instruction as the user writes it, with its format before or after it, and the answer."""
    if fmt is None:
        return exchange.question, " ".join(exchange.sentences)
    parts = (
        (exchange.question, fmt.instruction) if rng.random() < 0.75 else (fmt.instruction, exchange.question)
    )
    return " ".join(parts), fmt.apply(exchange, facts)


def vocabulary() -> list[str]:
    """Every instruction and answer pattern, for the tokenizer: each word of them becomes a token."""
    texts = [DESCRIBE, *DESCRIBE_ALSO, *TRANSCRIBE, *REPEAT, *STARTS, *ENDS]
    for wordings in _INSTRUCTIONS.values():
        texts += wordings
    rng = Random(0)
    known = Facts("the", {aspect.key: aspect.options[0] for aspect in ASPECTS})
    for facts in (known, Facts("the", {})):
        for aspect in ASPECTS:
            texts += [*aspect.questions, *aspect.held_out, aspect.aside, aspect.label]
            texts += [aspect.say(option) for option in aspect.options]
            for _ in range(20):
                exchanges = (
                    ask_two(facts, (aspect.key, "pitch"), rng),
                    ask_yes_no(facts, aspect.key, rng),
                    ask_steps(facts, ("pitch", "gender", aspect.key), rng),
                    ask_words(facts, rng),
                )
                for exchange in exchanges:
                    texts += [exchange.question, *exchange.sentences]
    return [*texts, *_NUMBERS, _UNKNOWN_WORD]
