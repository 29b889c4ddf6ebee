"""Batches for the nano LLM: several conversations about one clip share its context.

The trade-off: a mask of its own for each context, in exchange for reading a clip once for all that is asked
about it. Each conversation is a branch that sees the context and itself, and counts positions from the
context's end, so that it gives what a separate sequence gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from desta2.nano.lessons import draw_conversation, draw_facts, draw_repetition, seed_text
from desta2.nano.phrasing import SENTENCES, Phrasing

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SYSTEM = "Focus on the audio clips and instructions."
_ASSISTANT = "<|start_header_id|>assistant<|end_header_id|>\n\n"
_VERDICTS = ("yes", "no")
_VERDICT_WEIGHT = 5.0
_REPEATING = 0.08  # share of contexts that hold no clip, but words to be said again
_BARE = 0.08  # share of clips of which the transcript alone is given


@dataclass
class Packed:
    """A batch of contexts, each with its branches behind it.

    Attributes:
        ids: (contexts, T) token ids.
        positions: (contexts, T) positions; each branch counts on from the end of its context.
        mask: (contexts, 1, T, T) bool: true where a token (row) may look at another (column).
        labels: (contexts, T) the token to predict at each place, −100 where there is none.
        noisy: (contexts, T) bool: the tokens that an adapter's vectors will stand for, which noise may blur:
            those of the attributes. A clip's words come as exact text from Whisper too.
        weights: (contexts, T) how much each label counts: more for "Yes" and "No", since such a token takes
            a comparison, and stands among many that need only be copied.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    labels: Tensor
    noisy: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> Packed:
        """The same on a device."""
        return Packed(*(getattr(self, column.name).to(device) for column in fields(self)))


@dataclass
class Row:
    """One context and its branches, token by token; the columns are those of `Packed`.

    Attributes:
        ids: token ids.
        positions: of the tokens.
        segment: 0 for the context, 1, 2, … for the branches.
        wanted: 1 where the token is to be predicted.
        noisy: 1 where noise may blur the token.
    """

    ids: list[int]
    positions: list[int]
    segment: list[int]
    wanted: list[int]
    noisy: list[int]

    @classmethod
    def of_context(cls, ids: list[int], noisy: list[int]) -> Row:
        """A context without branches."""
        return cls(ids, list(range(len(ids))), [0] * len(ids), [0] * len(ids), noisy)

    def add(self, branch: list[int], wanted: list[int]) -> None:
        """Put a branch behind the context and the branches that are there."""
        shared = self.segment.count(0)
        self.ids += branch
        self.positions += range(shared, shared + len(branch))
        self.segment += [self.segment[-1] + 1] * len(branch)
        self.wanted += wanted
        self.noisy += [0] * len(branch)


class Packer:
    """Turns conversations into packed batches."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        forms = [form for word in _VERDICTS for form in (word, word.upper(), word.capitalize())]
        ids = [self._ids(space + form) for form in forms for space in ("", " ")]
        self._verdicts = torch.tensor([token for (token,) in ids])

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    @staticmethod
    def _turn(role: str, content: str) -> str:
        return f"<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>"

    def context(self, audio: str | None) -> Row:
        """The system turn and, if there is a clip, its turn: a seed transcript or bare words."""
        system = self._ids("<|begin_of_text|>" + self._turn("system", SYSTEM))
        if audio is None:
            return Row.of_context(system, [0] * len(system))
        words, quote, attributes = self._turn("audio", audio).rpartition('" (')
        if not quote:
            ids = system + self._ids(attributes)
            return Row.of_context(ids, [0] * len(ids))
        before = system + self._ids(words + '"')
        after = self._ids(" (" + attributes)
        return Row.of_context(before + after, [0] * len(before) + [1] * len(after))

    def branch(self, turns: Sequence[tuple[str, str]]) -> tuple[list[int], list[int]]:
        """Tokens of turns that follow each other, and for each token whether it is to be predicted."""
        ids: list[int] = []
        wanted: list[int] = []
        for instruction, answer in turns:
            asked = self._ids(f"{self._turn('user', instruction)}{_ASSISTANT}")
            said = self._ids(answer + "<|eot_id|>")
            ids += asked + said
            wanted += [0] * len(asked) + [1] * len(said)
        return ids, wanted

    def pack(self, rows: Sequence[Row]) -> Packed:
        """One batch of rows, padded at the end."""
        longest = max(len(row.ids) for row in rows)

        def stack(column: str, fill: int) -> Tensor:
            lists = [getattr(row, column) for row in rows]
            return torch.tensor([values + [fill] * (longest - len(values)) for values in lists])

        ids, positions = stack("ids", self.tokenizer.pad_token_id), stack("positions", 0)
        segment, wanted, noisy = stack("segment", -1), stack("wanted", 0), stack("noisy", 0)
        same = segment[:, :, None] == segment[:, None, :]
        context = (segment == 0)[:, None, :] & (segment >= 0)[:, :, None]
        mask = (same | context) & torch.ones(longest, longest, dtype=torch.bool).tril()
        # A branch's last token must not predict the first of the next one: that one is never wanted.
        labels = torch.where(wanted.bool(), ids, -100).roll(-1, dims=1)
        labels[:, -1] = -100
        weights = torch.where(torch.isin(labels, self._verdicts), _VERDICT_WEIGHT, 1.0)
        return Packed(ids, positions, mask[:, None], labels, noisy.bool(), weights)


@dataclass(frozen=True)
class Sampler:
    """Draws training batches; the batch of a step depends on the seed and the step alone.

    Attributes:
        packer: makes the batches.
        seed: of all draws.
        steps: of the whole training, which the lessons grow with.
        batch: contexts a step.
        tokens: a context gets conversations until it is this long.
        phrasing: of the answers.
    """

    packer: Packer
    seed: int
    steps: int
    batch: int
    tokens: int
    phrasing: Phrasing = SENTENCES

    def batch_at(self, step: int) -> Packed:
        """The batch of a step."""
        rng = Random(f"{self.seed}-{step}")
        return self.packer.pack([self._row(rng, step / self.steps) for _ in range(self.batch)])

    def _row(self, rng: Random, progress: float) -> Row:
        repeating = rng.random() < _REPEATING
        facts = draw_facts(rng, progress, self.phrasing)
        bare = rng.random() < _BARE
        if bare:
            facts = replace(facts, values={})
        audio = None if repeating else facts.text if bare else seed_text(facts, rng)
        row = self.packer.context(audio)
        while len(row.ids) < self.tokens:
            turns = [draw_repetition(rng)] if repeating else draw_conversation(facts, rng, progress)
            row.add(*self.packer.branch(turns))
        return row
