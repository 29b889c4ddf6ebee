"""Attributes of a clip: pitch and loudness, and which word a number becomes.

Trade-off: each measurement is one published method with one number, taken over the whole clip. That is cheap
(a few milliseconds for a clip of a few seconds) and explainable; a change of voice within a clip is not seen.
What cannot be measured well (too little voice, no transcript, an unknown language) gives None and the
attribute is left out: nothing is guessed. The words and their limits are data, in `attributes.yaml`. Other
measurements: `speed`, `snr`, `reverberation`, `vad`; models that the user names: `classifiers`.

All functions on samples take mono float32 at 16 kHz, shape (samples,), full scale 1.0, as `load_audio` gives.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from desta2.errors import ConfigError

if TYPE_CHECKING:
    from desta2.records import Clip

logger = logging.getLogger(__name__)

SAMPLE_RATE = 16_000
ESTIMATED = "_estimated"
"""Ending of the key of a number that was estimated where the exact one is not known: `snr_db_estimated`."""

_SCHEME_NAME = "attributes.yaml"
_MIN_VOICED_S = 0.1  # less voice than this gives a median of a handful of frames
_F0_FRAME = 512  # samples of the clip for one frame of its pitch: 32 ms
_MIN_LOUDNESS_S = 0.01  # below this the weighting filters have not settled


Bins = tuple[str | float, ...]


class Attribute(BaseModel):
    """One attribute of a `Scheme`; the fields are explained in `attributes.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    measured: str | None = None
    bins: Bins | None = None
    bins_by_gender: dict[str, Bins] = Field(default_factory=dict)
    unit: str | None = None
    scope: Literal["voice", "recording"] = "voice"

    @property
    def key(self) -> str:
        """Key of its label in `clip.attributes`."""
        return key_of(self.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the bins from low to high; empty without bins."""
        return _words(self.bins or ())

    @property
    def edges(self) -> tuple[float, ...]:
        """The limits between the words, ascending, in the unit of `measured`."""
        return _edges(self.bins or ())

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
        for bins in (self.bins, *self.bins_by_gender.values()):
            if bins is not None:
                _check_bins(self.name, bins)
        for gender, bins in self.bins_by_gender.items():
            if _words(bins) != self.words:
                raise ValueError(
                    f"{self.name}: the bins of {gender} need the words of 'bins', {list(self.words)}; "
                    f"got {list(_words(bins))}"
                )
        return self

    def word(self, value: float, gender: str | None = None) -> str | None:
        """The word for a measured value: its bin or, with a unit, the whole number ("3s"); None for NaN.

        Args:
            value: in the unit of `measured`.
            gender: of the speaker, in any case; where it has bins of its own, these are taken.
        """
        if math.isnan(value):
            return None
        if self.unit is not None:
            return f"{max(1, math.floor(value + 0.5))}{self.unit}" if math.isfinite(value) else None
        own = {name.casefold(): bins for name, bins in self.bins_by_gender.items()}
        edges = _edges(own.get((gender or "").strip().casefold(), self.bins or ()))
        return self.words[bisect_right(edges, value)]


def _words(bins: Bins) -> tuple[str, ...]:
    return tuple(str(word) for word in bins[::2])


def _edges(bins: Bins) -> tuple[float, ...]:
    return tuple(float(edge) for edge in bins[1::2])


def _check_bins(name: str, bins: Bins) -> None:
    alternates = all(isinstance(item, float if i % 2 else str) for i, item in enumerate(bins))
    if not alternates or len(bins) % 2 == 0:
        raise ValueError(
            f"{name}: bins are words with the limits between them, such as [Low, 130, High]; got {list(bins)}"
        )
    words, edges = _words(bins), _edges(bins)
    if not all(map(math.isfinite, edges)):
        raise ValueError(f"{name}: the limits of the bins must be numbers; got {list(edges)}")
    if not all(low < high for low, high in itertools.pairwise(edges)):
        raise ValueError(f"{name}: the limits of the bins must ascend; got {list(edges)}")
    if len(set(words)) < len(words):
        raise ValueError(f"{name}: each word may name one bin only; got {list(words)}")


class Classifier(BaseModel):
    """A model that names an attribute; the fields are explained in `attributes.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)]
    input: Literal["audio", "text"] = "audio"
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    labels: dict[str, str] | None = None


