"""Which attributes of a clip are estimates: not from the corpus, and not measured but judged.

A clip says it under the key `estimated`: attribute → {"by": the method or the model's id, "confidence": its
probability where there is one}, and `text` where Whisper wrote the text. Labels and numbers themselves stand
where those of the corpus would, numbers under keys that end with `_estimated`. Trade-off: one key more in
the record instead of a second set of attributes, so that every stage reads words in one place, and whoever
wants the corpus's words alone takes `without_estimates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from desta2.data.attributes import ESTIMATED, key_of
from desta2.errors import RecordError
from desta2.records import Clip

KEY = "estimated"
TEXT = "text"


def estimates_of(clip: Clip) -> dict[str, dict[str, Any]]:
    """What is estimated about a clip: attribute key (or `text`) → who says so.

    Raises:
        RecordError: the clip has something else under `estimated`.
    """
    found = (clip.model_extra or {}).get(KEY, {})
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise RecordError(
            f"clip {clip.id!r}: 'estimated' must be an object such as "
            '{"gender": {"by": "MODEL", "confidence": 0.9}}; give that field another name'
        )
    return found


def mark_estimates(clip: Clip, found: Mapping[str, Mapping[str, Any]]) -> Clip:
    """A copy of a clip that says of further attributes that they are estimates."""
    known = {**estimates_of(clip), **{key: dict(source) for key, source in found.items()}}
    return clip.model_copy(update={KEY: known}) if known else clip


def without_estimates(clip: Clip) -> Clip:
    """A copy of a clip with what the corpus states and what was measured only.

    The text stays, whoever wrote it: a seed without words would say that nobody speaks.
    """
    estimated = estimates_of(clip)
    labels = {key: label for key, label in clip.attributes.items() if key_of(key) not in estimated}
    numbers = {key: value for key, value in clip.measured.items() if not key.endswith(ESTIMATED)}
    return clip.model_copy(update={"attributes": labels, "measured": numbers})
