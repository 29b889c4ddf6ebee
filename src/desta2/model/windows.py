"""Clips longer than one Whisper window, cut where nobody speaks.

The windows of a clip are the clip, sample for sample: nothing is dropped between them and nothing at the end.
Each cut lies in the second half of what the window could hold, in the middle of the longest pause there, so
that no word is torn and the number of windows stays below twice the least. Where nobody pauses, or where the
speech detector is not installed, the quietest place serves. No torch here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from desta2.data import vad
from desta2.data.audio import SAMPLE_RATE

logger = logging.getLogger(__name__)

Span = tuple[int, int]
_HUSH = SAMPLE_RATE // 10  # samples over which loudness is taken


def split(samples: NDArray[np.float32], longest: int) -> list[NDArray[np.float32]]:
    """Cut a clip into windows.

    Args:
        samples: (samples,) mono at 16 kHz.
        longest: Samples that a window may have.

    Returns:
        Consecutive parts which joined are the clip, each of at most `longest` samples. A clip that fits is
        its own and only window; otherwise no window is shorter than an eighth of `longest`.
    """
    if len(samples) <= longest:
        return [samples]
    return np.split(samples, cuts(samples, longest, _speech(samples)))


def cuts(samples: NDArray[np.float32], longest: int, speech: Sequence[Span] | None) -> list[int]:
    """Where to cut a clip that is longer than `longest`; `speech` is None where it is not known."""
    places: list[int] = []
    start = 0
    while len(samples) - start > longest:
        first = start + longest // 2
        last = min(start + longest, len(samples) - longest // 8)  # the rest shall hold something
        pause = None if speech is None else _longest_pause(speech, first, last)
        start = _quietest(samples, first, last) if pause is None else (pause[0] + pause[1]) // 2
        places.append(start)
    return places


def _speech(samples: NDArray[np.float32]) -> list[Span] | None:
    if vad.available():
        return vad.speech_spans(samples)
    logger.warning("silero-vad is not installed: a long clip is cut at its quietest places, not in pauses")
    return None


def _longest_pause(speech: Sequence[Span], first: int, last: int) -> Span | None:
    """The longest stretch between `first` and `last` in which nobody speaks, the later one of equals."""
    inside = [(max(a, first), min(b, last)) for a, b in speech if a < last and b > first]
    ends, starts = [first, *(b for _, b in inside)], [*(a for a, _ in inside), last]
    pauses = [(a, b) for a, b in zip(ends, starts, strict=True) if a < b]
    return max(pauses, key=lambda pause: (pause[1] - pause[0], pause[0]), default=None)


def _quietest(samples: NDArray[np.float32], first: int, last: int) -> int:
    """The middle of the tenth of a second with the least energy between two places."""
    width = min(_HUSH, last - first)
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples[first:last], dtype=np.float64))])
    return first + int(np.argmin(energy[width:] - energy[:-width])) + width // 2
