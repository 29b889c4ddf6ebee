"""Answers in another language than expected.

py3langid tells languages apart (BSD-3; 4.6 MB with its model, nothing to download): it is kept up, small and
needs numpy only. lingua is better at single words, which are not judged here, but has 96 MB; fastText's model
has a licence of its own. Quotations are masked first: what is spoken may be in any language.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, ClassVar

from desta2.data.check import config
from desta2.data.check.base import Filter, Finding
from desta2.data.check.item import Item
from desta2.data.check.text import MASK, count_letters, shown
from desta2.errors import ConfigError

_READ = 4000  # characters of an answer that are looked at: enough for certainty


class Language(Filter):
    """The answer is in a language that is not expected."""

    name: ClassVar[str] = "language"
    about: ClassVar[str] = "is in another language than expected"

    def __init__(self, settings: config.Language) -> None:
        self._settings = settings
        self._unless = re.compile(settings.unless_prompt)
        if unknown := sorted(set(settings.expected) - set(_identifier().labels)):
            raise ConfigError(
                f"language.expected: {', '.join(unknown)} cannot be identified; give ISO 639-1 codes, "
                "such as en, zh, de"
            )

    def find(self, item: Item) -> Finding | None:
        """See `Filter`."""
        prose = item.prose[:_READ].replace(MASK, " ")
        if count_letters(prose) < self._settings.min_letters:
            return None
        language, confidence = _identifier().classify(prose)
        if language in self._settings.expected or confidence < self._settings.confidence:
            return None
        if self._unless.search(item.pair.provenance.prompt):
            return None
        expected = " or ".join(self._settings.expected)
        return Finding(f"the answer is in {language!r} ({confidence:.2f}), expected {expected}", shown(prose))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
