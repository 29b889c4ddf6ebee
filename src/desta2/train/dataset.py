"""Pairs → token ids and labels.

Prompts are built by the function that chat uses; the response follows with the token that ends a turn. The
two are tokenised apart, as they are when the LLM answers: its answer begins after a finished prompt, whatever
tokens might have spanned the border in one text. Labels stand on the response and that token alone.
Responses are never cut.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from desta2.errors import AudioError, InputError, RecordError
from desta2.records import Clip, Pair, resolve_audio

if TYPE_CHECKING:
    from desta2.model.processing import Desta2Processor
    from desta2.train.disturb import Disturbance
    from desta2.train.ears import Ears
    from desta2.train.pairset import PairList
    from desta2.train.skips import Skips

IGNORED = -100
_TOKENS_KEPT = 16_000_000  # by each process: 64 MB, some 60,000 pairs


@dataclass(frozen=True)
class ClipRef:
    """Where a clip is: a path, cut from `start` to `end` seconds where they are given."""

    path: str
    start: float | None = None
    end: float | None = None


ClippedPair = tuple[Pair, list[tuple[ClipRef, str | None]]]
"""A pair, and its clips in order, each with its transcript if the pair gives one."""


@dataclass(frozen=True)
class Example:
    """One training example.

    Attributes:
        id: of the pair.
        input_ids: prompt, then response.
        labels: as long as `input_ids`; −100 on the prompt.
        slots: first position of each window of each clip.
        clips: the clips, in order.
        frames: of each window, the encoder frames that hold the clip; the rest is padding. Empty where nobody
            asks.
        unheard: the clips whose taps are still to be made for the cache.
    """

    id: str
    input_ids: list[int]
    labels: list[int]
    slots: list[int]
    clips: list[ClipRef]
    frames: list[int] = field(default_factory=list)
    unheard: list[Unheard] = field(default_factory=list)


@dataclass(frozen=True)
class Unheard:
    """A clip that the encoder is still to hear.

    Attributes:
        first: number of its first window among those of the example (of the batch, once collated).
        frames: of each of its windows, the encoder frames that hold the clip.
        key, stamp: what its taps are kept under.
    """

    first: int
    frames: list[int]
    key: str
    stamp: str


def pair_clips(
    pair: Pair, folder: Path, audio_root: Path | None, *, published: bool = False, there: bool = True
) -> list[tuple[ClipRef, str | None]]:
    """The clips of a pair in order, each with its transcript if the pair gives one.

    Relative paths are taken from `audio_root` if the file is there, else from `folder`, that of the pairs.
    A published set's path may also be that of a .wav of the same name, as in its authors' loader. Unless
    they are to be `there`, nobody looks for files.

    Raises:
        RecordError: there is no clip, or an entry of `audios` is no clip.
        AudioError: the file of a clip is not there.
    """
    found = []
    for message in pair.messages:
        for entry in message.get("audios") or []:
            clip = _clip(entry, pair.id)
            path = str(_resolved(clip, folder, audio_root, published) if there else folder / clip.audio)
            found.append((ClipRef(path, clip.start, clip.end), entry.get("text")))
    if not found:
        raise RecordError(f"pair {pair.id!r} has no clip: 'audios' is missing or empty in every message")
    return found


def _resolved(clip: Clip, folder: Path, audio_root: Path | None, published: bool) -> str | Path:
    try:
        return resolve_audio(clip, folder, audio_root)
    except AudioError:
        wav = Path(clip.audio).with_suffix(".wav").as_posix()
        if not published or wav == clip.audio:
            raise
        try:
            return resolve_audio(clip.model_copy(update={"audio": wav}), folder, audio_root)
        except AudioError:
            pass
        raise


def _clip(entry: Any, pair_id: str) -> Clip:
    """An entry of `audios` as a clip, its values checked; it takes the id of the pair, for messages."""
    try:
        given = {key: entry.get(key) for key in ("audio", "start", "end")}
        return Clip.model_validate({"id": pair_id, **given})
    except (AttributeError, ValidationError):
        raise RecordError(
            f"pair {pair_id!r}: 'audios' must hold objects with a path as 'audio', and 'start' and 'end' in "
            f"seconds for a part of it, got {entry!r}"
        ) from None


def make_example(
    pair: Pair,
    clips: Sequence[ClipRef],
    transcripts: Sequence[str | Sequence[str]],
    processor: Desta2Processor,
) -> Example:
    """Tokenise one pair.

    Args:
        pair: its messages are read in any form, its response is learned.
        clips: of the pair, in order.
        transcripts: of each clip; a list, one per window, for a clip that is heard in several.
        processor: of the model that is trained.
    """
    from desta2.model.prompt import response_ids

    prompt = processor.prompt(pair.messages, transcripts)
    response = response_ids(pair.response, processor.tokenizer)
    return Example(
        id=pair.id,
        input_ids=prompt.input_ids + response,
        labels=[IGNORED] * len(prompt.input_ids) + response,
        slots=[start for start, _ in prompt.audio_slots],
        clips=list(clips),
    )


class _Tokens:
    """Tokens of pairs that do not change, to spare some milliseconds at their next visit; those that fit."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[array[int], int, list[int]]] = {}  # ids, length of the prompt, slots
        self._room = _TOKENS_KEPT

    def get(self, number: int, pair: Pair, clips: list[ClipRef]) -> Example | None:
        if number not in self._kept:
            return None
        ids, start, slots = self._kept[number]
        return Example(pair.id, ids.tolist(), [IGNORED] * start + ids[start:].tolist(), slots, clips)

    def put(self, number: int, example: Example) -> None:
        if len(example.input_ids) <= self._room:
            self._room -= len(example.input_ids)
            start = example.labels.count(IGNORED)
            self._kept[number] = array("i", example.input_ids), start, example.slots


