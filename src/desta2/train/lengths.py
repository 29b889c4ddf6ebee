"""How many pairs a run has and how long they are, from the pairs themselves.

All of them go through the pass that training begins with, so what it leaves out or holds out is left out and
held out here. Some thousands, evenly spaced, are also tokenised. The price is that mean and maximum are those
of a sample where there are more, and that what is left out for its length is then an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from desta2.data.headers import header_seconds
from desta2.errors import AudioError, ConfigError
from desta2.model.configuration import Desta2Config
from desta2.model.hearing import spread
from desta2.model.prompt import build_prompt, response_ids
from desta2.records import Pair
from desta2.train.config import TrainConfig
from desta2.train.dataset import ClipRef
from desta2.train.order import Order
from desta2.train.pairset import Found, find_pairs

SAMPLE = 2000
# Without a tokenizer: English text with the vocabularies of today's LLMs, and what a template adds to a pair.
_CHARACTERS_PER_TOKEN = 4
_TEMPLATE_TOKENS = 40
FRAMES_PER_SECOND = 50
"""Of every Whisper's encoder."""


@dataclass(frozen=True)
class Lengths:
    """What is known of the pairs of a run.

    Attributes:
        pairs, held_out: to train on, and to judge by.
        visits: of pairs in an epoch: `pairs`, but where sets have weights.
        sampled: pairs looked into.
        clips: different ones; of those to judge by, as many a pair as of the others.
        missing: pairs whose audio is not here, where that would end the run; they count all the same.
        left_out: pairs that are not, as the audio is missing, the split goes through them, or they are longer
            than `data.max_tokens`.
        tokens_mean: positions of a visit: prompt, audio positions, transcript, response.
        tokens_longest, labels_longest, windows_most: of a pair: positions, those of the response, and windows
            of audio.
        frames_mean, frames_most: that the adapter sees, of a clip and of a window: all of a window, or those
            of the clip (`model.encoder_frames`); None where no length is known.
        counted_in: "tokens", or "characters" where the LLM's tokenizer is not at hand.
        without_transcript: clips of the sample whose words Whisper will have to write; none are counted.
    """

    pairs: int
    held_out: int
    visits: int
    sampled: int
    clips: int
    missing: int
    left_out: int
    tokens_mean: float
    tokens_longest: int
    labels_longest: int
    windows_most: int
    frames_mean: float | None
    frames_most: int | None
    counted_in: Literal["tokens", "characters"]
    without_transcript: int


def measure(config: TrainConfig, tokenizer: Any | None, model: Desta2Config, window_frames: int) -> Lengths:
    """Go through the pairs of a run.

    Args:
        config: the run, all of whose sets are there.
        tokenizer: of the LLM, or None to estimate from characters.
        model: the model's configuration.
        window_frames: that the encoder makes of a window of audio.

    Raises:
        ConfigError: there is no pair to train on, or none that fits.
        InputError: a line is no pair.
    """
    survey = _Survey(tokenizer, model, window_frames)
    found = find_pairs(config.data, None, survey)
    kept = _that_fit(survey.sample, config.data.max_tokens)
    pairs, visits = _counts(found, survey, kept, config.run.seed)
    weights = [found.train.weights[found.train.sets[own.number]] for own in kept]
    held_out = 0 if found.validation is None else len(found.validation)
    frames = [count for own in kept for count in own.frames]
    return Lengths(
        pairs=pairs,
        held_out=held_out,
        visits=visits,
        sampled=len(survey.sample),
        clips=round(found.n_clips * (1 + held_out / len(found.train))),
        missing=found.missing,
        left_out=found.left_out.total() + len(found.train) - pairs,
        tokens_mean=sum(w * own.tokens for w, own in zip(weights, kept, strict=True)) / sum(weights),
        tokens_longest=max(own.tokens for own in kept),
        labels_longest=max(own.labels for own in kept),
        windows_most=max(own.windows for own in kept),
        frames_mean=sum(frames) / len(frames) if frames else None,
        frames_most=min(max(frames), window_frames) if frames else None,
        counted_in="characters" if tokenizer is None else "tokens",
        without_transcript=sum(own.untold for own in kept),
    )


