"""All filters, in the order in which they are asked and reported."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from desta2.data.check.base import Filter
from desta2.data.check.claims import ClaimReader
from desta2.data.check.config import CheckConfig
from desta2.data.check.contamination import ContaminatedAudio, ContaminatedText
from desta2.data.check.contradiction import Contradiction
from desta2.data.check.duplicate import Duplicate
from desta2.data.check.empty import Empty
from desta2.data.check.language import Language
from desta2.data.check.lexicon import load_lexicon
from desta2.data.check.near_duplicate import NearDuplicate
from desta2.data.check.phrases import Denial, Markup, Refusal
from desta2.data.check.truncated import Truncated
from desta2.data.check.unsupported import Unsupported
from desta2.errors import ConfigError

AGAINST = (ContaminatedText.name, ContaminatedAudio.name)
"""The filters that need other data to compare with."""


def make_filters(
    config: CheckConfig, against: Sequence[Path] = (), data_root: Path | None = None
) -> list[Filter]:
    """Make the filters that a config asks for.

    Args:
        config: its `only` and `without` name filters; see `NAMES`.
        against: evaluation data; without it the filters of `AGAINST` are left out.
        data_root: where relative audio paths are looked for first.

    Raises:
        ConfigError: an unknown name, or one of `AGAINST` asked for without anything to compare with.
        InputError: evaluation data that cannot be read.
    """
    for name in (*(config.only or ()), *config.without):
        _check_name(name)
    lexicon = load_lexicon(config.lexicon)
    reader = ClaimReader(lexicon)
    makers: dict[str, Callable[[], Filter]] = {
        Empty.name: Empty,
        Truncated.name: lambda: Truncated(config.truncated),
        Refusal.name: lambda: Refusal(lexicon),
        Denial.name: lambda: Denial(lexicon),
        Markup.name: lambda: Markup(lexicon),
        Contradiction.name: lambda: Contradiction(reader, config.contradiction),
        Unsupported.name: lambda: Unsupported(reader, config.unsupported),
        Language.name: lambda: Language(config.language),
        ContaminatedText.name: lambda: ContaminatedText(against, config.contamination),
        ContaminatedAudio.name: lambda: ContaminatedAudio(against, data_root),
        Duplicate.name: Duplicate,
        NearDuplicate.name: lambda: NearDuplicate(config.near_duplicate),
    }
    assert tuple(makers) == NAMES
    wanted = [name for name in config.only or NAMES if name not in config.without]
    if not against:
        if named := [name for name in config.only or () if name in AGAINST]:
            raise ConfigError(f"{named[0]} needs data to compare with: give --against FILE")
        wanted = [name for name in wanted if name not in AGAINST]
    return [makers[name]() for name in NAMES if name in wanted]


NAMES = (
    Empty.name, Truncated.name, Refusal.name, Denial.name, Markup.name, Contradiction.name, Unsupported.name,
    Language.name, ContaminatedText.name, ContaminatedAudio.name, Duplicate.name, NearDuplicate.name,
)  # fmt: skip
"""The names of all filters, in order."""


def _check_name(name: str) -> None:
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(NAMES)}"
        raise ConfigError(f"no filter is called {name!r}; {hint}")
