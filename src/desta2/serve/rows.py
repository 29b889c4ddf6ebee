"""One answer while it is being written here: its ids, its text, and how its next token is drawn.

What `Desta2Model.chat` does by the LLM's `generate` is done here token by token, and comes to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from desta2.model.bases import device_of
from desta2.model.chat import Question
from desta2.model.hearing import processor_of
from desta2.model.sampling import Sampling
from desta2.serve.options import Options
from desta2.serve.speaking import Delta
from desta2.serve.writing import Writing

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


class Row:
    """An answer.

    Args:
        model: With a processor.
        question: What is asked.
        options: What comes of how to answer.
        sampling: How to answer.
        ends: Ids that end an answer.

    Attributes:
        question: What is asked.
        rule: How its tokens are chosen.
    """

    def __init__(
        self,
        model: Desta2Model,
        question: Question,
        options: Options,
        sampling: Sampling,
        ends: Sequence[int],
    ) -> None:
        self.question, self.rule = question, options.rule
        self._prompt = options.prompt
        self._writing = Writing(processor_of(model), ends, sampling.stops, options.longest)
        self._generator: torch.Generator | None = None
        if sampling.seed is not None:
            self._generator = torch.Generator(device_of(model.llm)).manual_seed(sampling.seed)

    def processed(self, scores: Tensor) -> Tensor:
        """(rows, vocabulary) of the LLM's, of rows with this rule → what the next tokens are chosen by."""
        ids: Any = torch.tensor([self._prompt + self._writing.ids], device=scores.device)
        return self.rule.processors(ids, scores)

    def draw(self, scores: Tensor) -> int:
        """A token by (vocabulary,) processed scores."""
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))

    def take(self, token: int) -> Delta:
        """Go on with a token."""
        return self._writing.take(token)