class PairDataset:
    """Pairs as examples with what the model hears, for torch's DataLoader.

    A number asks for pair `number % len(self)`, at visit `number // len(self)`: what is drawn at random for a
    pair differs from visit to visit, and is the same again in a run that is resumed.

    Args:
        pairs: with their clips.
        ears: hears a clip.
        processor: of the model.
        disturb: changes transcripts; None leaves them.
        skips: notes a pair whose audio is broken, and the next one stands in for it; without it, that raises.
        longest: tokens that the LLM reads at most, where it says so.
    """

    def __init__(
        self,
        pairs: PairList,
        ears: Ears,
        processor: Desta2Processor,
        *,
        disturb: Disturbance | None = None,
        skips: Skips | None = None,
        longest: int | None = None,
    ) -> None:
        self.pairs = pairs
        self._ears = ears
        self._processor = processor
        self._disturb = disturb
        self._skips = skips
        self._longest = longest
        self._tokens = _Tokens()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Example, list[Any]]:
        """An example, and of each window its taps (n_taps, T, d_encoder) or features (n_mels, frames).

        Raises:
            AudioError: a clip cannot be read.
            InputError: the pair is longer than the LLM's context.
        """
        visit, first = divmod(number, len(self))
        for step in range(len(self)):
            try:
                return self._row((first + step) % len(self), visit)
            except AudioError as error:
                if self._skips is None:
                    raise
                self._skips.note(self.pairs.name(first + step), error)
        raise AudioError(f"the audio of none of {len(self)} pairs can be read; is data.audio_root right?")

    def _row(self, number: int, visit: int) -> tuple[Example, list[Any]]:
        pair, clips = self.pairs[number]
        heard = [self._ears(clip, text) for clip, text in clips]
        example = self._example(
            number, visit, pair, [clip for clip, _ in clips], [own.texts for own in heard]
        )
        unheard, frames = [], [length for own in heard for length in own.frames]
        first = 0
        for own in heard:
            if own.key is not None and own.stamp is not None:
                unheard.append(Unheard(first, own.frames, own.key, own.stamp))
            first += len(own.windows)
        told = replace(example, frames=frames if self._ears.tells_frames else [], unheard=unheard)
        return told, [window for own in heard for window in own.windows]

    def _example(
        self, number: int, visit: int, pair: Pair, clips: list[ClipRef], texts: Sequence[Sequence[str]]
    ) -> Example:
        if self._disturb is None:
            if (kept := self._tokens.get(number, pair, clips)) is not None:
                return kept
        else:
            texts = self._disturb(texts, pair.response, number, visit)
        example = make_example(pair, clips, texts, self._processor)
        if self._longest is not None and len(example.input_ids) > self._longest:
            raise InputError(
                f"pair {pair.id!r} takes {len(example.input_ids)} tokens, but this LLM reads at most "
                f"{self._longest}; give data.max_tokens={self._longest} to leave such pairs out, whole"
            )
        if self._disturb is None:
            self._tokens.put(number, example)
        return example
