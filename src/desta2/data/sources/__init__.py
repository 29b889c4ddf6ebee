"""Readers of corpora: anything that has audio and knows something about it → clip records.

Each reader is a module with a `SOURCE` (see `base`); here stands only which ones there are, so that
`desta2 --help` need not import them.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING

from desta2.errors import InputError

if TYPE_CHECKING:
    from desta2.data.sources.base import Source

_MODULES = {  # name → module and variable
    "table": "table.SOURCE",
    "folder": "folder.SOURCE",
    "hf": "hf.SOURCE",
    "vctk": "vctk.SOURCE",
    "iemocap": "iemocap.SOURCE",
    "dailytalk": "dailytalk.SOURCE",
    "accentdb": "accentdb.SOURCE",
    "voxceleb1": "voxceleb1.SOURCE",
    "prompttts": "prompttts.SOURCE",
    "meld": "meld.SOURCE",
    "libritts": "libritts.SOURCE",
    "librispeech": "librispeech.SOURCE",
    "commonvoice": "commonvoice.SOURCE",
    "cremad": "cremad.SOURCE",
    "esd": "esd.SOURCE",
    "desta2": "published.DESTA2",
    "aqa5m": "published.AQA5M",
}
NAMES = tuple(_MODULES)
"""What `desta2 corpus` can read."""


def load_source(name: str) -> Source:
    """The reader of a corpus by its name; case and hyphens do not matter, and `libritts-r` is `libritts`.

    Raises:
        InputError: there is none of that name.
    """
    plain = name.lower().replace("-", "").replace("_", "")
    key = {"librittsr": "libritts", "promptspeech": "prompttts"}.get(plain, plain)
    if key not in _MODULES:
        close = difflib.get_close_matches(key, NAMES, n=1)
        hint = f"did you mean {close[0]!r}? There are" if close else "there are"
        raise InputError(f"no reader is called {name!r}; {hint} {', '.join(NAMES)}")
    module, variable = _MODULES[key].split(".")
    source: Source = getattr(import_module(f"desta2.data.sources.{module}"), variable)
    return source