def _that_fit(sample: Sequence[_Looked], limit: int | None) -> list[_Looked]:
    kept = [own for own in sample if limit is None or own.tokens <= limit]
    if not kept:
        shortest = min(own.tokens for own in sample)
        raise ConfigError(
            f"all {len(sample)} pairs that were measured are longer than data.max_tokens={limit}; the "
            f"shortest has {shortest}"
        )
    return kept


def _counts(found: Found, survey: _Survey, kept: Sequence[_Looked], seed: int) -> tuple[int, int]:
    """Pairs that are left to train on, and their visits in an epoch."""
    train, share = found.train, len(kept) / len(survey.sample)
    if survey.stride == 1:  # all were measured
        train, share = train.without(set(range(len(train))) - {own.number for own in kept}), 1.0
    return round(share * len(train)), round(share * len(Order(train.sets, train.weights, seed)))


@dataclass(frozen=True)
class _Looked:
    """A pair of the sample, by its number among those to train on."""

    number: int
    tokens: int
    labels: int
    windows: int
    frames: list[int]
    untold: int


class _Survey:
    """Looks into every `stride`-th pair that comes; that grows, so that the sample does not."""

    def __init__(self, tokenizer: Any | None, model: Desta2Config, window_frames: int) -> None:
        self.sample: list[_Looked] = []
        self.stride = 1
        self._seen = 0
        self._tokenizer = tokenizer
        self._model = model
        self._window_frames = window_frames

    def __call__(self, pair: Pair, clips: Sequence[tuple[ClipRef, str | None]]) -> None:
        if self._seen % self.stride == 0:
            self.sample.append(self._looked(pair, clips))
        self._seen += 1
        if len(self.sample) > 2 * SAMPLE:
            self.sample = self.sample[::2]
            self.stride *= 2

    def _looked(self, pair: Pair, clips: Sequence[tuple[ClipRef, str | None]]) -> _Looked:
        lengths = [_frames(clip) for clip, _ in clips]
        windows = [math.ceil((length or 1) / self._window_frames) for length in lengths]
        seen = lengths
        if self._model.encoder_frames == "all":
            seen = [own and n * self._window_frames for n, own in zip(windows, lengths, strict=True)]
        texts = [spread(text or "", n) for (_, text), n in zip(clips, windows, strict=True)]
        prompt, response = self._tokens(pair, texts)
        return _Looked(
            number=self._seen,
            tokens=prompt + response,
            labels=response,
            windows=sum(windows),
            frames=[own for own in seen if own],
            untold=sum(text is None for _, text in clips),
        )

    def _tokens(self, pair: Pair, texts: Sequence[Sequence[str]]) -> tuple[int, int]:
        """Positions of prompt and response."""
        if self._tokenizer is not None:
            prompt = build_prompt(pair.messages, self._tokenizer, self._model, texts).input_ids
            return len(prompt), len(response_ids(pair.response, self._tokenizer))
        said = [str(message.get("content", "")) for message in pair.messages]
        words = [word for own in texts for word in own]
        characters = sum(map(len, [*said, *words, self._model.system_prompt or ""]))
        prompt_length = characters // _CHARACTERS_PER_TOKEN + _TEMPLATE_TOKENS
        return (
            prompt_length + self._model.n_queries * len(words),
            len(pair.response) // _CHARACTERS_PER_TOKEN + 1,
        )


def _frames(clip: ClipRef) -> int | None:
    """Encoder frames of a clip without padding; None where its length cannot be told without decoding."""
    end = clip.end
    if end is None:
        try:
            end = header_seconds(clip.path)
        except AudioError:
            return None
    return None if end is None else max(1, math.ceil((end - (clip.start or 0.0)) * FRAMES_PER_SECOND))