class Scheme(BaseModel):
    """All attributes in the order in which seeds name them, and the models that name some of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attributes: tuple[Attribute, ...]
    classifiers: dict[str, Classifier] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Scheme:
        keys = [attribute.key for attribute in self.attributes]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"each attribute may be listed once; listed again: {', '.join(twice)}")
        for key in self.classifiers:
            if key not in keys:
                raise ValueError(f"a classifier is given for {key!r}; the attributes are {', '.join(keys)}")
        return self

    def of(self, key: str) -> Attribute | None:
        """The attribute with this key, if it is listed."""
        return next((attribute for attribute in self.attributes if attribute.key == key), None)


def load_scheme(path: str | Path | None = None) -> Scheme:
    """Read a scheme file; without a path the one that the package ships (read once).

    Raises:
        ConfigError: the file is missing, not YAML, or not a scheme; the message names the entry.
    """
    return _default_scheme() if path is None else _read_scheme(Path(path))


def scheme_for(manifest: str | Path) -> Scheme:
    """The scheme of some clips where none is given: `attributes.yaml` beside them, else the shipped one.

    Args:
        manifest: file of clips, or folder of parts.

    Raises:
        ConfigError: as `load_scheme`.
    """
    manifest = Path(manifest)
    own = (manifest if manifest.is_dir() else manifest.parent) / _SCHEME_NAME
    if not own.is_file():
        return load_scheme()
    logger.info("attributes are named by %s", own)
    return load_scheme(own)


@cache
def _default_scheme() -> Scheme:
    return _read_scheme(Path(__file__).with_name(_SCHEME_NAME))


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
        measured: numbers by their key, such as `f0_median_hz`; a number under its key with `_estimated` at
            the end serves where the exact one is missing.
        scheme: which attributes there are and which word a number becomes.

    Returns:
        name → word, without the attributes of which neither a label nor a number is known.
    """
    given = {key_of(key): (key, label) for key, label in labels.items() if label.strip()}
    gender = given.get("gender", ("", None))[1]
    words: dict[str, str] = {}
    for attribute in scheme.attributes:
        word: str | None = given.pop(attribute.key, ("", None))[1]
        if word is None and attribute.measured is not None:
            number = measured.get(attribute.measured, measured.get(attribute.measured + ESTIMATED))
            word = None if number is None else attribute.word(number, gender)
        if word is not None:
            words[attribute.name] = word
    return words | {name_of(key): label for key, label in given.values()}


def describe(clip: Clip, scheme: Scheme | None = None) -> dict[str, str]:
    """The attributes of a clip as words, in seed order: `attribute_words` with `duration` as measured."""
    measured = dict(clip.measured)
    if clip.duration is not None:
        measured["duration"] = clip.duration
    return attribute_words(clip.attributes, measured, scheme or load_scheme())


def f0_median_hz(samples: NDArray[np.float32], spans: Sequence[tuple[int, int]] = ()) -> float | None:
    """Median fundamental frequency over the voiced frames, in Hz; None with less than 0.1 s of voice.

    Args:
        samples: (samples,).
        spans: where somebody speaks, from `vad.speech_spans`; only there is a voice looked for, which is
            faster and changed the median of espeak speech by 0.1 %. Without spans it is looked for
            everywhere.

    SwiftF0 (Nieradzik 2025, arXiv 2508.18440; package swift-f0): a small network that gives pitch and voicing
    of every 256 samples at 16 kHz; voiced is a confidence of at least 0.5, its calibrated limit. Searched
    between 50 and 600 Hz, the range of speaking voices from low men to small children. The network is handed
    the clip at half its rate as if it were at 16 kHz, an octave up, and its answer is halved: that is half
    the work, and moves the median of espeak speech by 0.4 % (1.3 % at most).
    """
    if len(samples) == 0:
        return None
    stretches = [samples[start:end] for start, end in spans] or [samples]
    pitch = np.concatenate([_pitch_hz(part) for part in stretches])
    voiced = pitch[~np.isnan(pitch)]
    if len(voiced) * _F0_FRAME < _MIN_VOICED_S * SAMPLE_RATE:
        return None
    return float(np.median(voiced))


def f0_contour_hz(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pitch over time, by the same method as `f0_median_hz`.

    Args:
        samples: (samples,).

    Returns:
        Times in seconds and pitch in Hz, each (frames,), 32 ms apart; NaN where there is no voice.
    """
    if len(samples) == 0:
        return np.empty(0), np.empty(0)
    pitch = _pitch_hz(samples)
    return np.arange(len(pitch)) * _F0_FRAME / SAMPLE_RATE, pitch


def _pitch_hz(samples: NDArray[np.float32]) -> NDArray[Any]:
    """What SwiftF0 hears, (frames,) in Hz, NaN where there is no voice: played twice as fast, and halved."""
    import soxr

    fast = soxr.resample(samples, 2, 1)
    result = _pitch_detector().detect(fast, SAMPLE_RATE, fmin=100.0, fmax=1200.0)
    return np.where(result.confidence >= 0.5, result.pitch_hz / 2, np.nan)


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


@cache
def _pitch_detector() -> Any:
    """The SwiftF0 session of this process: one thread, because whole processes work side by side."""
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1, spin=False)
