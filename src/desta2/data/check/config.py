"""The settings of the filters. Every default was chosen for precision: what is dropped should deserve it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from desta2.config import StrictModel

Share = Annotated[float, Field(ge=0, le=1)]


def _is_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Pattern = Annotated[str, AfterValidator(_is_pattern)]


class Truncated(StrictModel):
    """`min_words`: shorter answers may lack the full stop (a word, a title)."""

    min_words: int = Field(40, ge=1)


class Attributes(StrictModel):
    """`attributes`: those of the lexicon that are looked at; all by default."""

    attributes: tuple[str, ...] | None = None

    def looks_at(self, attribute: str) -> bool:
        """Whether an attribute is one of them."""
        return self.attributes is None or attribute in self.attributes


class Contradiction(Attributes):
    """A duration may differ from the seed's by `duration_seconds` and by `duration_share` of it."""

    duration_seconds: float = Field(0.5, ge=0)
    duration_share: Share = 0.1


class Language(StrictModel):
    """The languages that answers may be in, and when the identifier is believed.

    Attributes:
        expected: ISO 639-1 codes.
        min_letters: answers with fewer letters outside of quotations are not looked at.
        confidence: of the identifier, 0 to 1.
        unless_prompt: pairs whose prompt matches are not looked at: it may ask for another language.
    """

    expected: tuple[str, ...] = ("en",)
    min_letters: int = Field(60, ge=1)
    confidence: Share = 0.9
    unless_prompt: Pattern = (
        r"(?i)\btranslat|\b(?:in|into) (?:arabic|chinese|dutch|french|german|hindi|italian|japanese|korean"
        r"|mandarin|polish|portuguese|russian|spanish|turkish)\b"
    )


class NearDuplicate(StrictModel):
    """`answer` and `seed`: Jaccard similarities of runs of `shingle` words; both must be reached."""

    answer: Share = 0.9
    seed: Share = 0.95
    shingle: int = Field(3, ge=1)


class Contamination(StrictModel):
    """`min_letters`: shorter texts ("Of course.") are said by many and prove nothing."""

    min_letters: int = Field(20, ge=1)


class CheckConfig(StrictModel):
    """Everything that `desta2 check --config` may set.

    Attributes:
        only: names of the filters to use; all by default.
        without: names of filters to leave out.
        examples: examples of each filter in the report.
        lexicon: your own words and phrases instead of the package's `lexicon.yaml`.
    """

    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    examples: int = Field(3, ge=0)
    lexicon: Path | None = None
    truncated: Truncated = Truncated()
    contradiction: Contradiction = Contradiction()
    unsupported: Attributes = Attributes()
    language: Language = Language()
    near_duplicate: NearDuplicate = NearDuplicate()
    contamination: Contamination = Contamination()
