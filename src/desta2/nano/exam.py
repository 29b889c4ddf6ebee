"""What the nano LLM can do with seeds as text, by kind of question, on sentences that no training holds.

An answer counts if it is exactly the expected one. Whether greedy decoding would write it is read from one
pass over question and expected answer: it would, if and only if each expected token is the likeliest after
those before it. The trade-off: the decoding code is not tested here (`llm.answer` is, by its tests), and
hundreds of answers take seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from desta2.nano.language import (
    ASPECTS,
    FORMATS,
    HELD_OUT_COMBINATIONS,
    KINDS,
    Facts,
    Format,
    ask,
    ask_kind,
    combine,
    draw_format,
    fits,
)
from desta2.nano.lessons import draw_text, seed_text
from desta2.nano.packing import Packed, Packer
from desta2.nano.phrasing import SENTENCES, Phrasing
from desta2.nano.questions import clues_of

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

_SPLIT = "val"
_AT_ONCE = 40
_KEYS = [aspect.key for aspect in ASPECTS]


@dataclass(frozen=True)
class Question:
    """One question of the exam.

    Attributes:
        subject: what it is counted under.
        seed: the clip's seed transcript.
        turns: (instruction, answer), of which the last is asked and the others are given.
    """

    subject: str
    seed: str
    turns: tuple[tuple[str, str], ...]


def draw_questions(n: int, seed: int, phrasing: Phrasing = SENTENCES) -> Iterator[Question]:
    """About `n` questions, equally many of each subject.

    A kind is asked in trained wordings ("count") and in held-out ones ("count, new wording"). Then there are
    formats in trained and held-out wordings, held-out combinations of kind and format, and attributes that
    the seed does not have. All others are of known attributes, so that every "not clear" there is an error.
    """
    rng = Random(f"exam-{seed}")
    subjects = [(kind, new) for kind in KINDS for new in (False, True)]
    subjects += [("format", False), ("format", True), ("combination", False), ("not clear", False)]
    for i in range(n):
        kind, new = subjects[i % len(subjects)]
        values = {aspect.key: rng.choice(aspect.options) for aspect in ASPECTS}
        facts = Facts(draw_text(rng, _SPLIT), values, phrasing)
        keys = rng.sample(_KEYS, 3)
        if kind == "steps":
            keys = [keys[0], *clues_of(keys[0])]
        if kind == "not clear" or (kind in KINDS and rng.random() < 0.3):
            facts = _without(facts, keys if kind != "not clear" else keys[1:], rng)
        earlier = combine(ask(facts, keys[1], rng), None, facts, rng)
        subject = f"{kind}, new wording" if new else kind
        asked = _ask(kind, facts, keys, rng, new)
        turns = (earlier, asked) if kind == "follow-up" else (asked,)
        yield Question(subject, seed_text(facts, rng), turns)


def _without(facts: Facts, kept: list[str], rng: Random) -> Facts:
    """Facts of which some attributes are not known, but those to be kept are."""
    gone = [key for key in _KEYS if key not in kept and key != "duration"]
    gone = rng.sample(gone, rng.randint(1, len(gone)))
    return replace(facts, values={key: value for key, value in facts.values.items() if key not in gone})


def _ask(kind: str, facts: Facts, keys: list[str], rng: Random, new: bool) -> tuple[str, str]:
    if kind == "not clear":
        missing = rng.choice([key for key in _KEYS if key not in facts.values])
        return combine(ask(facts, missing, rng), None, facts, rng)
    if kind not in ("format", "combination"):
        return combine(ask_kind(kind, facts, keys, rng, new), None, facts, rng)
    while True:
        exchange = ask_kind(rng.choice([kind for kind in KINDS if kind != "follow-up"]), facts, keys, rng)
        held_out = [name for name in FORMATS if (exchange.kind, name) in HELD_OUT_COMBINATIONS]
        names = [
            name for name in FORMATS if fits(name, exchange) and (name in held_out) == (kind == "combination")
        ]
        if names:
            fmt: Format = draw_format(rng.choice(names), rng, held_out=new)
            return combine(exchange, fmt, facts, rng)


@torch.no_grad()
def exact_match(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    n: int = 560,
    seed: int = 1,
    phrasing: Phrasing = SENTENCES,
) -> dict[str, float]:
    """Share of answers that are exactly right, by subject (see `draw_questions`)."""
    packer = Packer(tokenizer)
    questions = list(draw_questions(n, seed, phrasing))
    right: dict[str, list[bool]] = {}
    for first in range(0, len(questions), _AT_ONCE):
        some = questions[first : first + _AT_ONCE]
        for question, good in zip(some, _are_right(model, packer, some), strict=True):
            right.setdefault(question.subject, []).append(good)
    return {subject: round(sum(good) / len(good), 3) for subject, good in right.items()}


def _are_right(model: LlamaForCausalLM, packer: Packer, questions: list[Question]) -> list[bool]:
    rows = []
    for question in questions:
        row = packer.context(question.seed)
        ids, wanted = packer.branch(question.turns)
        given = len(packer.branch(question.turns[:-1])[0])
        row.add(ids, [0] * given + wanted[given:])
        rows.append(row)
    batch: Packed = packer.pack(rows).to(model.device)
    output = model.model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions)
    wanted_at = batch.labels >= 0
    likeliest: Tensor = model.lm_head(output.last_hidden_state[wanted_at]).argmax(-1)
    wrong = torch.zeros_like(wanted_at)
    wrong[wanted_at] = likeliest != batch.labels[wanted_at]
    return [not bool(row.any()) for row in wrong]
