"""Train the nano LLM from random weights, on text only.

A real `LlamaForCausalLM` with a Llama-3-style tokenizer and chat template, taught to follow instructions
about a clip whose seed transcript stands in its context. It never hears anything. What makes retrieval
learnable in minutes on a CPU: every word is one token in each of its cases; seeds start with one attribute
and one word and grow over the first 40 % of training; several questions share one context, each in a branch
of its own under a block mask (equal to separate sequences); some contexts hold nothing but words to be said
again, since copying is what a small transformer learns last. Noise on the context embeddings keeps retrieval
from depending on exact token vectors: an adapter's output will never be exact.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from desta2.data.seed import Turn, format_seed
from desta2.nano.grammar import WORDS, draw_sentence
from desta2.nano.language import (
    ASPECTS,
    DESCRIBE,
    DESCRIBE_ALSO,
    FORMATS,
    REPEAT,
    Exchange,
    Facts,
    ask,
    ask_steps,
    ask_two,
    ask_words,
    ask_yes_no,
    combine,
    describe,
    draw_format,
    fits,
    vocabulary,
)
from desta2.nano.loop import LoopRecipe, fit

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

log = logging.getLogger(__name__)
# These say the value in another form than the seed does, which takes more practice than the rest.
_FORMAT_WEIGHTS = {"word": 3, "json": 2, "capitals": 2}
SYSTEM = "Focus on the audio clips and instructions."
_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Words apart from what stands before them, digits in threes: the pattern of Llama 3's tokenizer.
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class LlmRecipe:
    """The recipe of the shipped weights.

    Attributes:
        seed: of the initial weights and of every batch.
        width, layers, heads, intermediate: of the model.
        batch: contexts a step.
        tokens: a context gets questions until it is this long.
        loop: steps and rates.
    """

    seed: int = 0
    width: int = 160
    layers: int = 5
    heads: int = 4
    intermediate: int = 448
    batch: int = 8
    tokens: int = 300
    loop: LoopRecipe = field(default_factory=lambda: LoopRecipe(steps=5_000, learning_rate=2e-3, warmup=150))


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in which each word of the nano world is one token, in each of its cases."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(r"[^\p{L}]+"), behavior="removed")
    spoken = set(WORDS)
    templates = {word.lower() for text in vocabulary() for word, _ in split.pre_tokenize_str(text)}
    forms = [
        f"{space}{word}" for w in sorted(spoken | templates) for word in (w, w.upper()) for space in ("", " ")
    ]
    forms += [f"{space}{word.capitalize()}" for word in sorted(templates) for space in ("", " ")]
    forms += [f"{number:02d}" for number in range(61)]
    forms += [' "', " (", " -", ' {"', '":', '",', '".', '"}', '."', "\n\n", " *"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=20_000,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(_SPECIAL),
        show_progress=False,
    )
    bpe.train_from_iterator(forms, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|end_of_text|>",
        model_input_names=["input_ids", "attention_mask"],
    )
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: LlmRecipe) -> LlamaForCausalLM:
    """Random weights of the recipe's size."""
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
        attention_bias=True,
        tie_word_embeddings=False,
        initializer_range=0.04,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        max_new_tokens=160,
    )
    return model


def draw_facts(rng: Random, progress: float) -> Facts:
    """Words and attributes, few at first and all of them after 40 % of the training."""
    grown = min(1.0, progress / 0.4)
    most_words = 1 + round(8 * grown)
    if rng.random() < 0.5:
        text = " ".join(rng.choices(WORDS, k=rng.randint(1, most_words)))
    else:
        text = " ".join(draw_sentence(rng).split()[:most_words])
    keep = 1.0 if rng.random() < 0.6 else rng.uniform(0.2, 1.0)
    aspects = [aspect for aspect in ASPECTS if rng.random() < keep]
    most = 1 + round((len(ASPECTS) - 1) * grown)
    aspects = rng.sample(aspects, min(most, len(aspects)))
    return Facts(text, {a.key: rng.choice(a.options) for a in ASPECTS if a in aspects})


def seed_text(facts: Facts, rng: Random) -> str:
    """The seed transcript of facts, as `desta2 seed` would write it."""
    duration = facts.values.get("duration")
    seconds = int(duration.split()[0]) if duration else rng.randint(1, 4)
    written = {}
    for aspect in ASPECTS:
        if aspect.key in facts.values:
            value = facts.values[aspect.key]
            written[aspect.label] = (
                f"{seconds}s" if aspect.key == "duration" else value[0].upper() + value[1:]
            )
    # The clock is rounded up and the attribute to the nearest second: they may differ by one.
    return format_seed([Turn(0, seconds + rng.choice((0, 0, 1)), facts.text, written)])


