"""Models with random weights at given sizes, saved as ordinary folders.

Neither model ever ends by itself, so that every answer has its full length; the tokenizers know words that
are numbers, one token each, so that a transcript of 24 Whisper tokens is one of 24 LLM tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from desta2 import Desta2Model

TRANSCRIPT_TOKENS = 24
WHISPER_VOCABULARY, LLM_VOCABULARY = 51865, 32000
WHISPER_SPECIALS = (
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
)  # fmt: skip
LLM_SPECIALS = ("<unk>", "<end>", "<system>", "<user>", "<assistant>", "<audio>")
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} <end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass(frozen=True)
class Size:
    """Dimensions of a Whisper and an LLM."""

    whisper_width: int
    whisper_layers: int
    whisper_heads: int
    llm_width: int = 576
    llm_layers: int = 12
    llm_ffn: int = 1536
    llm_heads: int = 9
    llm_kv_heads: int = 3
    llm_vocabulary: int = LLM_VOCABULARY


SIZES = {
    "small": Size(768, 12, 12),
    "tiny": Size(384, 4, 6),
    # Of Whisper-small and Llama-3-8B, for training on a GPU.
    "llama3-8b": Size(
        768,
        12,
        12,
        llm_width=4096,
        llm_layers=32,
        llm_ffn=14336,
        llm_heads=32,
        llm_kv_heads=8,
        llm_vocabulary=128256,
    ),
    "smoke": Size(16, 2, 2, llm_width=36, llm_layers=2, llm_ffn=64),  # to test the benchmark itself
}


def whisper_config(size: Size, **ids: int) -> WhisperConfig:
    """Of a Whisper; `ids` are those of its special tokens."""
    return WhisperConfig(
        vocab_size=WHISPER_VOCABULARY, d_model=size.whisper_width,
        encoder_layers=size.whisper_layers, decoder_layers=size.whisper_layers,
        encoder_attention_heads=size.whisper_heads, decoder_attention_heads=size.whisper_heads,
        encoder_ffn_dim=4 * size.whisper_width, decoder_ffn_dim=4 * size.whisper_width,
        suppress_tokens=None, begin_suppress_tokens=None, **ids,
    )  # fmt: skip


def llm_config(size: Size, **ids: int | None) -> LlamaConfig:
    """Of an LLM, likewise."""
    return LlamaConfig(
        vocab_size=size.llm_vocabulary, hidden_size=size.llm_width, intermediate_size=size.llm_ffn,
        num_hidden_layers=size.llm_layers, num_attention_heads=size.llm_heads,
        num_key_value_heads=size.llm_kv_heads, max_position_embeddings=2048, **ids,
    )  # fmt: skip


def build(folder: Path, size: Size, adapters: dict[str, int]) -> None:
    """Write `llm`, `whisper`, and a model folder for each name in `adapters` with so many Q-Former layers."""
    torch.manual_seed(0)
    _write_whisper(folder / "whisper", size)
    _write_llm(folder / "llm", size)
    for name, layers in adapters.items():
        model = Desta2Model.from_bases(
            str(folder / "llm"),
            str(folder / "whisper"),
            n_queries=64,
            adapter_layers=layers,
            max_transcript_tokens=TRANSCRIPT_TOKENS,
            layout="desta2",
        )
        model.save_pretrained(folder / name)


def _write_whisper(folder: Path, size: Size) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    n_words = WHISPER_VOCABULARY - len(letters) - len(WHISPER_SPECIALS)
    words = [*letters, *(f"Ġ{i}" for i in range(n_words))]
    tokenizer = WhisperTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(WHISPER_SPECIALS)})
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in WHISPER_SPECIALS}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    ends = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    whisper = WhisperForConditionalGeneration(whisper_config(size, **ends))
    # Never a letter or a special token: words only, to the last.
    never = [*range(len(letters)), *ids.values()]
    whisper.generation_config = GenerationConfig(
        is_multilingual=True, suppress_tokens=never, no_timestamps_token_id=ids["<|notimestamps|>"],
        lang_to_id={"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]}, **ends,
    )  # fmt: skip
    whisper.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)


def _write_llm(folder: Path, size: Size) -> None:
    words = [*LLM_SPECIALS, *map(str, range(LLM_VOCABULARY - len(LLM_SPECIALS)))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in LLM_SPECIALS])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>")
    fast.chat_template = TEMPLATE
    end = words.index("<end>")
    llm = LlamaForCausalLM(llm_config(size, bos_token_id=None, eos_token_id=end))
    llm.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end, suppress_tokens=[end])
    llm.save_pretrained(folder)
    fast.save_pretrained(folder)
