"""The tiny frozen models of tests/model, and pairs of clips to train on."""

import json

import numpy as np
import pytest
import soundfile
from tiny import SMALL_ADAPTER
from transformers import LlamaConfig, WhisperConfig

from desta2.train.cache import TapCache
from desta2.train.clipkeys import ClipKeys
from desta2.train.config import DataConfig, TrainConfig
from desta2.train.ears import Ears
from desta2.train.pairset import find_pairs
from desta2.train.words import WordStore

PROMPT = "What can you hear?"
VOICES = ("loud", "quiet")


@pytest.fixture(scope="session")
def write_clip():
    """`write_clip(path, seed, seconds=0.6)`: a noisy tone, another one for each seed."""

    def write(path, seed, seconds=0.6):
        rng = np.random.default_rng(seed)
        t = np.arange(int(16000 * seconds)) / 16000
        wave = (0.1 + 0.3 * (seed % 2)) * np.sin(2 * np.pi * (150 + 110 * seed) * t)
        soundfile.write(path, (wave + 0.01 * rng.standard_normal(len(t))).astype("float32"), 16000)

    return write


@pytest.fixture(scope="session")
def make_pair():
    """`make_pair(id, *audios, response=…)`: what a line of pairs holds; an audio is a path or an entry of `audios`."""

    def make(name, *audios, response="The voice is loud."):
        entries = [{"audio": entry, "text": "fox"} if isinstance(entry, str) else entry for entry in audios]
        content = "<|AUDIO|>" * len(entries) + f"\n{PROMPT}"
        return {
            "id": name,
            "messages": [{"role": "user", "content": content, "audios": entries}],
            "response": response,
            "seed": "-",
            "provenance": {"llm": "tiny", "prompt": PROMPT},
        }

    return make


@pytest.fixture(scope="session")
def write_pairs():
    """`write_pairs(file, pairs)`."""

    def write(file, pairs):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
        return file

    return write


@pytest.fixture(scope="session")
def pairs(tmp_path_factory, write_clip, make_pair, write_pairs):
    """A folder of eight pairs; two have no transcript, and what is answered follows from the clip."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "audio").mkdir()
    rows = []
    for i in range(8):
        write_clip(folder / "audio" / f"{i}.wav", i)
        entry = {"audio": f"../audio/{i}.wav", "text": "fox" if i < 6 else None}
        rows.append(make_pair(f"p{i}", entry, response=f"The voice is {VOICES[i % 2]}."))
    return write_pairs(folder / "pairs" / "part-00000.jsonl", rows).parent


@pytest.fixture(scope="session")
def make_config(bases, pairs):
    """`config(output, model={…}, data={…}, **run)`: a run of ten steps, three to an epoch."""

    def make(output, model=None, data=None, **run):
        small = {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32, "standardise_taps": True}
        return TrainConfig.model_validate(
            {
                "model": {"llm": str(bases / "llm"), "encoder": str(bases / "whisper"), **small, **(model or {})},
                "data": {"train": [pairs], "cache_taps": True, **(data or {})},
                "run": {
                    "output": output, "max_steps": 10, "batch_size": 3, "learning_rate": 3e-3,
                    "log_steps": 1, "save_steps": 4, "report_to": [], **run,
                },
            }
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def make_ears():
    """`make_ears(model, folder, cached=True, dtype="float16", limit_gb=1.0)`: ears with stores in a folder."""

    def make(model, folder, cached=True, dtype="float16", limit_gb=1.0):
        keys = ClipKeys()
        cache = TapCache(folder, model.config, keys, dtype, limit_gb) if cached else None
        return Ears(model.processor, keys, WordStore(folder, model.config, keys), cache)

    return make


@pytest.fixture
def config(make_config, tmp_path):
    """`make_config` with outputs in a folder of the test's own."""
    return lambda output="out", **options: make_config(tmp_path / output, **options)


@pytest.fixture(scope="session")
def whole(make_config, tmp_path_factory):
    """Output folder of a run that nothing disturbed."""
    from desta2.train.trainer import train

    return train(make_config(tmp_path_factory.mktemp("whole") / "out")).parent


@pytest.fixture
def built(monkeypatch):
    """The models that training builds."""
    from desta2.train import trainer

    models, build = [], trainer.build_model
    monkeypatch.setattr(trainer, "build_model", lambda config: models.append(build(config)) or models[-1])
    return models


@pytest.fixture
def found(tmp_path):
    """`found(*train, **data)`: the pairs of some files."""
    return lambda *train, **data: find_pairs(DataConfig(train=train, **data), tmp_path / "unpacked")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """Folders with nothing but the `config.json` of models that the recipes name."""
    folder = tmp_path_factory.mktemp("shapes")
    llama = {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192, "dtype": "bfloat16",
    }  # fmt: skip
    LlamaConfig(**llama).save_pretrained(folder / "llama")
    for name, width, layers, heads, bins in (("small", 768, 12, 12, 80), ("large", 1280, 32, 20, 128)):
        WhisperConfig(
            d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
            decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
            num_mel_bins=bins, vocab_size=51865,
        ).save_pretrained(folder / name)  # fmt: skip
    return folder


@pytest.fixture
def plain(bases, pairs, tmp_path):
    """`plain(model={…}, data={…}, **run)`: a run on the tiny models, with defaults."""

    def make(model=None, data=None, **run):
        return TrainConfig.model_validate(
            {
                "model": {"llm": str(bases / "llm"), "encoder": str(bases / "whisper"), **SMALL_ADAPTER, **(model or {})},
                "data": {"train": [pairs], **(data or {})},
                "run": {"output": tmp_path / "out", "batch_size": 3, **run},
            }
        )  # fmt: skip

    return make
