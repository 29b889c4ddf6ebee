"""One answer while it is being written: its ids, its text, and how its next token is drawn.

What `Desta2Model.chat` does by the LLM's `generate` is done here token by token, and comes to the same: the
processors of scores are those that `generate` itself makes of the generation config and the options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from desta2.model.bases import context, device_of
from desta2.model.chat import Question
from desta2.model.hearing import processor_of
from desta2.model.sampling import Sampling
from desta2.model.stopping import before_stop, end_ids, until_end
from desta2.model.streaming import Pieces
from desta2.serve.speaking import Delta, Finish

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

_BLIND = (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)
"""Processors that look at the scores alone, not at the ids before."""


class Row:
    """An answer.

    Args:
        model: With a processor.
        question: What is asked.
        sampling: How to answer.

    Attributes:
        question: What is asked.
        processors: Of the scores of the next token.
        draws: Whether tokens are drawn, rather than the best taken.
        rule: Equal for rows whose scores are processed alike, whatever their ids; None where ids count.
    """

    def __init__(self, model: Desta2Model, question: Question, sampling: Sampling) -> None:
        processor = processor_of(model)
        self.question = question
        self._decode, self._stops = processor.decode, sampling.stops
        self._ends = end_ids(model.llm, processor.tokenizer)
        self._pieces = Pieces(processor.tokenizer, processor.decode, sampling.stops)
        self._ids: list[int] = []
        self._prompt = _without_placeholders(question)
        self.processors, self.draws, longest = _prepared(model.llm, self._prompt, sampling)
        room = context(model.llm)
        self._longest = longest if room is None else min(longest, room - len(self._prompt))
        self._generator: torch.Generator | None = None
        if sampling.seed is not None:
            self._generator = torch.Generator(device_of(model.llm)).manual_seed(sampling.seed)
        blind = all(isinstance(own, _BLIND) for own in self.processors)
        self.rule = (sampling.do_sample, sampling.temperature, sampling.top_p) if blind else None

    def is_full(self) -> bool:
        """Whether the prompt leaves the LLM no room for an answer."""
        return self._longest < 1

    def processed(self, scores: Tensor) -> Tensor:
        """(1, vocabulary) of the LLM's → what the next token is chosen by."""
        ids: Any = torch.tensor([self._prompt + self._ids], device=scores.device)
        return self.processors(ids, scores)

    def draw(self, scores: Tensor) -> int:
        """A token by (vocabulary,) processed scores."""
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))

    def take(self, token: int) -> Delta:
        """Go on with a token."""
        self._ids.append(token)
        finish = self._finish(token)
        if finish is None:
            return Delta(self._pieces.push(token), 1)
        text = before_stop(self._decode(until_end(self._ids, self._ends)), self._stops)
        return Delta(self._pieces.rest(text), 1, finish)

    def _finish(self, token: int) -> Finish | None:
        if token in self._ends:
            return "stop"
        if self._stops and any(stop in self._decode(self._ids) for stop in self._stops):
            return "stop"
        return "length" if len(self._ids) >= self._longest else None


def _without_placeholders(question: Question) -> list[int]:
    """The last id at audio positions, as `Desta2Model.generate` has it: penalties look at all ids."""
    ids = list(question.input_ids)
    for start in question.slots:
        length = question.embeds[0].shape[1]
        ids[start : start + length] = ids[-1:] * length
    return ids


def _prepared(llm: Any, prompt: list[int], sampling: Sampling) -> tuple[LogitsProcessorList, bool, int]:
    """What `generate` makes of the options, by its own hook for other ways of decoding."""
    found: dict[str, Any] = {}

    def look(_: Any, ids: Tensor, **prepared: Any) -> Tensor:
        found.update(prepared)
        return ids

    llm.generate(
        torch.tensor([prompt], device=device_of(llm)),
        custom_generate=look,
        **sampling.for_llm(llm.generation_config),
    )
    config = found["generation_config"]
    return found["logits_processor"], bool(config.do_sample), int(config.max_new_tokens)
