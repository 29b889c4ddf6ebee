"""Train the nano LLM on text only, from weights that nobody trained.

A real `LlamaForCausalLM` with a Llama-3-style tokenizer and chat template, taught to follow instructions
about a clip whose seed transcript stands in its context. It never hears anything. What makes retrieval
learnable in minutes on a CPU: every word is one token in each of its cases (`tokens`); the first weights
already copy (`initial`); seeds grow over the training (`lessons`); several conversations share one context
(`packing`). Noise on the context embeddings keeps retrieval from depending on exact token vectors: an
adapter's output will never be exact.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from desta2.nano.exam import exact_match
from desta2.nano.initial import shape_weights
from desta2.nano.lessons import GROWTH
from desta2.nano.loop import LoopRecipe, fit
from desta2.nano.packing import Packed, Packer, Sampler
from desta2.nano.phrasing import PHRASINGS, Name
from desta2.nano.tokens import make_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LlmRecipe:
    """The recipe of the shipped weights.

    Attributes:
        seed: of the initial weights and of every batch.
        phrasing: how it answers.
        width, layers, heads, intermediate: of the model; `initial` needs three layers and three heads.
        rope_theta: base of the rotary positions; large, so that many pairs compare contents at any distance.
        batch: contexts a step.
        tokens: a context gets conversations until it is this long.
        loop: steps and rates.
    """

    seed: int = 0
    phrasing: Name = "sentences"
    width: int = 160
    layers: int = 5
    heads: int = 4
    intermediate: int = 448
    rope_theta: float = 1e5
    batch: int = 8
    tokens: int = 300
    loop: LoopRecipe = field(default_factory=lambda: LoopRecipe(steps=6_000, learning_rate=2e-3, warmup=150))


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: LlmRecipe) -> LlamaForCausalLM:
    """A model of the recipe's size with its initial weights."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        attention_bias=True,
        tie_word_embeddings=False,
        initializer_range=0.04,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    shape_weights(model, tokenizer, recipe.seed)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=160,
    )
    return model


def answer_loss(model: LlamaForCausalLM, batch: Packed, noise: float) -> Tensor:
    """Weighted mean cross-entropy over the answer tokens.

    Args:
        model: the LLM.
        batch: contexts with branches.
        noise: standard deviation of the noise on the embeddings of attributes, relative to their own.
    """
    batch = batch.to(model.device)
    embeds = model.get_input_embeddings()(batch.ids)  # (contexts, T, width)
    if noise > 0:
        # Half the contexts stay exact: seeds as text must be read without fault.
        amount = noise * torch.rand(len(embeds), 1, 1) * (torch.rand(len(embeds), 1, 1) < 0.5)
        amount = amount.to(embeds) * embeds.detach().std() * batch.noisy[:, :, None]
        embeds = embeds + amount * torch.randn_like(embeds)
    output = model.model(inputs_embeds=embeds, attention_mask=batch.mask, position_ids=batch.positions)
    wanted = batch.labels >= 0
    logits = model.lm_head(output.last_hidden_state[wanted])  # (answer tokens, vocabulary)
    weights = batch.weights[wanted]
    return (F.cross_entropy(logits, batch.labels[wanted], reduction="none") * weights).sum() / weights.sum()


@torch.no_grad()
def answer(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[list[dict[str, str]]]
) -> list[str]:
    """Greedy answers to conversations, in one left-padded batch."""
    texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    inputs = tokenizer(
        texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
    )
    generator: Any = model  # its own annotations do not recognise it
    ids = generator.generate(**inputs.to(model.device), do_sample=False)
    answers: list[str] = tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return answers


def train_llm(folder: Path, recipe: LlmRecipe = LlmRecipe()) -> None:
    """Train from nothing; continue where an earlier call was stopped.

    Args:
        folder: gets `model/` (Hugging Face format, fp16) and `work/` (checkpoint, log).
        recipe: sizes, steps and seed.
    """
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, recipe)
    phrasing = PHRASINGS[recipe.phrasing]
    sampler = Sampler(
        Packer(tokenizer), recipe.seed, recipe.loop.steps, recipe.batch, recipe.tokens, phrasing
    )

    def loss_of(batch: Packed, progress: float) -> Tensor:
        return answer_loss(model, batch, noise=0.0 if progress < GROWTH else 1.0)

    def evaluate() -> dict[str, float]:
        return exact_match(model, tokenizer, phrasing=phrasing)

    fit(model, sampler.batch_at, loss_of, recipe.loop, folder / "work", "nano LLM", evaluate)
    target = folder / "model"
    model.cpu().half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    log.info("saved the nano LLM to %s", target)
