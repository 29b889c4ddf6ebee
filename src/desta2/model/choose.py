"""How likely a model finds given answers: what a forced choice is made by.

A prompt is read once for all of its answers, and a clip that was heard is not heard again. The answers are
then read behind a copy of the prompt's key-value cache each (teacher forcing). The trade-off: the cache is
copied for every answer, which costs memory by their number; in exchange a question with eight options costs
little more than one with a single answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from desta2.errors import InputError
from desta2.model.bases import device_of
from desta2.model.batching import LeftPadded
from desta2.model.chat import Question, prepare
from desta2.model.hearing import processor_of
from desta2.model.prompt import response_ids

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


@torch.no_grad()
def log_likelihoods(
    model: Desta2Model,
    conversations: Sequence[Sequence[Any]],
    answers: Sequence[Sequence[str]],
    *,
    use_audio: bool = True,
) -> list[list[float]]:
    """Log-probabilities of answers to conversations, in nats, all in one batch.

    Args:
        model: with a processor.
        conversations: messages in any form that `Desta2Model.chat` accepts, each ending with a question.
        answers: for each conversation those that it might have, at least one.
        use_audio: as in `chat`.

    Returns:
        for each conversation, of each answer: the sum of the log-probabilities of its tokens and of the end
        of the turn.

    Raises:
        InputError, AudioError: messages or clips cannot be used, or a conversation has no answers.
        RunError: the model has no processor.
    """
    if len(answers) != len(conversations) or not all(answers):
        raise InputError(
            f"given {len(conversations)} conversations and answers to {sum(map(bool, answers))}; expected at "
            "least one answer to each"
        )
    if not conversations:
        return []
    tokenizer = processor_of(model).tokenizer
    questions = prepare(model, conversations, [None] * len(conversations), None, use_audio)
    rows = [row for row, own in enumerate(answers) for _ in own]
    ids = [response_ids(answer, tokenizer) for own in answers for answer in own]
    sums = iter(_sums(model, questions, rows, ids))
    return [[next(sums) for _ in own] for own in answers]


def _sums(
    model: Desta2Model, questions: Sequence[Question], rows: Sequence[int], answers: Sequence[list[int]]
) -> list[float]:
    """Log-probability of each answer (token ids) to the question `rows` names for it."""
    device = device_of(model.llm)
    batch = LeftPadded.of([question.input_ids for question in questions], device)
    clips = [clip for question in questions for clip in question.embeds]
    embeds = model.embed(
        batch.input_ids,
        torch.cat(clips) if clips else None,
        batch.audio_slots([question.slots for question in questions]),
    )  # (questions, length, d_llm)
    mask = batch.attention_mask
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    # The last token of the prompt is read with the answers: what follows it is their first token.
    cache = _read(model.llm, embeds[:, :-1], mask[:, :-1], places[:, :-1], None, keep=1).past_key_values
    chosen = torch.tensor(rows, device=device)
    cache.batch_select_indices(chosen)

    longest = max(map(len, answers))
    wanted = torch.tensor([own + [own[0]] * (longest - len(own)) for own in answers], device=device)
    real = torch.tensor([[1] * len(own) + [0] * (longest - len(own)) for own in answers], device=device)
    said = model.llm.get_input_embeddings()(wanted[:, :-1])
    ahead = torch.cat([embeds[chosen, -1:], said], dim=1)  # (answers, longest, d_llm)
    steps = places[chosen, -1:] + torch.arange(longest, device=device)
    # Padding behind an answer need not be hidden: no token before it sees it.
    seen = torch.cat([mask[chosen], mask.new_ones(len(answers), longest - 1)], dim=1)
    logits = _read(model.llm, ahead, seen, steps, cache, keep=0).logits  # (answers, longest, vocabulary)
    found: Tensor = logits.float().log_softmax(-1).gather(-1, wanted.to(logits.device)[..., None])[..., 0]
    return [float(value) for value in (found * real.to(found)).sum(-1)]


def _read(llm: Any, embeds: Tensor, mask: Tensor, positions: Tensor, cache: Any, keep: int) -> Any:
    """One pass with a cache; `keep` last logits are needed, 0 for all."""
    accepted = inspect.signature(llm.forward).parameters
    options = {"position_ids": positions, "logits_to_keep": keep}
    options = {name: value for name, value in options.items() if name in accepted}
    return llm(inputs_embeds=embeds, attention_mask=mask, past_key_values=cache, use_cache=True, **options)
