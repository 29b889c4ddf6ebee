"""How fast somebody speaks: syllables of the text per second of speech.

Trade-off: syllables are counted in the text, not in the sound, since the text is known and nuclei found in
noise and reverberation are not. English has its own rule here, exact enough for whole sentences; Chinese and
Korean write one syllable a character; for other languages hyphenation serves (package pyphen, extra
`languages`: its dictionaries of some 40 languages say where a word may part, and a word has one part more
than such places; over some sentences that is right within 5 %, word for word less often). A language that
none of them knows gives None, and so does what is not written as it is read: "1984".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache

from desta2.records import Clip

logger = logging.getLogger(__name__)

_MAX_SYLLABLES_PER_S = 12.0
_MIN_ACTIVE_S = 0.2  # about one syllable
_ENGLISH = ("en", "eng", "english")
_CHINESE = ("zh", "zho", "cmn", "yue", "chinese", "mandarin", "cantonese")
_KOREAN = ("ko", "kor", "korean")
_HAN, _HANGUL = r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f]", r"[\uac00-\ud7a3]"
_LETTERS = r"[^\W\d_]"


def spoken_text(clip: Clip) -> str | None:
    """The text of a clip, or of all its segments; None where it, or one of them, is not known."""
    if clip.text is not None:
        return clip.text
    texts = [segment.text for segment in clip.segments or ()]
    known = [text for text in texts if text is not None]
    return " ".join(known) if known and len(known) == len(texts) else None


def speaking_rate(syllables: int, active_seconds: float) -> float | None:
    """Syllables per second of speech; None where that is no speed.

    Args:
        syllables: of the text, from `syllables_of`; 0 gives None.
        active_seconds: seconds of speech, from `vad.speech_seconds`; below 0.2 s gives None.

    More than 12 syllables/s, which nobody speaks, gives None as well: the speech was not found, or the text
    is not what is said.
    """
    if active_seconds < _MIN_ACTIVE_S:
        return None
    rate = syllables / active_seconds
    return rate if syllables and rate <= _MAX_SYLLABLES_PER_S else None


def syllables_of(text: str, language: str | None) -> int | None:
    """Count the syllables of a text.

    Args:
        text: what is said; with digits in it the result is None, since "1984" does not say how it was read.
        language: BCP 47 tag ("en", "de-AT"); None, and a language that cannot be counted, give None.
    """
    if language is None or re.search(r"\d", text):
        return None
    tag = language.strip().replace("-", "_")
    main = tag.split("_")[0].lower()
    if main in _ENGLISH:
        return count_syllables(text)
    if main in _CHINESE:
        return _characters(text, _HAN)
    if main in _KOREAN:
        return _characters(text, _HANGUL)
    parts = _hyphenator(tag)
    if parts is None:
        return None
    words = re.findall(f"{_LETTERS}+", re.sub("['\u2019]", "", text.lower()))  # qu'il is one syllable
    return sum(parts(word) for word in words)


def _characters(text: str, syllable: str) -> int | None:
    """Characters that are a syllable each; None where other letters stand among them."""
    letters = re.findall(_LETTERS, text)
    return len(letters) if all(re.match(syllable, letter) for letter in letters) else None


@cache
def _hyphenator(tag: str) -> Callable[[str], int] | None:
    """What counts the parts of a word in a language; None, said once, where there is nothing for it."""
    try:
        import pyphen
    except ImportError:
        logger.warning(
            "speaking speed in language %r is left out: pip install 'desta2[languages]' to have it counted",
            tag,
        )
        return None
    known = pyphen.language_fallback(tag)
    if known is None:
        logger.warning("speaking speed in language %r is left out: its syllables cannot be counted", tag)
        return None
    dictionary = pyphen.Pyphen(lang=known, left=1, right=1)
    return lambda word: len(dictionary.positions(word)) + 1


def count_syllables(text: str) -> int:
    """Count the syllables of English text by its spelling.

    In each word, groups of vowel letters (a e i o u y) count once; a silent ending does not count: e ("home")
    unless it follows a consonant and l ("table"), es unless after a hissing sound ("horses"), ed unless after
    t or d ("wanted"). Every word has at least one. Right for about nine in ten English words; errors ("lion",
    "every") mostly cancel over a sentence.
    """
    return sum(_word_syllables(word) for word in re.findall(r"[a-z]+", re.sub("['\u2019]", "", text.lower())))


def _word_syllables(word: str) -> int:
    groups = len(re.findall(r"[aeiouy]+", word))
    silent = re.search(r"[^aeiouy]e$|[^aeiouytd]ed$|[^aeiouyszxcg]es$", word)
    if silent and not re.search(r"[^aeiouylr]le(s|d)?$|(sh|ch)es$", word):
        groups -= 1
    return max(1, groups)
