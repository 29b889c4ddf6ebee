"""How an answer is asked for: the options that `chat` and `stream` share, checked, and seeded drawing.

What is not given is left to the LLM's own generation config, so that text-only conversations are answered as
the LLM alone would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

import torch

from desta2.errors import InputError

DEFAULT_MAX_NEW_TOKENS = 256


class ChatOptions(TypedDict, total=False):
    """Options of `Desta2Model.chat` and `.stream`; see there."""

    max_new_tokens: int | None
    do_sample: bool | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    transcripts: Sequence[Any] | None
    language: str | None
    use_audio: bool


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn, checked.

    Attributes:
        max_new_tokens: Longest answer; None: the LLM's generation config, or `DEFAULT_MAX_NEW_TOKENS`.
        do_sample, temperature, top_p: None: the LLM's generation config.
        seed: Makes drawing reproducible.
        stop: Texts before which an answer ends.

    Raises:
        InputError: A value is impossible, or has no effect.
    """

    max_new_tokens: int | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")
        given = [name for name in ("temperature", "top_p") if getattr(self, name) is not None]
        if self.do_sample is False and given:
            raise InputError(f"do_sample is False, so {' and '.join(given)} has no effect; leave it out")
        if self.temperature is not None and not self.temperature > 0:  # so written, NaN is refused too
            raise InputError(
                f"temperature is {self.temperature}; it must be above 0 (do_sample=False is greedy)"
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        given_stops = isinstance(self.stop, str | Sequence | None)
        if not given_stops or not all(isinstance(text, str) and text for text in self.stops):
            raise InputError(
                f"stop is {self.stop!r}; it must be a text or a list of texts, none of them empty"
            )

    @property
    def stops(self) -> tuple[str, ...]:
        """`stop` as a tuple."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def for_llm(self, generation_config: Any) -> dict[str, Any]:
        """Options for the LLM's `generate`."""
        longest = self.max_new_tokens or generation_config.max_new_tokens or DEFAULT_MAX_NEW_TOKENS
        # Without max_length=None transformers would warn that a generation config has one besides.
        options: dict[str, Any] = {"max_new_tokens": longest, "max_length": None}
        if self.do_sample is False:
            # Undo the generation config's own values, about which transformers would warn.
            return {**options, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        given = {"do_sample": self.do_sample, "temperature": self.temperature, "top_p": self.top_p}
        return {**options, **{name: value for name, value in given.items() if value is not None}}


class Seeded:
    """Inside the block torch draws from `seed`; outside, and where it is paused, as if nothing had happened.

    Args:
        seed: None changes nothing at all.
        device: Where the LLM draws.
    """

    def __init__(self, seed: int | None, device: torch.device) -> None:
        self._seed = seed
        self._cuda = device.type == "cuda"
        self._outside: Any = None

    def __enter__(self) -> Seeded:
        if self._seed is not None:
            self._outside = self._states()
            torch.manual_seed(self._seed)
        return self

    def __exit__(self, *_: object) -> None:
        if self._seed is not None:
            self._restore(self._outside)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Outside for a moment, and then inside again where it was left."""
        if self._seed is None:
            yield
            return
        inside = self._states()
        self._restore(self._outside)
        try:
            yield
        finally:
            self._outside = self._states()
            self._restore(inside)

    def _states(self) -> Any:
        return torch.get_rng_state(), torch.cuda.get_rng_state_all() if self._cuda else []

    def _restore(self, states: Any) -> None:
        torch.set_rng_state(states[0])
        torch.cuda.set_rng_state_all(states[1])
