"""Where an answer ends: at an end token, or before a text that the user names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

from desta2.model.templates import end_of_turn_id


def end_ids(llm: Any, tokenizer: Any) -> list[int]:
    """Ids that end an answer: those of the LLM's generation config, and the end of turn of its chat template.

    Many published LLMs list only their end of text, and would answer their own answers without the latter.

    Args:
        llm: A causal LM of transformers.
        tokenizer: Its tokenizer, with a chat template.

    Raises:
        InputError: The tokenizer has no chat template, or no token that ends a turn.
    """
    own = llm.generation_config.eos_token_id
    listed = [] if own is None else list(own) if isinstance(own, list) else [own]
    turn = end_of_turn_id(tokenizer)
    return listed if turn in listed else [*listed, turn]


def until_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Ids up to the end token, itself included: what follows pads a row that ended before its neighbours."""
    length = next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))
    return list(ids[:length])


def before_stop(text: str, stops: Sequence[str]) -> str:
    """`text` up to where the first of `stops` begins; all of it without one."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


class StopTexts(StoppingCriteria):
    """Ends a row whose new text holds one of some texts, wherever tokens part it.

    The new text is decoded anew after each token. That costs some 0.1 ms a row for answers of usual length,
    and finds texts that begin or end within a token, which ids cannot show.

    Args:
        stops: The texts.
        decode: Token ids → text.
        n_prompt: Tokens before the answers.

    Attributes:
        lengths: row → number of new tokens with which it ended.
    """

    def __init__(self, stops: Sequence[str], decode: Callable[[list[int]], str], n_prompt: int) -> None:
        self.lengths: dict[int, int] = {}
        self._stops, self._decode, self._n_prompt = stops, decode, n_prompt

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """(batch,) bool: the rows that are done."""
        for row, ids in enumerate(input_ids[:, self._n_prompt :].tolist()):
            text = "" if row in self.lengths else self._decode(ids)
            if any(stop in text for stop in self._stops):
                self.lengths[row] = len(ids)
        done = [row in self.lengths for row in range(len(input_ids))]
        return torch.tensor(done, device=input_ids.device)
