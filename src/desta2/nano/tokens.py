"""The nano LLM's tokenizer: each word of the nano world is one token, in each of its cases.

The trade-off: a vocabulary of some thousands for a few hundred words, most of it the same words in other
cases; in exchange nothing is spelled, and a word in capitals is as easy to write as the word (see `initial`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from desta2.nano.grammar import WORDS
from desta2.nano.language import vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# Words apart from what stands before them, digits in threes: the pattern of Llama 3's tokenizer, but for the
# space before a number, which belongs to it as to a word.
_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+| ?\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, with a Llama-3-style chat template; the same whenever it is made."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(r"[^\p{L}]+"), behavior="removed")
    spoken = set(WORDS)
    templates = {word.lower() for text in vocabulary() for word, _ in split.pre_tokenize_str(text)}
    forms = [
        f"{space}{word}" for w in sorted(spoken | templates) for word in (w, w.upper()) for space in ("", " ")
    ]
    forms += [f"{space}{word.capitalize()}" for word in sorted(templates) for space in ("", " ")]
    forms += [f"{space}{number}" for number in range(61) for space in ("", " ")]
    forms += [f"{space}{number:02d}" for number in range(10) for space in ("", " ")]
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
