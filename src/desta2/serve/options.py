"""How an answer is to be written: what `Desta2Model.chat` leaves to the LLM's `generate`, spelt out.

The processors of scores are those that `generate` itself makes of the generation config and the options.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from desta2.errors import InputError
from desta2.model.bases import context, device_of
from desta2.model.chat import Question
from desta2.model.sampling import Sampling

_BLIND = (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)
"""Processors that look at the scores alone, not at the ids before."""

_KEPT = 256  # rules; clients choose them, so there is no end of them


@dataclass(frozen=True)
class Rule:
    """How tokens are chosen.

    Attributes:
        processors: Of the scores of the next token.
        draws: Whether tokens are drawn, rather than the best taken.
        blind: Whether the ids before do not count.
    """

    processors: LogitsProcessorList
    draws: bool
    blind: bool


@dataclass(frozen=True)
class Options:
    """What `generate` makes of a question and of how it is to be answered.

    Attributes:
        prompt: Ids of the question, the last one at audio positions, as `Desta2Model.generate` has it:
            penalties look at all ids.
        rule: How tokens are chosen. Questions that are answered alike have the same object, if it is blind.
        longest: Tokens of the answer at most; the LLM has room for them.
    """

    prompt: list[int]
    rule: Rule
    longest: int


class OptionsFinder:
    """Finds the options of answers.

    Asking `generate` takes a millisecond, so a blind rule is found once.

    Args:
        llm: A causal LM of transformers; its weights are not looked at.
        room: Tokens of prompt and answer together, where that is less than the LLM's own.
    """

    def __init__(self, llm: Any, room: int | None = None) -> None:
        self._llm = llm
        self._room = min((most for most in (room, context(llm)) if most is not None), default=None)
        self._known = lru_cache(_KEPT)(lambda sampling: self._rule([0], sampling))

    def find(self, question: Question, sampling: Sampling) -> Options:
        """The options of an answer.

        Raises:
            InputError: The prompt leaves no room for an answer.
        """
        prompt = _without_placeholders(question)
        rule = self._known(replace(sampling, max_new_tokens=None, seed=None, stop=None))
        if not rule.blind:
            rule = self._rule(prompt, sampling)
        longest: int = sampling.for_llm(self._llm.generation_config)["max_new_tokens"]
        if self._room is not None:
            longest = min(longest, self._room - len(prompt))
        if longest < 1:
            raise InputError(
                f"the conversation takes {len(prompt)} tokens, which leaves this LLM no room for an answer; "
                "leave out turns or clips"
            )
        return Options(prompt, rule, longest)

    def _rule(self, prompt: Sequence[int], sampling: Sampling) -> Rule:
        found: dict[str, Any] = {}

        def look(_: Any, ids: Tensor, **prepared: Any) -> Tensor:
            found.update(prepared)
            return ids

        # generate's own hook for other ways of decoding
        self._llm.generate(
            torch.tensor([prompt], device=device_of(self._llm)),
            custom_generate=look,
            **sampling.for_llm(self._llm.generation_config),
        )
        processors = found["logits_processor"]
        blind = all(isinstance(one, _BLIND) for one in processors)
        return Rule(processors, bool(found["generation_config"].do_sample), blind)


def _without_placeholders(question: Question) -> list[int]:
    ids = list(question.input_ids)
    for start in question.slots:
        length = question.embeds[0].shape[1]
        ids[start : start + length] = ids[-1:] * length
    return ids
