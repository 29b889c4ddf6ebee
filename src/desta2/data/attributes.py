"""Attributes of a clip: what is measured from the samples, and which word a number becomes.

Trade-off: each measurement is one published method with one number, taken over the whole clip. That is cheap
(a few milliseconds for a clip of a few seconds) and explainable; a change of voice within a clip is not seen.
What cannot be measured well (too little voice, no transcript, an unknown language) gives None and the
attribute is left out: nothing is guessed. The words and their limits are data, in `attributes.yaml`.

All functions on samples take mono float32 at 16 kHz, shape (samples,), full scale 1.0, as `load_audio` gives.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from desta2.errors import ConfigError

if TYPE_CHECKING:
    from desta2.records import Clip

SAMPLE_RATE = 16_000
_MIN_VOICED_S = 0.1  # less voice than this gives a median of a handful of frames
_MAX_SYLLABLES_PER_S = 12.0
_MIN_ACTIVE_S = 0.2  # about one syllable
_MIN_LOUDNESS_S = 0.01  # below this the weighting filters have not settled


class Attribute(BaseModel):
    """One attribute of a `Scheme`; the fields are explained in `attributes.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    measured: str | None = None
    bins: tuple[str | float, ...] | None = None
    unit: str | None = None
    scope: Literal["voice", "recording"] = "voice"

    @property
    def key(self) -> str:
        """Key of its label in `clip.attributes`."""
        return key_of(self.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the bins from low to high; empty without bins."""
        return tuple(str(word) for word in (self.bins or ())[::2])

    @property
    def edges(self) -> tuple[float, ...]:
        """The limits between the words, ascending, in the unit of `measured`."""
        return tuple(float(edge) for edge in (self.bins or ())[1::2])

    @model_validator(mode="after")
    def _check(self) -> Attribute:
        if not self.name.strip():
            raise ValueError("the name is empty")
        if (self.measured is None) != (self.bins is None and self.unit is None):
            raise ValueError(
                f"{self.name}: 'measured' goes with either 'bins' or 'unit'; give both or neither"
            )
        if self.bins is not None and self.unit is not None:
            raise ValueError(f"{self.name}: give 'bins' or 'unit', not both")
        if self.bins is None:
            return self
        alternates = all(isinstance(item, float if i % 2 else str) for i, item in enumerate(self.bins))
        if not alternates or len(self.bins) % 2 == 0:
            raise ValueError(
                f"{self.name}: bins are words with the limits between them, such as [Low, 130, High]; "
                f"got {list(self.bins)}"
            )
        if not all(map(math.isfinite, self.edges)):
            raise ValueError(f"{self.name}: the limits of the bins must be numbers; got {list(self.edges)}")
        if not all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError(f"{self.name}: the limits of the bins must ascend; got {list(self.edges)}")
        if len(set(self.words)) < len(self.words):
            raise ValueError(f"{self.name}: each word may name one bin only; got {list(self.words)}")
        return self

    def word(self, value: float) -> str | None:
        """The word for a measured value: its bin or, with a unit, the whole number ("3s"); None for NaN."""
        if math.isnan(value):
            return None
        if self.unit is not None:
            return f"{max(1, math.floor(value + 0.5))}{self.unit}" if math.isfinite(value) else None
        return self.words[bisect_right(self.edges, value)]


class Scheme(BaseModel):
    """All attributes in the order in which seeds name them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: tuple[Attribute, ...]

    @model_validator(mode="after")
    def _check(self) -> Scheme:
        keys = [attribute.key for attribute in self.attributes]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"each attribute may be listed once; listed again: {', '.join(twice)}")
        return self


def load_scheme(path: str | Path | None = None) -> Scheme:
    """Read a scheme file; without a path the one that the package ships (read once).

    Raises:
        ConfigError: the file is missing, not YAML, or not a scheme; the message names the entry.
    """
    return _default_scheme() if path is None else _read_scheme(Path(path))


@cache
def _default_scheme() -> Scheme:
    return _read_scheme(Path(__file__).with_name("attributes.yaml"))


def _read_scheme(path: Path) -> Scheme:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read the attribute scheme: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: the attribute scheme is not valid YAML: {error}") from error
    try:
        return Scheme.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(
            f"{path}: {place}: {first['msg'].removeprefix('Value error, ')} "
            "(desta2/data/attributes.yaml shows the form)"
        ) from error


def key_of(name: str) -> str:
    """Key of an attribute in clip records: "Speaking speed" → "speaking_speed"."""
    return re.sub(r"[\s_-]+", "_", name.strip()).lower()


def name_of(key: str) -> str:
    """Name of an attribute that no scheme lists, as seeds write it: "speaking_style" → "Speaking style"."""
    words = key.strip().replace("_", " ")
    return words[:1].upper() + words[1:]


def attribute_words(
    labels: Mapping[str, str], measured: Mapping[str, float], scheme: Scheme
) -> dict[str, str]:
    """Attribute names and words, in the order of the scheme.

    Args:
        labels: words of the corpus by attribute key; a label wins over a number, an empty one counts as
            missing. Labels that the scheme does not list follow at the end in the given order, named by
            `name_of`.
        measured: numbers by their key, such as `f0_median_hz`.
        scheme: which attributes there are and which word a number becomes.

    Returns:
        name → word, without the attributes of which neither a label nor a number is known.
    """
    given = {key_of(key): (key, label) for key, label in labels.items() if label.strip()}
    words: dict[str, str] = {}
    for attribute in scheme.attributes:
        word: str | None = given.pop(attribute.key, ("", None))[1]
        if word is None and attribute.measured is not None and attribute.measured in measured:
            word = attribute.word(measured[attribute.measured])
        if word is not None:
            words[attribute.name] = word
    return words | {name_of(key): label for key, label in given.values()}


def describe(clip: Clip, scheme: Scheme | None = None) -> dict[str, str]:
    """The attributes of a clip as words, in seed order: `attribute_words` with `duration` as measured."""
    measured = dict(clip.measured)
    if clip.duration is not None:
        measured["duration"] = clip.duration
    return attribute_words(clip.attributes, measured, scheme or load_scheme())


def f0_median_hz(samples: NDArray[np.float32]) -> float | None:
    """Median fundamental frequency over the voiced frames, in Hz; None with less than 0.1 s of voice.

    SwiftF0 (Nieradzik 2025, arXiv 2508.18440; package swift-f0): a small network that gives pitch and voicing
    every 16 ms; voiced is a confidence of at least 0.5, its calibrated limit. Searched between 50 and 600 Hz,
    the range of speaking voices from low men to small children.
    """
    if len(samples) == 0:
        return None
    result = _pitch_detector().detect(samples, SAMPLE_RATE, fmin=50.0, fmax=600.0)
    voiced = result.pitch_hz[result.confidence >= 0.5]
    if len(voiced) * 256 < _MIN_VOICED_S * SAMPLE_RATE:  # one frame is 256 samples
        return None
    return float(np.median(voiced))


def loudness_lufs(samples: NDArray[np.float32]) -> float | None:
    """Integrated loudness in LUFS (ITU-R BS.1770-4, package pyloudnorm); None for silence.

    Silence is what the standard's absolute gate drops, below -70 LUFS. A clip shorter than the standard's
    block of 0.4 s is measured as a single block of its own length; below 10 ms there is nothing to measure:
    None.
    """
    import pyloudnorm

    seconds = len(samples) / SAMPLE_RATE
    if seconds < _MIN_LOUDNESS_S:
        return None
    # Half a sample less than the clip, so that rounding never makes the block longer than the clip.
    block = min(0.4, (len(samples) - 0.5) / SAMPLE_RATE)
    meter = pyloudnorm.Meter(SAMPLE_RATE, block_size=block)
    loudness = float(meter.integrated_loudness(samples.astype(np.float64)))
    return loudness if math.isfinite(loudness) else None


def speaking_rate(text: str | None, active_seconds: float, language: str | None) -> float | None:
    """Syllables of the text per second of speech.

    Args:
        text: what is said; None or a text with digits gives None, since "1984" does not say how it was read.
        active_seconds: seconds of speech, from `vad.speech_seconds`; below 0.2 s gives None.
        language: BCP 47 tag; only English ("en", "en-GB", "english") can be counted, others and None give
            None.

    More than 12 syllables/s, which nobody speaks, gives None as well: the speech was not found, or the text
    is not what is said.
    """
    if text is None or active_seconds < _MIN_ACTIVE_S or re.search(r"\d", text):
        return None
    if language is None or re.split(r"[-_]", language.lower())[0] not in ("en", "eng", "english"):
        return None
    syllables = count_syllables(text)
    rate = syllables / active_seconds
    return rate if syllables and rate <= _MAX_SYLLABLES_PER_S else None


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


@cache
def _pitch_detector() -> Any:
    """The SwiftF0 session of this process: one thread, because whole processes work side by side."""
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1, spin=False)
