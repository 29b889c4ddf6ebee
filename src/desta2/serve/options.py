"""How an answer is to be written: what `Desta2Model.chat` leaves to the LLM's `generate`, spelt out.

The processors of scores are those that `generate` itself makes of the generation config and the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from desta2.errors import InputError
from desta2.model.bases import context, device_of
from desta2.model.chat import Question
from desta2.model.sampling import Sampling


@dataclass(frozen=True)
class Options:
    """What `generate` makes of a question and of how it is to be answered.

    Attributes:
        prompt: Ids of the question, the last one at audio positions, as `Desta2Model.generate` has it:
            penalties look at all ids.
        processors: Of the scores of the next token.
        draws: Whether tokens are drawn, rather than the best taken.
        longest: Tokens of the answer at most; the LLM has room for them.
    """

    prompt: list[int]
    processors: LogitsProcessorList
    draws: bool
    longest: int


def options_of(llm: Any, question: Question, sampling: Sampling, room: int | None = None) -> Options:
    """The options of an answer.

    Args:
        llm: A causal LM of transformers; its weights are not looked at.
        question: What is asked.
        sampling: How to answer.
        room: Tokens of prompt and answer together, where that is less than the LLM's own.

    Raises:
        InputError: The prompt leaves no room for an answer.
    """
    prompt = _without_placeholders(question)
    found: dict[str, Any] = {}

    def look(_: Any, ids: Tensor, **prepared: Any) -> Tensor:
        found.update(prepared)
        return ids

    # generate's own hook for other ways of decoding
    llm.generate(
        torch.tensor([prompt], device=device_of(llm)),
        custom_generate=look,
        **sampling.for_llm(llm.generation_config),
    )
    config = found["generation_config"]
    rooms = [most - len(prompt) for most in (room, context(llm)) if most is not None]
    longest = min([int(config.max_new_tokens), *rooms])
    if longest < 1:
        raise InputError(
            f"the conversation takes {len(prompt)} tokens, which leaves this LLM no room for an answer; "
            "leave out turns or clips"
        )
    return Options(prompt, found["logits_processor"], bool(config.do_sample), longest)


def _without_placeholders(question: Question) -> list[int]:
    ids = list(question.input_ids)
    for start in question.slots:
        length = question.embeds[0].shape[1]
        ids[start : start + length] = ids[-1:] * length
    return ids