def draw_exchange(facts: Facts, rng: Random, progress: float) -> tuple[str, str]:
    """An instruction about a clip with these facts, and its answer."""
    known = list(facts.values)
    unknown = [aspect.key for aspect in ASPECTS if aspect.key not in facts.values]

    def key() -> str:
        if known and (not unknown or rng.random() < 0.88):
            return rng.choice(known)
        return rng.choice(unknown)

    def distinct(count: int) -> list[str]:
        keys: list[str] = []
        while len(keys) < count:
            keys += [k for k in [key()] if k not in keys] or [
                rng.choice([a.key for a in ASPECTS if a.key not in keys])
            ]
        return keys

    kind = rng.random()
    if kind < 0.16:
        prompt = DESCRIBE if rng.random() < 0.7 else rng.choice(DESCRIBE_ALSO)
        exchange = Exchange(prompt, describe(facts, rng), (), "describe")
    elif kind < 0.52:
        exchange = ask(facts, key(), rng)
    elif kind < 0.66:
        exchange = ask_two(facts, distinct(2), rng)
    elif kind < 0.80:
        exchange = ask_yes_no(facts, key(), rng)
    elif kind < 0.94:
        exchange = ask_words(facts, rng)
    else:
        exchange = ask_steps(facts, distinct(3), rng)
    formatted = progress > 0.1 and rng.random() < (0.15 if exchange.kind == "describe" else 0.5)
    names = [name for name in FORMATS if fits(name, exchange)] if formatted else []
    if not names:
        return combine(exchange, None, facts, rng)
    name = rng.choices(names, [_FORMAT_WEIGHTS.get(name, 1) for name in names])[0]
    return combine(exchange, draw_format(name, rng), facts, rng)


def draw_repetition(rng: Random) -> tuple[str, str]:
    """Words to be repeated, and the words."""
    words = " ".join(rng.choices(WORDS, k=rng.randint(2, 10)))
    return rng.choice(REPEAT).format(words), words


@dataclass
class Packed:
    """A batch of contexts, each with its branches behind it.

    Attributes:
        ids: (contexts, T) token ids.
        positions: (contexts, T) positions; each branch counts on from the end of its context.
        mask: (contexts, 1, T, T) bool: true where a token (row) may look at another (column).
        labels: (contexts, T) the token to predict at each place, −100 where there is none.
        heard: (contexts, T) bool: the tokens that stand for the clip.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    labels: Tensor
    heard: Tensor


class Sampler:
    """Draws packed batches; the batch of a step depends on the seed and the step alone."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, recipe: LlmRecipe) -> None:
        self.tokenizer = tokenizer
        self.recipe = recipe
        self.eot = tokenizer.eos_token_id

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _turn(self, role: str, content: str) -> list[int]:
        return self._ids(f"<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>")

    def _audio(self, rng: Random, progress: float) -> tuple[list[int], Facts]:
        """An audio turn and the facts that it gives away."""
        facts = draw_facts(rng, progress)
        if rng.random() < 0.08:
            return self._turn("audio", facts.text), Facts(facts.text, {})
        return self._turn("audio", seed_text(facts, rng)), facts

    def _branch(self, exchanges: list[tuple[str, str]]) -> tuple[list[int], list[int]]:
        """Tokens of exchanges that follow each other, and for each token whether it is to be predicted."""
        ids: list[int] = []
        wanted: list[int] = []
        for instruction, answer in exchanges:
            asked = self._turn("user", instruction)
            head = self._ids("<|start_header_id|>assistant<|end_header_id|>\n\n")
            said = [*self._ids(answer), self.eot]
            ids += asked + head + said
            wanted += [0] * (len(asked) + len(head)) + [1] * len(said)
        return ids, wanted

    def batch_at(self, step: int) -> Packed:
        """The batch of a step."""
        rng = Random(f"{self.recipe.seed}-{step}")
        progress = step / self.recipe.loop.steps
        system = self._ids("<|begin_of_text|>") + self._turn("system", SYSTEM)
        rows = []
        for _ in range(self.recipe.batch):
            repeat = rng.random() < (0.25 if progress < 0.75 else 0.08)
            audio, facts = ([], Facts("", {})) if repeat else self._audio(rng, progress)
            ids, segment = system + audio, [0] * len(system + audio)
            heard = [0] * len(system) + [1] * len(audio)
            positions, wanted = list(range(len(ids))), [0] * len(ids)
            shared = len(ids)
            while len(ids) < self.recipe.tokens:
                turns = 2 if rng.random() < 0.15 else 1
                exchanges = [
                    draw_repetition(rng) if repeat else draw_exchange(facts, rng, progress)
                    for _ in range(turns)
                ]
                more, predict = self._branch(exchanges)
                ids, wanted = ids + more, wanted + predict
                segment += [segment[-1] + 1] * len(more)
                positions += range(shared, shared + len(more))
            rows.append((ids, positions, segment, wanted, heard + [0] * (len(ids) - shared)))
        return self._pack(rows)

    def _pack(self, rows: Sequence[tuple[list[int], ...]]) -> Packed:
        longest = max(len(row[0]) for row in rows)

        def stack(column: int, fill: int) -> Tensor:
            return torch.tensor([list(row[column]) + [fill] * (longest - len(row[0])) for row in rows])

        ids, positions, segment = stack(0, self.tokenizer.pad_token_id), stack(1, 0), stack(2, -1)
        wanted, heard = stack(3, 0), stack(4, 0)
        same = segment[:, :, None] == segment[:, None, :]
        context = (segment == 0)[:, None, :] & (segment >= 0)[:, :, None]
        mask = (same | context) & torch.ones(longest, longest, dtype=torch.bool).tril()
        labels = torch.where(wanted.bool(), ids, -100).roll(-1, dims=1)
        labels[:, -1] = -100
        # A branch's last token must not predict the first of the next one: that one is never wanted.
        return Packed(ids, positions, mask[:, None], labels, heard.bool())


