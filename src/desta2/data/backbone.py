"""The LLM that is to be trained, while another place answers for it.

Self-generation is worth its name only if the LLM that answers is the one that will be trained, asked with the
prompt that training builds (arXiv 2409.20007, section 3). In this process that is so; of a server one knows
what it says of itself. So its name is compared, and each prompt that it would make of our messages with the
one that training makes; both with the files of the LLM itself. Its weights need not be here, nor are loaded.
"""

from __future__ import annotations

import logging
from typing import Any

from desta2.data.backends import PromptStyle, Request
from desta2.errors import CheckpointError

log = logging.getLogger(__name__)
_COST = "Training on another LLM's answers costs the abilities that self-generation is there to keep"


class Backbone:
    """Tokenizer and fingerprint of the LLM that is to be trained.

    Args:
        llm: folder or hub id, or "nano" for the shipped one.

    Attributes:
        tokenizer: its own.
        fingerprint: of its weights; None where not all of them lie here.

    Raises:
        CheckpointError: its tokenizer cannot be loaded.
    """

    def __init__(self, llm: str) -> None:
        from transformers import AutoTokenizer

        from desta2.model import checkpoint
        from desta2.nano import base_id

        self.name = llm
        path = checkpoint.resolve_base(base_id("llm", llm), None)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot load the tokenizer of {llm}: {error}") from error
        self.fingerprint = checkpoint.fingerprint_at_hand(path)

    def prompt_ids(self, request: Request, style: PromptStyle) -> list[int]:
        """The prompt of training, with the seed in place of the clip."""
        from desta2.model.prompt import build_prompt

        return build_prompt(request.messages, self.tokenizer, style).input_ids

    def templated_ids(self, messages: list[dict[str, str]], style: PromptStyle) -> list[int]:
        """What a server's chat API makes of `messages` with the LLM's own template."""
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **(style.chat_template_kwargs or {})
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def same_name(one: str, other: str) -> bool:
    """Whether two names seem to mean the same LLM: the last part of a path or hub id counts."""
    return _last_part(one) == _last_part(other)


def _last_part(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()


def fingerprint_of_served(served: str, backbone: Backbone | None) -> str | None:
    """The fingerprint that pairs of a server may carry: the backbone's, if the server's name agrees.

    Warns where the two are not the same, or cannot be compared.
    """
    if backbone is None:
        log.warning(
            "the server says that it is %s; whether that is the LLM that will be trained, and whether it is "
            "asked with the prompt of training, is not checked: name the LLM with --backbone",
            served,
        )
        return None
    if not same_name(served, backbone.name):
        log.warning(
            "THE LLM THAT ANSWERS IS NOT THE ONE TO BE TRAINED, by name: the server says %s, --backbone says "
            "%s. Pairs will carry no fingerprint. " + _COST,
            served,
            backbone.name,
        )
        return None
    if backbone.fingerprint is None:
        log.warning("the weights of %s are not here: pairs will carry no fingerprint", backbone.name)
    return backbone.fingerprint


def warn_if_other(name: str, fingerprint: str | None, backbone: Backbone) -> None:
    """Warn where an LLM in this process is not the backbone."""
    if backbone.fingerprint is not None and fingerprint != backbone.fingerprint:
        log.warning(
            "THE LLM THAT ANSWERS IS NOT THE ONE TO BE TRAINED: %s and %s have different weights. " + _COST,
            name,
            backbone.name,
        )
