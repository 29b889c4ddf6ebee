"""The 13 rules of Speech-IFEval, each deciding from a response alone whether it was written as asked.

The instructions and their names are those of IFEval (Zhou et al., "Instruction-Following Evaluation for Large
Language Models", arXiv 2311.07911, table 1); where that paper leaves room, or Speech-IFEval differs, the rule
is the one that gives the published verdict on all 1,333 published responses, and says so. The code is our
own.

The trade-off: rules are the same for everyone and cost nothing, but they see form alone: a response that
keeps the format and says nonsense follows. All scan the response a fixed number of times, without expressions
that can backtrack, since responses of models can have any length and content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from desta2.errors import InputError
from desta2.evaluate.formats import is_json
from desta2.evaluate.speech_ifeval.sentences import count_sentences

CLOSED, CREATIVE, REASONING = "closed-ended", "creative", "chain-of-thought"
PARTS = (CLOSED, CREATIVE, REASONING)
"""The parts of the benchmark; its IFrate is the mean of their rates."""

Relation: TypeAlias = Literal["at least", "less than"]
_WORD = re.compile(r"\w+")
_NUMBERED = re.compile(r"\d+\.(?!\S)")
_FENCE, _FENCED_AS = "```", "json"


def is_json_format(response: str) -> bool:
    """It is one JSON value of any kind, alone or in a Markdown code block that holds nothing else."""
    text = response.strip()
    if text.startswith(_FENCE):
        text = text.removeprefix(_FENCE)
        text = text[len(_FENCED_AS) :] if text[: len(_FENCED_AS)].lower() == _FENCED_AS else text
    return is_json(text.removesuffix(_FENCE).strip())


def is_capital(response: str) -> bool:
    """It has letters, and none in lower case. IFEval's test that the language is English is not applied."""
    return response.isupper()


def is_lowercase(response: str) -> bool:
    """It has letters, and no capitals. IFEval's test that the language is English is not applied."""
    return response.islower()


def is_quotation(response: str) -> bool:
    """Its first and last characters, white space aside, are straight double quotes."""
    text = response.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def has_title(response: str) -> bool:
    """Somewhere within a line stands <<something>>; what stands around it does not matter."""
    for line in response.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end and line[start:end].lstrip("<").rstrip(">").strip():
            return True
    return False


def repeats_prompt(response: str, prompt_to_repeat: str) -> bool:
    """It begins with the given text, in any case, white space around either aside."""
    return response.strip().lower().startswith(prompt_to_repeat.strip().lower())


def has_end_phrase(response: str, end_phrase: str) -> bool:
    """It ends with the given text, in any case; white space, then double quotes, around it do not matter."""
    return response.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def has_bullets(response: str, num_bullets: int) -> bool:
    """Exactly so many lines are bullets: indented or not, they begin with "•", "-", one "*", or "1." etc.

    IFEval knows "*" and "-" alone; the published verdicts count the other two. "**" begins bold text.
    """
    return sum(map(_is_bullet, response.split("\n"))) == num_bullets


def _is_bullet(line: str) -> bool:
    text = line.lstrip()
    starred = text.startswith("*") and not text.startswith("**")
    return starred or text.startswith(("•", "-")) or _NUMBERED.match(text) is not None


def has_sentences(response: str, num_sentences: int, relation: Relation) -> bool:
    """It has at least, or less than, so many sentences (see `count_sentences`)."""
    return _holds(count_sentences(response), relation, num_sentences)


def has_words(response: str, num_words: int, relation: Relation) -> bool:
    """It has at least, or less than, so many words: runs of letters, digits, underscores ("don't" is two)."""
    return _holds(sum(1 for _ in _WORD.finditer(response)), relation, num_words)


def _holds(count: int, relation: Relation, limit: int) -> bool:
    return count >= limit if relation == "at least" else count < limit


def has_paragraphs(response: str, num_paragraphs: int) -> bool:
    """It has exactly so many lines that are not blank.

    IFEval asks for "***" between paragraphs and Speech-IFEval does not; its verdicts count lines: a poem of
    ten lines is not one paragraph.
    """
    return sum(1 for line in response.split("\n") if line.strip()) == num_paragraphs


def has_keywords(response: str, keywords: Sequence[str]) -> bool:
    """All keywords occur, in any case, also as parts of words."""
    return all(re.search(re.escape(word), response, re.IGNORECASE) for word in keywords)


def avoids_words(response: str, forbidden_words: Sequence[str]) -> bool:
    """None of the words occurs as a whole word, in any case."""
    return not any(
        re.search(rf"(?<!\w){re.escape(word)}(?!\w)", response, re.IGNORECASE) for word in forbidden_words
    )


@dataclass(frozen=True)
class Checker:
    """One rule.

    Attributes:
        follows: from a response, and the arguments that `needs` names, to the verdict.
        part: the part of the benchmark where the rule occurs.
        needs: the arguments, and what each is: a key of `_KINDS`.
    """

    follows: Callable[..., bool]
    part: str
    needs: Mapping[str, str] = field(default_factory=dict)


CHECKERS: dict[str, Checker] = {
    "detectable_format:json_format": Checker(is_json_format, CLOSED),
    "change_case:english_capital": Checker(is_capital, CLOSED),
    "change_case:english_lowercase": Checker(is_lowercase, CLOSED),
    "startend:quotation": Checker(is_quotation, CLOSED),
    "detectable_format:title": Checker(has_title, CLOSED),
    "combination:repeat_prompt": Checker(repeats_prompt, CLOSED, {"prompt_to_repeat": "text"}),
    "startend:end_checker": Checker(has_end_phrase, CLOSED, {"end_phrase": "text"}),
    "detectable_format:number_bullet_lists": Checker(has_bullets, CREATIVE, {"num_bullets": "count"}),
    "length_constraints:number_sentences": Checker(
        has_sentences, CREATIVE, {"num_sentences": "count", "relation": "relation"}
    ),
    "length_constraints:number_words": Checker(
        has_words, CREATIVE, {"num_words": "count", "relation": "relation"}
    ),
    "length_constraints:number_paragraphs": Checker(has_paragraphs, CREATIVE, {"num_paragraphs": "count"}),
    "keywords:existence": Checker(has_keywords, CREATIVE, {"keywords": "words"}),
    "keywords:forbidden_words": Checker(avoids_words, CREATIVE, {"forbidden_words": "words"}),
}
"""The rules by the name that the benchmark's `instruction_id_list` gives them."""


def check(name: str, response: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a response follows one instruction; a blank one follows none.

    Args:
        name: a key of `CHECKERS`.
        response: what the model wrote.
        arguments: the entry of the benchmark's `kwargs` for this instruction; those that it does not need are
            not looked at.

    Raises:
        InputError: there is no such instruction, or an argument is missing or of the wrong kind.
    """
    if name not in CHECKERS:
        raise InputError(f"there is no instruction {name!r}; known are {', '.join(CHECKERS)}")
    checker = CHECKERS[name]
    needed = {}
    for key, kind in checker.needs.items():
        fits, expected = _KINDS[kind]
        if not fits(arguments.get(key)):
            raise InputError(f"{name}: given {key}={arguments.get(key)!r}, expected {expected}")
        needed[key] = arguments[key]
    return bool(response.strip()) and checker.follows(response, **needed)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_relation(value: Any) -> bool:
    return value in ("at least", "less than")


def _is_words(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value))


_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "count": (_is_count, "a whole number from 0"),
    "text": (_is_text, "a text that is not blank"),
    "relation": (_is_relation, '"at least" or "less than"'),
    "words": (_is_words, "a list of one or more texts that are not blank"),
}
