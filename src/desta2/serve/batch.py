"""Answers that are written together: rows join and leave between two steps of the LLM.

Each step is one forward pass for all rows. New rows are read in a pass of their own (a prompt is longer than
a token), and then join. The trade-off: caches are copied when rows join or leave, which costs less than a
step, and buys that a row never waits for the end of another. LLMs whose caches cannot be joined (see
`caches`) are answered correctly, but each row takes steps of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache

from desta2.model.bases import device_of
from desta2.model.batching import LeftPadded
from desta2.serve.caches import can_be_joined, joined, thinned
from desta2.serve.rows import Row

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model


@dataclass
class Group:
    """Rows that share a cache.

    Attributes:
        rows: The answers.
        cache: Of all positions but the newest.
        mask: (rows, length), False at padding.
        scores: (rows, vocabulary), of each row's next token.
    """

    rows: list[Row]
    cache: Cache
    mask: Tensor
    scores: Tensor


class Batch:
    """All answers that are being written.

    Args:
        model: With a processor.
    """

    def __init__(self, model: Desta2Model) -> None:
        self._model = model
        self._groups: list[Group] = []
        self._accepted = inspect.signature(model.llm.forward).parameters
        self._joins = can_be_joined(DynamicCache(config=model.llm.config))

    def __len__(self) -> int:
        return sum(len(group.rows) for group in self._groups)

    @torch.no_grad()
    def join(self, rows: Sequence[Row]) -> None:
        """Read the questions of new rows, and let these take part in the next step."""
        if not self._joins:
            self._groups += [self._read([row]) for row in rows]
            return
        new = self._read(rows)
        self._groups = [_merged(group, new) for group in self._groups] or [new]

    @torch.no_grad()
    def choose(self) -> list[tuple[Row, int]]:
        """The next token of every row."""
        return [pair for group in self._groups for pair in zip(group.rows, _choices(group), strict=True)]

    def drop(self, rows: Sequence[Row]) -> None:
        """Let rows go."""
        self._groups = [
            kept for group in self._groups if (kept := _without(group, {id(row) for row in rows}))
        ]

    @torch.no_grad()
    def go_on(self, tokens: dict[int, int]) -> None:
        """Read a token of every row; `tokens` has it under the row's `id`."""
        for group in self._groups:
            ids = torch.tensor([[tokens[id(row)]] for row in group.rows], device=group.mask.device)
            group.mask = torch.cat([group.mask, group.mask.new_ones(len(ids), 1)], 1)
            group.scores = self._pass({"input_ids": ids}, group.mask, group.cache)

    def clear(self) -> None:
        """Let all rows go."""
        self._groups = []

    def _read(self, rows: Sequence[Row]) -> Group:
        llm = self._model.llm
        questions = [row.question for row in rows]
        padded = LeftPadded.of([question.input_ids for question in questions], device_of(llm))
        heard = [clip for question in questions for clip in question.embeds]
        slots = padded.audio_slots([question.slots for question in questions])
        if slots is None:
            inputs = {"input_ids": padded.input_ids}
        else:
            inputs = {"inputs_embeds": self._model.embed(padded.input_ids, torch.cat(heard), slots)}
        mask, cache = padded.attention_mask.bool(), DynamicCache(config=llm.config)
        return Group(list(rows), cache, mask, self._pass(inputs, mask, cache))

    def _pass(self, inputs: dict[str, Tensor], mask: Tensor, cache: Cache) -> Tensor:
        """Scores (rows, vocabulary) of the next token; the cache grows."""
        new = next(iter(inputs.values())).shape[1]
        options: dict[str, Any] = {"attention_mask": mask.long()}
        if "position_ids" in self._accepted:
            options["position_ids"] = (mask.long().cumsum(-1) - 1).clamp_min(0)[:, -new:]
        if "logits_to_keep" in self._accepted:
            options["logits_to_keep"] = 1
        output = self._model.llm(**inputs, **options, past_key_values=cache, use_cache=True)
        scores: Tensor = output.logits[:, -1].float()
        return scores


def _merged(one: Group, other: Group) -> Group:
    length = max(one.mask.shape[1], other.mask.shape[1])
    masks = [
        torch.cat([mask.new_zeros(len(mask), length - mask.shape[1]), mask], 1)
        for mask in (one.mask, other.mask)
    ]
    return Group(
        one.rows + other.rows,
        joined(one.cache, other.cache),
        torch.cat(masks),
        torch.cat([one.scores, other.scores]),
    )


def _without(group: Group, leaving: set[int]) -> Group | None:
    """The group without some rows, and without what then is padding everywhere; None without any row."""
    kept = [place for place, row in enumerate(group.rows) if id(row) not in leaving]
    if len(kept) == len(group.rows):
        return group
    if not kept:
        return None
    mask = group.mask[kept]
    first = int(mask.any(0).int().argmax())
    rows = [group.rows[place] for place in kept]
    return Group(rows, thinned(group.cache, kept, first), mask[:, first:], group.scores[kept])


def _choices(group: Group) -> list[int]:
    """The next token of each row; rows with the same rule are processed together."""
    best = group.scores.argmax(-1).tolist()
    alike: dict[int, list[int]] = {}
    for place, row in enumerate(group.rows):
        if row.rule.draws or row.rule.processors:
            alike.setdefault(id(row.rule), []).append(place)
    for places in alike.values():
        first = group.rows[places[0]]
        for place, scores in zip(places, first.processed(group.scores[places]), strict=True):
            row = group.rows[place]
            best[place] = row.draw(scores) if row.rule.draws else int(scores.argmax())
    return best
