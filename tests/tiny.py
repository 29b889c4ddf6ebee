"""Tiny frozen models with random weights, saved as ordinary folders, made once per session."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a hub id in a test must fail at once

import numpy as np
import pytest
import soundfile
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
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

from desta2.model import Desta2Model
from desta2.model.memory import Memory

SMALL_ADAPTER = {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32}
LINES = [
    "What can you hear from the audio? Describe the speaker and the words.",
    "The quick brown fox says hello. Is the voice loud or quiet? Answer in capitals.",
    "A calm woman is speaking. You are a helpful assistant. Focus on the audio clips and instructions.",
]
LLAMA_SPECIALS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
LLAMA_TEMPLATE = (
    "{% for message in messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' %}"
    "{% set content = content + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
WHISPER_SPECIALS = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def _train_bpe(vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def make_llm_tokenizer():
    tokenizer = _train_bpe(320)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in LLAMA_SPECIALS]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"
    )
    fast.chat_template = LLAMA_TEMPLATE
    return fast


def _spread(model, seed):
    """Weights large enough that layers, clips and positions make a visible difference."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if parameter.dim() == 1 else 0.3 * noise)
    return model


def write_llm(folder, seed=0, tie=False):
    tokenizer = make_llm_tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in LLAMA_SPECIALS}
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=24, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=tie,
        bos_token_id=ids["<|begin_of_text|>"], eos_token_id=ids["<|eot_id|>"],
    )  # fmt: skip
    llm = _spread(LlamaForCausalLM(config), seed)
    llm.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=[ids["<|end_of_text|>"], ids["<|eot_id|>"]],
        do_sample=True, temperature=0.6, top_p=0.9,
    )  # fmt: skip
    llm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_whisper(folder, seed=1):
    bpe = _train_bpe(300)
    bpe.save(str(folder.with_suffix(".json")))
    data = json.loads(folder.with_suffix(".json").read_text())["model"]
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in data["merges"]
    ]
    tokenizer = WhisperTokenizer(vocab=data["vocab"], merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": WHISPER_SPECIALS})
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in WHISPER_SPECIALS}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=20, d_model=16, encoder_layers=4, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_source_positions=50, max_target_positions=40,
        pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=start, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    whisper = _spread(WhisperForConditionalGeneration(config), seed)
    decoder = whisper.get_decoder()
    with torch.no_grad():
        # The head is tied: at full size every token would repeat itself.
        decoder.embed_tokens.weight.mul_(0.05)
        for layer in decoder.layers:  # sharp, strong looks at the clip, so that clips differ
            layer.encoder_attn.q_proj.weight.mul_(10)
            layer.encoder_attn.out_proj.weight.mul_(5)
    whisper.generation_config = GenerationConfig(
        pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"], suppress_tokens=sorted(ids.values())[1:],
    )  # fmt: skip
    whisper.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, hop_length=320, chunk_length=2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Folder that holds `llm/` and `whisper/`."""
    folder = tmp_path_factory.mktemp("bases")
    write_llm(folder / "llm")
    write_whisper(folder / "whisper")
    return folder


SMALL = {"n_queries": 3, "adapter_layers": 2, "adapter_intermediate": 32, "max_transcript_tokens": 8}


@pytest.fixture(scope="session")
def make_model():
    """`make_model(bases, **config)`: a fresh model of its own."""

    def make(bases, **config):
        torch.manual_seed(0)
        return Desta2Model.from_bases(str(bases / "llm"), str(bases / "whisper"), **{**SMALL, **config})

    return make


@pytest.fixture(scope="session")
def save_llm():
    """`save_llm(folder, seed=0, tie=False)`: write a tiny LLM and return its folder."""
    return write_llm


@pytest.fixture(scope="session")
def model(bases, make_model):
    """A model to read from; a test that changes one makes its own."""
    return make_model(bases)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Two different wav files of about a second."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = []
    for i, seconds in enumerate((1.0, 0.7)):
        t = np.arange(int(16000 * seconds)) / 16000
        wave = 0.3 * np.sin(2 * np.pi * (200 + 300 * i) * t) + 0.02 * rng.standard_normal(len(t))
        paths.append(str(folder / f"clip{i}.wav"))
        soundfile.write(paths[-1], wave.astype("float32"), 16000)
    return paths


@pytest.fixture(scope="session")
def tokenizer():
    return make_llm_tokenizer()


@pytest.fixture(scope="session")
def ending_llm(tmp_path_factory):
    """Folder of a tiny LLM that ends its answers after some 15 tokens: many of its tokens are ends."""
    folder = write_llm(tmp_path_factory.mktemp("ending") / "llm")
    path = folder / "generation_config.json"
    config = json.loads(path.read_text())
    config["eos_token_id"] += list(range(200, 220))
    path.write_text(json.dumps(config))
    return folder


@pytest.fixture
def passes(model):
    """Sizes of the encoder passes that `model` makes, which remembers no clip at the start."""
    seen = []
    model.memory.clear()
    hook = model.whisper.get_encoder().conv1.register_forward_hook(
        lambda _, inputs, __: seen.append(len(inputs[0]))
    )
    yield seen
    hook.remove()
    model.memory.clear()


@pytest.fixture
def forgetful(model, monkeypatch):
    """`model` without memory: what it answers alone owes nothing to what it heard in a batch."""
    monkeypatch.setattr(model, "memory", Memory(0))
    return model
