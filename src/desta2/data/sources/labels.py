"""One word for one meaning: the labels of corpora in the words that our seeds use.

Trade-off: only words that mean the same are exchanged ("F" and "female_feminine" are Female, "joy" and
"happiness" Happy); whatever is not listed stays as the corpus has it, and what a corpus marks as unknown
is left out. Codes that mean something in one corpus only ("xxx", "dis") are for its reader.

The pairs of emotion words are those of Ekman's basic emotions, under which the corpora list them
themselves: MELD (arXiv 1810.02508: Joy, Sadness, Fear, Anger, Surprise, Disgust), DailyDialog (arXiv
1710.03957: happiness for the same), CREMA-D ("Happy/Joy").
"""

from __future__ import annotations

from collections.abc import Mapping

from desta2.data.attributes import load_scheme

_GENDERS = {
    "Female": ("f", "female", "female_feminine", "woman"),
    "Male": ("m", "male", "male_masculine", "man"),
}
_EMOTIONS = {
    "Neutral": ("neutral",),
    "Happy": ("happy", "happiness", "joy"),
    "Sad": ("sad", "sadness"),
    "Angry": ("angry", "anger"),
    "Surprised": ("surprise", "surprised"),
    "Fearful": ("fear", "fearful"),
    "Disgusted": ("disgust", "disgusted"),
    "Excited": ("excited", "excitement"),
    "Frustrated": ("frustrated", "frustration"),
}
_UNKNOWN = ("", "unknown", "unspecified", "n/a", "na", "nan", "none", "null", "do_not_wish_to_say")

# Words for the same place on a scale of low, middle and high; which of them a seed uses stands in the scheme.
_SAME_LEVEL: tuple[tuple[str, ...], ...] = (
    ("low", "quiet", "soft", "slow"),
    ("normal", "medium", "moderate", "average"),
    ("high", "loud", "fast"),
)


def gender(word: str | None) -> str | None:
    """Female or Male; None for any other answer: a seed tells what can be heard, not who somebody is."""
    return _exchanged(word, _GENDERS)


def emotion(word: str | None) -> str | None:
    """The usual adjective ("joy" → "Happy"); another emotion as it is, with a capital; None if unknown."""
    return _exchanged(word, _EMOTIONS) or capital(word)


def level(key: str, word: str | None) -> str | None:
    """The scheme's word for a level of pitch, volume or speaking speed: ("volume", "low") → "Quiet"."""
    given = (word or "").strip().casefold()
    scheme = next((a for a in load_scheme().attributes if a.key == key), None)
    words = {known.casefold(): known for known in (scheme.words if scheme else ())}
    same = next((group for group in _SAME_LEVEL if given in group), ())
    return words.get(given) or next((words[s] for s in same if s in words), None) or capital(word)


def capital(word: str | None) -> str | None:
    """The word with a capital at its beginning, as seeds write values; None if it says "unknown"."""
    text = (word or "").strip()
    return None if text.casefold() in _UNKNOWN else text[:1].upper() + text[1:]


def canonical(key: str, word: str) -> str | None:
    """A label of unknown origin, by its attribute: exchanged where it means the same, otherwise as it is."""
    text = word.strip()
    if text.casefold() in _UNKNOWN:
        return None
    if key == "gender":
        return gender(text) or text
    if key == "emotion":
        return emotion(text)
    return level(key, text) if key in ("pitch", "volume", "speaking_speed") else text


def labels(**words: str | None) -> dict[str, str]:
    """Attributes without those that are not known."""
    return {key: word for key, word in words.items() if word}


def _exchanged(word: str | None, table: Mapping[str, tuple[str, ...]]) -> str | None:
    given = (word or "").strip().casefold()
    return next((ours for ours, same in table.items() if given in same), None)