def answer_loss(model: LlamaForCausalLM, batch: Packed, noise: float) -> Tensor:
    """Mean cross-entropy over the answer tokens.

    Args:
        model: the LLM.
        batch: contexts with branches.
        noise: standard deviation of the noise on the clip's embeddings, relative to their own.
    """
    embeds = model.get_input_embeddings()(batch.ids)  # (contexts, T, width)
    if noise > 0:
        # Half the contexts stay exact: seeds as text must be read without fault.
        amount = noise * torch.rand(len(embeds), 1, 1) * (torch.rand(len(embeds), 1, 1) < 0.5)
        amount = amount * embeds.detach().std() * batch.heard[:, :, None]
        embeds = embeds + amount * torch.randn_like(embeds)
    output = model.model(inputs_embeds=embeds, attention_mask=batch.mask, position_ids=batch.positions)
    wanted = batch.labels >= 0
    logits = model.lm_head(output.last_hidden_state[wanted])  # (answer tokens, vocabulary)
    return F.cross_entropy(logits, batch.labels[wanted])


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
    ids = generator.generate(**inputs, do_sample=False)
    answers: list[str] = tokenizer.batch_decode(ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return answers


def exact_match(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, n: int = 200, seed: int = 1
) -> dict[str, float]:
    """Share of answers that are exactly right, by kind of question, on seeds and sentences of `seed`."""
    right: dict[str, list[bool]] = {}
    prompts, wanted, kinds = [], [], []
    rng = Random(f"exact-match-{seed}")
    for i in range(n):
        facts = draw_facts(rng, 1.0)
        keys = rng.sample([aspect.key for aspect in ASPECTS], 3)
        exchange = (
            ask(facts, keys[0], rng),
            ask_two(facts, keys[:2], rng),
            ask_yes_no(facts, keys[0], rng),
            ask_words(facts, rng),
        )[i % 4]
        names = [name for name in FORMATS if fits(name, exchange)]
        fmt = draw_format(rng.choice(names), rng) if i % 8 >= 4 else None
        instruction, expected = combine(exchange, fmt, facts, rng)
        turns = (("system", SYSTEM), ("audio", seed_text(facts, rng)), ("user", instruction))
        prompts.append([{"role": role, "content": content} for role, content in turns])
        wanted.append(expected)
        kinds.append(exchange.kind)
    answers = [a for i in range(0, n, 50) for a in answer(model, tokenizer, prompts[i : i + 50])]
    for kind, given, expected in zip(kinds, answers, wanted, strict=True):
        right.setdefault(kind, []).append(given.strip() == expected)
    return {kind: round(sum(values) / len(values), 3) for kind, values in sorted(right.items())}


def train_llm(folder: Path, recipe: LlmRecipe = LlmRecipe()) -> None:
    """Train from nothing; continue where an earlier call was stopped.

    Args:
        folder: gets `model/` (Hugging Face format, fp16) and `work/` (checkpoint, log).
        recipe: sizes, steps and seed.
    """
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, recipe)
    sampler = Sampler(tokenizer, recipe)

    def loss_of(batch: Packed, progress: float) -> Tensor:
        return answer_loss(model, batch, noise=0.0 if progress < 0.4 else 1.0)

    def evaluate() -> dict[str, float]:
        return exact_match(model, tokenizer)

    fit(model, sampler.batch_at, loss_of, recipe.loop, folder / "work", "nano LLM", evaluate)
    target = folder / "model"
    model.half().save_pretrained(target)
    tokenizer.save_pretrained(target)
    log.info("saved the nano LLM to %s", target)
