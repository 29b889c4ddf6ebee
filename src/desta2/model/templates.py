"""The LLM's own chat template: rendering it, and what it does with a system turn and at the end of a turn.

A template is a program that may do anything, so what it does is found by rendering small conversations, never
by the name of the LLM. That costs some 0.1 ms for a prompt with a system turn. No torch here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from desta2.errors import InputError

OTHER_LAYOUT = "many templates have no such role; layout 'desta2.5' puts clips into the user's turn"

_MARK = "\ue000mark\ue001"
_NO_VARIABLES: dict[str, Any] = {}


def render(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    *,
    for_answer: bool = True,
    variables: Mapping[str, Any] = _NO_VARIABLES,
) -> str:
    """The template's text of some turns.

    Args:
        tokenizer: of the LLM.
        messages: `role` and `content` of each turn.
        for_answer: whether an assistant's turn is begun at the end.
        variables: of the template, such as `enable_thinking`.

    Raises:
        InputError: the tokenizer has no chat template, or it refuses the turns.
    """
    if not tokenizer.chat_template:
        raise InputError("the LLM's tokenizer has no chat template; use an instruction-tuned LLM")
    from jinja2 import TemplateError  # comes with every tokenizer that can render one

    options = {**variables, "tokenize": False, "add_generation_prompt": for_answer}
    try:
        return str(tokenizer.apply_chat_template(messages, **options))
    except TemplateError as error:
        roles = [message["role"] for message in messages]
        advice = f" ({OTHER_LAYOUT})" if "audio" in roles else ""
        raise InputError(
            f"the LLM's chat template refuses the turns ({', '.join(roles)}): {error}{advice}"
        ) from error


def fate_of_system_turn(
    tokenizer: Any, variables: Mapping[str, Any] = _NO_VARIABLES
) -> Literal["written", "left out", "refused"]:
    """What the template does with a system turn before a user's; "written" also if it refuses the user's."""
    turns = [{"role": "system", "content": _MARK}, {"role": "user", "content": "-"}]
    try:
        return "written" if _MARK in render(tokenizer, turns, variables=variables) else "left out"
    except InputError:
        return "refused" if _takes(tokenizer, turns[1:], variables) else "written"


def _takes(tokenizer: Any, turns: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> bool:
    try:
        render(tokenizer, turns, variables=variables)
    except InputError:
        return False
    return True


def end_of_turn_id(tokenizer: Any) -> int:
    """The first special token that the template writes after an assistant's text, else the end token.

    Raises:
        InputError: the tokenizer has no chat template, or no token that ends a turn.
    """
    turns = [{"role": "user", "content": "-"}, {"role": "assistant", "content": _MARK}]
    _, found, tail = render(tokenizer, turns, for_answer=False).rpartition(_MARK)
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    for index in tokenizer(tail, add_special_tokens=False)["input_ids"] if found and tail else []:
        if index in special:
            return int(index)
    if tokenizer.eos_token_id is None:
        raise InputError("neither the LLM's chat template nor its tokenizer has a token that ends an answer")
    return int(tokenizer.eos_token_id)
