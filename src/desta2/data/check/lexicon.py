"""The words and phrases that filters look for: `lexicon.yaml`, checked when it is read.

Trade-off: patterns in a readable file instead of a model that judges. They see only what they list, and say
exactly why; a user adds the wordings of another LLM or language without touching code.
"""

from __future__ import annotations

import re
from functools import cache, cached_property
from pathlib import Path

from pydantic import Field, model_validator

from desta2.config import StrictModel, load_config
from desta2.data.attributes import key_of


class AttributeWords(StrictModel):
    """One attribute; the fields are explained in `lexicon.yaml`."""

    names: tuple[str, ...] = Field(min_length=1)
    values: dict[str, tuple[str, ...]] = Field(min_length=1)
    wider: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    claims: tuple[str, ...]
    phrases: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_values(self) -> AttributeWords:
        named = {*self.wider, *self.phrases, *(value for values in self.wider.values() for value in values)}
        if unknown := sorted(named - set(self.values)):
            raise ValueError(f"'wider' or 'phrases' name values that are not listed: {', '.join(unknown)}")
        if bad := [claim for claim in self.claims if claim.count("{value}") != 1]:
            raise ValueError(f"a claim must hold {{value}} once: {bad[0]!r}")
        return self


class Lexicon(StrictModel):
    """All patterns; the fields are explained in `lexicon.yaml`."""

    macros: dict[str, str] = Field(default_factory=dict)
    not_claimed: tuple[str, ...]
    not_claimed_after: tuple[str, ...] = ()
    hedges: tuple[str, ...] = ()
    attributes: dict[str, AttributeWords]
    denial: tuple[str, ...]
    refusal: tuple[str, ...]
    markup: tuple[str, ...]

    @model_validator(mode="after")
    def _compiles(self) -> Lexicon:
        for key in self.attributes:
            self.words_of(key)
            self.claims_of(key)
        negations = (self.not_claimed, self.not_claimed_after, self.hedges)
        for patterns in (*negations, self.denial, self.refusal, self.markup):
            self.compiled(patterns)
        return self

    def compiled(self, patterns: tuple[str, ...]) -> re.Pattern[str]:
        """Some patterns as one; none of them match nothing."""
        if not patterns:
            return _compile(r"(?!)")
        return _compile("|".join(f"(?:{self._filled(pattern)})" for pattern in patterns))

    def words_of(self, attribute: str) -> dict[str, re.Pattern[str]]:
        """For each value of an attribute the pattern of its words."""
        values = self.attributes[attribute].values
        return {value: _compile("|".join(f"(?:{w})" for w in words)) for value, words in values.items()}

    def claims_of(self, attribute: str) -> list[re.Pattern[str]]:
        """The claims of an attribute, with the word of its value as the group "value"."""
        every = [word for words in self.attributes[attribute].values.values() for word in words]
        value = (
            rf"(?P<value>{'|'.join(sorted(every, key=len, reverse=True))})\b(?!-(?!pitched|sounding|like))"
        )
        claims = self.attributes[attribute].claims
        return [_compile(r"\b" + self._filled(claim).replace("{value}", value)) for claim in claims]

    def phrases_of(self, attribute: str) -> dict[str, re.Pattern[str]]:
        """For each value the pattern of the sayings that state it by themselves."""
        phrases = self.attributes[attribute].phrases
        return {value: self.compiled(patterns) for value, patterns in phrases.items()}

    def attribute_of(self, name: str) -> str | None:
        """Which attribute a seed means by a name; None for one that the lexicon does not have."""
        return self._keys.get(key_of(name))

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {key_of(name): key for key, words in self.attributes.items() for name in words.names}

    def _filled(self, pattern: str) -> str:
        names = "|".join(re.escape(name) for words in self.attributes.values() for name in words.names)
        for _ in range(3):  # macros within macros
            for name, text in {**self.macros, "names": f"(?:{names})"}.items():
                pattern = pattern.replace(f"{{{name}}}", text)
        return pattern


def load_lexicon(path: Path | None = None) -> Lexicon:
    """Read a lexicon; without a path the package's.

    Raises:
        ConfigError: the file is missing, or not a lexicon; the message names the entry.
    """
    return _default() if path is None else load_config(path, Lexicon)


@cache
def _default() -> Lexicon:
    return load_config(Path(__file__).with_name("lexicon.yaml"), Lexicon)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {pattern[:80]!r}: {error}") from None
