"""Without audio, the model says what its LLM says alone: the same tokens, not merely similar ones.

A frozen LLM cannot forget, but what stands around it can go wrong: another system prompt, another template,
another end token, weights that LoRA or a loader changed. So the LLM is loaded anew by transformers alone, and
both answer the same texts greedily. The trade-off: equality of some texts proves nothing about all others,
but one difference proves that something changed; and two LLMs have to fit into memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypedDict

from desta2.errors import InputError

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

MAX_NEW_TOKENS = 64
FORMS = ("text", "parts")
"""How the user's texts are given to the model: as strings, and as lists of content parts."""
Messages = Sequence[Mapping[str, str]]


class Divergence(TypedDict):
    """One answer that differs: where, from the first token on 0, and both answers' ids."""

    id: str
    form: str
    at: int
    model: list[int]
    llm: list[int]


class Equality(TypedDict):
    """Of `n` answers (each text in each form) `equal` have the LLM's own token ids.

    `prompts_hash` is the SHA-256 of the texts, `answers_hash` that of the LLM's ids: two runs that agree in
    both saw the same texts and the same LLM. `refused` are the texts that the LLM's chat template does not
    take, such as those with a system turn; they are not counted.
    """

    equal: int
    n: int
    prompts_hash: str
    answers_hash: str
    max_new_tokens: int
    differing: list[Divergence]
    refused: list[str]


@cache
def shipped_prompts() -> dict[str, Messages]:
    """The texts that come with the package, by id: questions, formats, languages, code, turns, systems."""
    lines = files(__package__).joinpath("prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row["messages"] for row in map(json.loads, lines)}


def check_equality(
    model: Desta2Model,
    prompts: Mapping[str, Messages] | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> Equality:
    """Compare a model's answers to texts with those of its LLM, token for token.

    Args:
        model: with a processor, not in its fast mode.
        prompts: conversations without audio, contents as strings, by id; None for ours. Texts that spell
            special tokens are out of place: the model takes those letter by letter, other software does not.
        max_new_tokens: longest answer.

    Raises:
        CheckpointError: the LLM cannot be loaded anew.
        InputError: the model's weights are rounded, or the LLM's template takes none of the texts.
    """
    from desta2.model.fast import is_quantised

    if is_quantised(model.llm):
        raise InputError("the model's LLM is rounded to 8 bits (fast): its own answers are those without it")
    prompts = shipped_prompts() if prompts is None else prompts
    own = _answers_of_llm(model, prompts, max_new_tokens)
    if not own:
        raise InputError("the LLM's chat template takes none of the texts")
    differing = [
        Divergence(id=key, form=form, at=_first_difference(said, own[key]), model=said, llm=own[key])
        for key in own
        for form in FORMS
        if (said := _answer(model, prompts[key], form, max_new_tokens)) != own[key]
    ]
    n = len(own) * len(FORMS)
    return {
        "equal": n - len(differing),
        "n": n,
        "prompts_hash": _digest(prompts),
        "answers_hash": _digest(own),
        "max_new_tokens": max_new_tokens,
        "differing": differing,
        "refused": [key for key in prompts if key not in own],
    }


def _answer(model: Desta2Model, messages: Messages, form: str, max_new_tokens: int) -> list[int]:
    given: list[dict[str, Any]] = [
        {**turn, "content": [{"type": "text", "text": turn["content"]}]} if form == "parts" else dict(turn)
        for turn in messages
    ]
    return model.chat(given, max_new_tokens=max_new_tokens, do_sample=False).token_ids


def _answers_of_llm(
    model: Desta2Model, prompts: Mapping[str, Messages], max_new_tokens: int
) -> dict[str, list[int]]:
    """Greedy answers of the LLM as transformers loads and runs it, by id; none where its template refuses.

    It ends where the model does: many LLMs list no end of turn among their end tokens.
    """
    import torch
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    from desta2.model.bases import device_of, load_llm
    from desta2.model.checkpoint import resolve_base
    from desta2.model.stopping import end_ids, until_end

    path = resolve_base(model._base_paths["llm_id"], None)
    llm = load_llm(path, model.llm.dtype, device_of(model.llm)).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    ends = end_ids(llm, tokenizer)
    options = dict(model.config.chat_template_kwargs or {})
    found = {}
    for key, messages in prompts.items():
        try:
            inputs = tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True, **options
            ).to(llm.device)
        except TemplateError:
            continue
        length = inputs["input_ids"].shape[1]
        with torch.no_grad():
            ids = llm.generate(
                **inputs,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=ends,
                pad_token_id=ends[0],
            )
        found[key] = until_end(ids[0, length:].tolist(), ends)
    return found


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (mine, theirs) in enumerate(pairs) if mine != theirs), min(len(one), len(other)))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
