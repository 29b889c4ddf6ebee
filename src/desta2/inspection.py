"""What desta2 knows of one clip: measured attributes, transcript, and the seed that would be written of it.

For the verb `inspect` and the page of `desta2 ui`. It is what `annotate` and `seed` do to a manifest of
clips, done to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from desta2.data.annotate import annotate_clip
from desta2.data.attributes import Scheme, describe
from desta2.data.audio import SAMPLE_RATE
from desta2.data.seed import seed_clip
from desta2.model.hearing import processor_of, windows_of
from desta2.model.transcribe import detect_languages
from desta2.records import Clip

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


@dataclass(frozen=True)
class Inspection:
    """A clip, looked at.

    Attributes:
        samples: (samples,) at 16 kHz.
        transcript: What Whisper wrote.
        measured: Numbers with their unit in the key.
        attributes: Names and words, as the seed has them.
        seed: The seed transcript.
    """

    samples: np.ndarray
    transcript: str
    measured: dict[str, float]
    attributes: dict[str, str]
    seed: str

    @property
    def seconds(self) -> float:
        """How long the clip lasts."""
        return len(self.samples) / SAMPLE_RATE

    def to_dict(self) -> dict[str, Any]:
        """All but the samples."""
        numbers = {"duration": round(self.seconds, 3), **self.measured}
        return {
            "transcript": self.transcript,
            "measured": numbers,
            "attributes": self.attributes,
            "seed": self.seed,
        }


def inspect_clip(samples: np.ndarray, model: Desta2Model, scheme: Scheme) -> Inspection:
    """Measure a clip, let the model's Whisper write it down, and write its seed.

    Args:
        samples: (samples,) at 16 kHz.
        model: Hears the words; its adapter and LLM say nothing here.
        scheme: Attributes and their words.

    Raises:
        InputError: The clip is longer than the model takes.
    """
    transcript = model.hear([samples])[0].transcript.strip()
    bare = Clip(id="clip", audio="-", text=transcript, language=_language(samples, model))
    clip = annotate_clip(bare, samples, scheme)
    return Inspection(
        samples, transcript, clip.measured, describe(clip, scheme), seed_clip(clip, scheme).seed
    )


def _language(samples: np.ndarray, model: Desta2Model) -> str:
    """What Whisper takes the first window's language for; one that knows English alone is not asked."""
    processor = processor_of(model)
    first = windows_of(processor, samples, "")[0].samples
    with torch.no_grad():
        heard = model.encode(processor.features([first])).last_hidden_state
    return detect_languages(model.whisper, heard)[0] or "en"


def scheme_of(model: str, given: Path | None = None) -> Scheme:
    """The scheme that fits a model where none is given: the nano world's for `nano`, else the shipped one.

    Raises:
        ConfigError: The file that is given is no scheme.
    """
    from desta2.data.attributes import load_scheme
    from desta2.nano.world import SCHEME

    return load_scheme(SCHEME if given is None and model == "nano" else given)
