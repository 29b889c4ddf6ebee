"""The wordings of the questions that are not about one attribute alone, trained and held out.

The trade-off is that of `aspects`: they are written out. `Wordings.held_out` are in nobody's training: they
are for evaluation alone, and every word of them occurs in some trained wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Wordings:
    """Ways to ask for one thing: those that the LLM is trained on, and those that it never sees."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]

    def draw(self, rng: Random, held_out: bool) -> str:
        """One wording."""
        return rng.choice(self.held_out if held_out else self.trained)


DESCRIBE = "What can you hear from the audio?"
DESCRIBE_ALSO = ("Describe the audio.", "Tell me about the audio.", "What do you hear?")
NUMBER = ("Count the words: {}", "Say the number of each word: {}")
REPEAT = ("Say the words: {}", "Write the words: {}")
TWO = Wordings(
    (
        "What is the {} and what is the {}?", "Tell me the {} and the {}.", "What are the {} and the {}?",
        "Say the {} and then the {}.", "Which {} and which {} do you hear?",
    ),
    ("Tell me what the {} and the {} are.", "What is the {} and the {}?"),
)  # fmt: skip
OPTIONS = Wordings(
    (
        "Is the {name} {options}?", "Is it {options}?", "Choose one: {options}.",
        "Choose one for the {name}: {options}.", "Which one is the {name}, {options}?",
        "What is right for the {name}: {options}?",
    ),
    ("Choose the {name}: {options}.", "Which one is right: {options}?"),
)  # fmt: skip
YES_NO = Wordings(
    (
        "Is the {} {}?",
        "Would you say the {} is {}?",
        "Is it true that the {} is {}?",
        "Do you hear that the {} is {}?",
    ),
    ("Is it right that the {} is {}?", "Would you say it is true that the {} is {}?"),
)
NOT = Wordings(
    ("Is the {} not {}?", "Would you say the {} is not {}?", "Is it true that the {} is not {}?"),
    ("Do you hear that the {} is not {}?", "Is it right that the {} is not {}?"),
)
TRANSCRIBE = Wordings(
    (
        "What does the speaker say?", "Transcribe the audio.", "Tell me the words of the speaker.",
        "Write down the speech.", "Which words do you hear?", "What is said?", "Say the words that you hear.",
        "Write down what the speaker says.", "Tell me what is said.", "What are the words of the speech?",
    ),
    (
        "Write down the words that you hear.", "Tell me what the speaker says.", "Transcribe the speech.",
        "What are the words of the speaker?",
    ),
)  # fmt: skip
COUNT = Wordings(
    (
        "How many words are there?", "How many words do you hear?", "How many words does the speaker say?",
        "Count the words.", "What is the number of words?", "Tell me how many words are said.",
    ),
    ("Tell me the number of words.", "How many words are said?", "Count the words that you hear."),
)  # fmt: skip
WORD = Wordings(
    (
        "What is the {} word?",
        "Tell me the {} word.",
        "Which word is the {} one?",
        "Say the {} word that you hear.",
    ),
    ("Which is the {} word?", "Tell me the {} word of the speech."),
)
RATE = Wordings(
    ("How many words per second are there?", "How many words per second does the speaker say?"),
    ("How many words per second do you hear?", "What is the number of words per second?"),
)
STEPWISE = Wordings(
    ("Think step by step.", "Answer step by step.", "Go step by step."),
    ("Think and answer step by step.", "Write the answer step by step."),
)
FOLLOW_UP = Wordings(
    ("And the {}?", "What about the {}?", "And what is the {}?", "And now tell me the {}."),
    ("And now the {}?", "And what about the {}?"),
)
ALL_WORDINGS = (TWO, OPTIONS, YES_NO, NOT, TRANSCRIBE, COUNT, WORD, RATE, STEPWISE, FOLLOW_UP)
