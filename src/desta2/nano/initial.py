"""The nano LLM's weights before training: random, but for what a small transformer learns last.

To copy from the context is to find where the last words stood before, and to say what followed there.
Trained from random weights, the nano LLM needs thousands of steps until such induction heads form (Olsson et
al., 2022); here they are set by hand, and all else is learnt. The trade-off: a start that was designed
instead of found, in exchange for a model that copies from its first steps on. It is a start and no more:
every weight is trained from it.

- All forms of a word share one random vector, and a few numbers beside it say which form it is: "fox" and
  " FOX" are the same to whoever looks for a word. The output matrix starts as the same vectors.
- In the first layer, head 0 looks at the token before and head 1 at the one before that, whatever they are:
  the biases of queries and keys, turned by the rotary positions, give a score that is highest there. What
  they see is written beside the token's own vector: the last 2 × head size of the width is kept for it.
- In the second layer, head 0 looks for places where the token before is the present one, and head 1 where
  also the one before that agrees; both write what stands there where the output matrix will read it.
- Also in the second layer, head 2 looks for places where the present token itself stands, and tells what is
  before it there. So a value that a question names is marked if the seed has it: behind a colon.
- In the third layer, head 0 says the word before the place where it looks, wherever that is: the last word
  of a speech stands before a quote.
- All other outputs of layers start small, so that the above is not drowned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.models.llama.modeling_llama import LlamaAttention

_CASES = ("lower", "title", "upper")
_FORMS = len(_CASES) + 1  # of the width: what case a word is in, and whether a space stands before it
_FORM = 3.0  # size of a form, where each of a word's own numbers is about one
_LOGITS = 0.04  # size of the output matrix
_OUTPUTS = 0.1  # of the usual size of attention outputs
_FAST = 0.03  # radians a token: pairs that tell near positions apart
_SLOW = 0.005  # pairs that hardly turn over a context, and so compare contents
_POSITION_GAP = 8.0  # score of the wanted position above every other
_CONTENT_SCORE = 15.0  # score of a match
_COPY = 3.0  # strength of what is copied, relative to a token's own vector
_LONGEST = 1024


@torch.no_grad()
def shape_weights(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Set the initial weights in place.

    Args:
        model: with at least three layers and three heads, attention biases, and an output matrix of its own.
        tokenizer: says what the tokens are.
        seed: of all draws.
    """
    generator = torch.Generator().manual_seed(seed)
    width, heads = model.config.hidden_size, model.config.num_attention_heads
    size = width // heads
    own = width - 2 * size  # of the width: the token's own vector
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.zero_()
        layer.self_attn.o_proj.weight.mul_(_OUTPUTS)
    vectors = word_vectors(tokenizer, own, generator)
    for matrix, scale in ((model.model.embed_tokens.weight, 1.0), (model.lm_head.weight, _LOGITS)):
        matrix.zero_()
        matrix[:, :own] = scale * vectors
    rotary: Any = model.config.rope_parameters
    turns = turn_rates(size, rotary["rope_theta"])
    # What heads read of the width, (head size, width) each: the present token, whatever its form, and what
    # the first layer writes of the one before and of the one before that.
    present = F.pad(_basis(own - _FORMS, generator)[:size], (0, width - own + _FORMS))
    before, earlier = torch.eye(width)[own:].split(size)
    first, second = (model.model.layers[i].self_attn for i in (0, 1))
    for head, place in enumerate((before, earlier)):
        look_back(first, head, turns, distance=head + 1)
        carry(first, head, present, place.T)
    odd = torch.arange(size)[:, None] % 2 == 1
    look_for(second, 0, turns, present, before)
    look_for(second, 1, turns, torch.where(odd, before, present), torch.where(odd, earlier, before))
    halves = F.pad(_basis(own, generator), (0, width - own)).split(-(-own // 2))
    for head, half in enumerate(halves):  # together they copy all of a token
        carry(second, head, half[:size], _COPY * half[:size].T)
    look_for(second, 2, turns, present, present)
    carry(second, 2, before, before.T)
    carry(model.model.layers[2].self_attn, 0, before, present.T)


def word_vectors(tokenizer: PreTrainedTokenizerFast, width: int, generator: torch.Generator) -> Tensor:
    """(vocabulary, width) what tokens are made of.

    The same random numbers for all forms of a word, and behind them `_FORMS` that say which form it is; for
    other tokens random numbers of their own, and no form.
    """
    meanings: dict[str, Tensor] = {}
    vectors = torch.zeros(len(tokenizer), width)
    for index in range(len(tokenizer)):
        text = str(tokenizer.decode([index]))
        word = text.strip()
        is_word = word.isascii() and word.isalpha()
        name = word.lower() if is_word else f"token {index}"
        if name not in meanings:
            meanings[name] = torch.randn(width - _FORMS, generator=generator)
        vectors[index, :-_FORMS] = meanings[name]
        if is_word:
            case = "upper" if len(word) > 1 and word.isupper() else "title" if word[0].isupper() else "lower"
            vectors[index, _CASES.index(case) - _FORMS] = _FORM
            vectors[index, -1] = _FORM * (text != word)
    return vectors


def turn_rates(size: int, theta: float) -> Tensor:
    """(size / 2,) radians a token by which each pair of a head's dimensions turns (rotary positions)."""
    return theta ** (-torch.arange(0, size, 2) / size)


def look_back(attention: LlamaAttention, head: int, turns: Tensor, distance: int) -> None:
    """Let a head look `distance` tokens back, whatever stands there, by biases alone."""
    half, fast = len(turns), (turns > _FAST).nonzero().flatten()
    others = torch.tensor([d - distance for d in range(_LONGEST) if d != distance])
    gap = (1 - torch.cos(turns[fast] * others[:, None])).sum(1).min()
    strength = math.sqrt(_POSITION_GAP * math.sqrt(2 * half) / float(gap))
    rows = slice(head * 2 * half, (head + 1) * 2 * half)
    _clear_scores(attention, head, 2 * half)
    # A pair is a complex number that its position turns: the query is turned back by what lies between.
    query, key = attention.q_proj.bias[rows], attention.k_proj.bias[rows]
    query[fast] = strength * torch.cos(distance * turns[fast])
    query[fast + half] = -strength * torch.sin(distance * turns[fast])
    key[fast] = strength


def look_for(attention: LlamaAttention, head: int, turns: Tensor, queries: Tensor, keys: Tensor) -> None:
    """Let a head look where what `keys` reads there is what `queries` reads here, at whatever distance.

    Args:
        attention: of a layer.
        head: which.
        turns: (head size / 2,) see `turn_rates`; as many rows are compared as turn slowly.
        queries: (head size, width) whose rows are compared with those of
        keys: (head size, width).
    """
    half, size = len(turns), len(queries)
    slow = (turns < _SLOW).nonzero().flatten()
    dimensions = head * size + torch.cat([slow, slow + half])
    gain = math.sqrt(_CONTENT_SCORE * math.sqrt(size) / max(1, len(dimensions)))
    _clear_scores(attention, head, size)
    attention.q_proj.weight[dimensions] = gain * queries[: len(dimensions)]
    attention.k_proj.weight[dimensions] = gain * keys[: len(dimensions)]


def carry(attention: LlamaAttention, head: int, read: Tensor, write: Tensor) -> None:
    """Let a head read (at most head size, width) where it looks and write (width, as many) where it is."""
    size, count = attention.head_dim, len(read)
    rows, used = slice(head * size, (head + 1) * size), slice(head * size, head * size + count)
    attention.v_proj.weight[rows] = 0.0
    attention.v_proj.weight[used] = read
    attention.o_proj.weight[:, rows] = 0.0
    attention.o_proj.weight[:, used] = write


def _clear_scores(attention: LlamaAttention, head: int, size: int) -> None:
    rows = slice(head * size, (head + 1) * size)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows] = 0.0
        projection.bias[rows] = 0.0


def _basis(width: int, generator: torch.Generator) -> Tensor:
    """(width, width) rows of length one, at right angles to each other."""
    return torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
