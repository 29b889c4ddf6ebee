"""Tiny LLMs of the families that people use, with random weights and chat templates of the true kinds."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GenerationConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

# A system turn that the user did not write; every role is written.
CHATML = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Thinks unless told not to; thoughts of earlier answers are taken out; unknown roles are left out.
THINKING = (
    "{% for m in messages %}"
    "{% if m.role in ('system', 'user') %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}"
    "{% elif m.role == 'assistant' %}{{ '<|im_start|>assistant\n' }}"
    "{% if loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') ~ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
_ALTERNATE = (
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
_GEMMA_TURN = (
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' }}{{ head }}"
    "{{ m['content'] | trim + '<end_of_turn>\n' }}"
)
_GEMMA_END = "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
# Raises on a system turn.
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% set head = '' %}"
    "{% for m in messages %}" + _ALTERNATE + _GEMMA_TURN + "{% endfor %}" + _GEMMA_END
)
# Writes the system's text into the first user turn by itself.
GEMMA3 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}" + _ALTERNATE + "{% set head = system if loop.first else '' %}" + _GEMMA_TURN
    + "{% endfor %}" + _GEMMA_END
)  # fmt: skip
# Writes the system's text into the last user turn.
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
    "{{ bos_token }}{% for m in turns %}" + _ALTERNATE
    + "{% if m['role'] == 'user' %}{{ '[INST] ' + (system if loop.last else '') + m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)  # fmt: skip
# No control tokens at all: a turn ends where the text does.
PLAIN = (
    "{% for m in messages %}{{ m['role'] | capitalize + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Leaves system turns out without a word.
PHI3 = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] in ('user', 'assistant') %}"
    "{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """How to make a tiny LLM of a family.

    Attributes:
        config: class of its configuration.
        template: chat template.
        specials: special tokens; the first is the end of text.
        bos: the token that its tokenizer begins texts with.
        end: the token that ends a turn.
        spaces: how its tokenizer treats spaces: "bytes" (byte-level BPE), "kept" (▁ for a space), or
            "prefixed" (and one more before every text).
        layout: the one that its template can write.
        system: what its template does with a system turn.
        options: of the configuration.
    """

    config: Callable[..., Any]
    template: str
    specials: tuple[str, ...]
    end: str
    bos: str | None = None
    spaces: str = "bytes"
    layout: str = "desta2.5"
    system: str = "written"
    tied: bool = False
    options: dict[str, Any] = field(default_factory=dict)


_GEMMA_TOKENS = ("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<pad>")
_QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_ROOT = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}

FAMILIES = {
    "llama": Family(
        LlamaConfig, tiny.LLAMA_TEMPLATE, tuple(tiny.LLAMA_SPECIALS[1::-1] + tiny.LLAMA_SPECIALS[2:]), "<|eot_id|>",
        bos="<|begin_of_text|>", layout="desta2",
    ),
    "qwen2": Family(
        Qwen2Config, CHATML, _QWEN_TOKENS, "<|im_end|>", layout="desta2", tied=True,
    ),
    "qwen3": Family(
        Qwen3Config, THINKING, _QWEN_TOKENS, "<|im_end|>", tied=True, options={"head_dim": 8},
    ),
    "gemma": Family(
        GemmaConfig, GEMMA, _GEMMA_TOKENS, "<end_of_turn>", bos="<bos>", spaces="kept", system="refused",
        tied=True, options={"head_dim": 8},
    ),
    "gemma2": Family(
        Gemma2Config, GEMMA, _GEMMA_TOKENS, "<end_of_turn>", bos="<bos>", spaces="kept", system="refused",
        tied=True, options=_ROOT,
    ),
    "gemma3": Family(
        Gemma3TextConfig, GEMMA3, _GEMMA_TOKENS, "<end_of_turn>", bos="<bos>", spaces="kept", tied=True,
        options={**_ROOT, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "mistral": Family(
        MistralConfig, MISTRAL, ("</s>", "<s>", "[INST]", "[/INST]"), "</s>", bos="<s>", spaces="prefixed",
        options={"sliding_window": 40},
    ),
    "phi": Family(
        PhiConfig, PLAIN, ("<|endoftext|>",), "<|endoftext|>", layout="desta2",
        options={"hidden_size": 32, "partial_rotary_factor": 0.5},
    ),
    "phi3": Family(
        Phi3Config, PHI3, ("<|endoftext|>", "<s>", "<|user|>", "<|assistant|>", "<|end|>"), "<|end|>", bos="<s>",
        spaces="prefixed", system="left out", options={"sliding_window": 40},
    ),
}  # fmt: skip


def write_family(name: str, folder: Path) -> Path:
    """Save the tiny LLM of a family and its tokenizer as an ordinary model folder."""
    family = FAMILIES[name]
    tokenizer = _tokenizer(family)
    end_of_text, *_ = family.specials
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in (*family.specials, family.bos) if token}
    sizes = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = family.config(
        vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=512,
        tie_word_embeddings=family.tied, bos_token_id=ids.get(family.bos), eos_token_id=ids[end_of_text],
        pad_token_id=ids[end_of_text], **{**sizes, **family.options},
    )  # fmt: skip
    llm = tiny._spread(AutoModelForCausalLM.from_config(config), seed=0)
    ends = sorted({ids[end_of_text], ids[family.end]})
    llm.generation_config = GenerationConfig(
        bos_token_id=ids.get(family.bos), eos_token_id=ends, pad_token_id=ids[end_of_text], do_sample=True
    )
    llm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(family: Family) -> PreTrainedTokenizerFast:
    inner = tiny._train_bpe(320) if family.spaces == "bytes" else _train_pieces(family.spaces == "prefixed")
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in family.specials])
    if family.template == THINKING:  # tokens of their own, yet ordinary text
        inner.add_tokens([AddedToken(token, normalized=False) for token in ("<think>", "</think>")])
    if family.bos:
        inner.post_processor = TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, inner.token_to_id(family.bos))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=family.bos,
        eos_token=family.specials[0],
        pad_token=family.specials[0],
    )
    tokenizer.chat_template = family.template
    return tokenizer


def _train_pieces(prefixed: bool) -> Tokenizer:
    """BPE over characters with ▁ for a space, and bytes for what it does not know, as SentencePiece has it."""
    spaces = normalizers.Replace(" ", "▁")
    inner = Tokenizer(models.BPE())
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefixed else spaces
    inner.train_from_iterator(
        tiny.LINES, trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>"], show_progress=False)
    )
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        + ([decoders.Strip(" ", 1, 0)] if prefixed else [])
    )
    data = json.loads(inner.to_str())
    vocab = data["model"]["vocab"]
    vocab.update({f"<0x{byte:02X}>": len(vocab) + byte for byte in range(256)})
    data["model"].update(byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    return Tokenizer.from_str(json.dumps(data))
