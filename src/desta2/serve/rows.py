"""One answer while it is being written here: its ids, its text, and how its next token is drawn.

What `Desta2Model.chat` does by the LLM's `generate` is done here token by token, and comes to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from desta2.model.bases import device_of
from desta2.model.chat import Question
from desta2.model.hearing import processor_of
from desta2.model.sampling import Sampling
from desta2.serve.options import options_of
from desta2.serve.speaking import Delta
from desta2.serve.writing import Writing

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
        ends: Ids that end an answer.

    Attributes:
        question: What is asked.
        processors: Of the scores of the next token.
        draws: Whether tokens are drawn, rather than the best taken.
        rule: Equal for rows whose scores are processed alike, whatever their ids; None where ids count.

    Raises:
        InputError: The prompt leaves the LLM no room for an answer.
    """

    def __init__(
        self, model: Desta2Model, question: Question, sampling: Sampling, ends: Sequence[int]
    ) -> None:
        options = options_of(model.llm, question, sampling)
        self.question = question
        self.processors, self.draws = options.processors, options.draws
        self._prompt = options.prompt
        self._writing = Writing(processor_of(model), ends, sampling.stops, options.longest)
        self._generator: torch.Generator | None = None
        if sampling.seed is not None:
            self._generator = torch.Generator(device_of(model.llm)).manual_seed(sampling.seed)
        blind = all(isinstance(own, _BLIND) for own in self.processors)
        self.rule = (sampling.do_sample, sampling.temperature, sampling.top_p) if blind else None

    def processed(self, scores: Tensor) -> Tensor:
        """(1, vocabulary) of the LLM's → what the next token is chosen by."""
        ids: Any = torch.tensor([self._prompt + self._writing.ids], device=scores.device)
        return self.processors(ids, scores)

    def draw(self, scores: Tensor) -> int:
        """A token by (vocabulary,) processed scores."""
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))

    def take(self, token: int) -> Delta:
        """Go on with a token."""
        return self._writing.take(token)
