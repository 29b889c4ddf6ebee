"""Models in the annotate stage: the text before the measuring, classifiers behind it, in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from desta2.data.attributes import Scheme
from desta2.errors import AudioError
from desta2.records import Clip

_BATCH = 16  # clips that are held at a time
T = TypeVar("T")


class Models:
    """The models that a run asked for; without any, clips go through as they are and torch is not loaded.

    Args:
        scheme: its `classifiers` are loaded.
        whisper: hub id or folder of the Whisper that writes missing texts.
        samples_of: gives the audio of a clip, (samples,) at 16 kHz, or raises AudioError.

    Raises:
        CheckpointError, ConfigError: a model cannot be loaded, or does not fit the scheme.
    """

    def __init__(
        self, scheme: Scheme, whisper: str | None, samples_of: Callable[[Clip], NDArray[np.float32]]
    ) -> None:
        self._samples_of = samples_of
        self._classifiers = self._transcriber = None
        if scheme.classifiers:
            from desta2.data.classifiers import Classifiers

            self._classifiers = Classifiers(scheme)
        if whisper is not None:
            from desta2.data.transcripts import Transcriber

            self._transcriber = Transcriber(whisper)

    def write_texts(self, clips: Iterable[Clip]) -> Iterator[Clip]:
        """Write the texts of clips that have none and no segments; what cannot be opened stays as it is."""
        if self._transcriber is None:
            yield from clips
            return
        for batch in _batches(clips):
            mute = {}
            for place, clip in enumerate(batch):
                if clip.text is None and not clip.segments and (samples := self._opened(clip)) is not None:
                    mute[place] = samples
            written = self._transcriber.write([batch[place] for place in mute], list(mute.values()))
            texts = dict(zip(mute, written, strict=True))
            yield from (texts.get(place, clip) for place, clip in enumerate(batch))

    def classify(self, results: Iterable[Clip | T]) -> Generator[Clip | T, None, None]:
        """Name the attributes of measured clips; anything else that comes along passes through."""
        if self._classifiers is None:
            yield from results
            return
        for batch in _batches(results):
            clips = [result for result in batch if isinstance(result, Clip)]
            named = iter(self._classifiers.label(clips, self._samples_of))
            yield from (next(named) if isinstance(result, Clip) else result for result in batch)

    def _opened(self, clip: Clip) -> NDArray[np.float32] | None:
        try:
            return self._samples_of(clip)
        except AudioError:
            return None  # the measuring process will say so


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while batch := list(itertools.islice(source, _BATCH)):
        yield batch
