import re
from functools import partial
from random import Random
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from desta2.model.prompt import build_prompt, response_ids, seed_messages
from desta2.nano import llm
from desta2.nano.exam import exact_match
from desta2.nano.lessons import draw_facts, seed_text
from desta2.nano.llm import LlmRecipe, answer, make_model, train_llm
from desta2.nano.loop import LoopRecipe
from desta2.nano.packing import SYSTEM, Sampler
from desta2.nano.tokens import make_tokenizer
from desta2.nano.wordings import DESCRIBE

TINY = LlmRecipe(
    width=32, layers=3, heads=4, intermediate=32, batch=3, tokens=260,
    loop=LoopRecipe(steps=3, learning_rate=1e-3, warmup=1, save_seconds=-1.0, log_every=1),
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer, TINY).eval()


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_self_generation_asks_as_training_did(tokenizer):
    """The prompt of `desta2 respond` is the template's, token for token; so are an answer and its end."""
    style = SimpleNamespace(layout="desta2", system_prompt=SYSTEM, n_queries=0)
    for i in range(40):
        rng = Random(i)
        seed = seed_text(draw_facts(rng, 1.0), rng)
        turns = (("system", SYSTEM), ("audio", seed), ("user", DESCRIBE))
        messages = [{"role": role, "content": content} for role, content in turns]
        trained = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert build_prompt(seed_messages(seed, DESCRIBE), tokenizer, style).input_ids == trained
    said = 'The speaker says "red".'
    assert response_ids(said, tokenizer) == [*ids_of(tokenizer, said), tokenizer.eos_token_id]


def test_answers_do_not_depend_on_their_batch(model, tokenizer):
    seeds = (
        '[00:00:00 - 00:00:01] "red"',
        '[00:00:00 - 00:00:04] "the old fox slept" (Pitch: Low, Gender: Male)',
    )
    turns = [(("system", SYSTEM), ("audio", seed), ("user", "What do you hear?")) for seed in seeds]
    prompts = [[{"role": role, "content": content} for role, content in turn] for turn in turns]
    model.generation_config.max_new_tokens = 12
    together = answer(model, tokenizer, prompts)
    assert together == [answer(model, tokenizer, [prompt])[0] for prompt in prompts]
    assert not any("<|" in text for text in together)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(llm, "exact_match", partial(exact_match, n=2))


def test_a_trained_llm_is_an_ordinary_folder(tmp_path, tokenizer, quick):
    train_llm(tmp_path, TINY)
    folder = tmp_path / "model"
    loaded, words = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert type(loaded).__name__ == "LlamaForCausalLM"
    assert loaded.dtype == torch.float16
    assert loaded.config.hidden_size == 32
    assert loaded.generation_config.eos_token_id == words.convert_tokens_to_ids("<|eot_id|>")
    assert words.chat_template == tokenizer.chat_template
    text = 'What can you hear? The PITCH is "low".\n\n* x  é <|eot_id|>'
    assert ids_of(words, text) == ids_of(tokenizer, text)
    assert words.decode(ids_of(words, text)) == text
    messages = [{"role": "audio", "content": "red"}, {"role": "user", "content": "hi"}]
    assert words.apply_chat_template(messages, add_generation_prompt=True) == tokenizer.apply_chat_template(
        messages, add_generation_prompt=True
    )
    start = make_model(tokenizer, TINY).state_dict()
    weight = "model.layers.0.mlp.up_proj.weight"
    assert not torch.allclose(loaded.state_dict()[weight].float(), start[weight], atol=1e-4)
    steps = re.findall(r'"step": (\d+), "loss"', (tmp_path / "work" / "log.jsonl").read_text())
    assert steps == ["1", "2", "3"]


def test_a_stopped_training_continues_to_the_same_weights(tmp_path, monkeypatch, quick):
    batch_at = Sampler.batch_at

    def stop(self, step):
        if step == 2:
            raise KeyboardInterrupt
        return batch_at(self, step)

    train_llm(tmp_path / "whole", TINY)
    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "batch_at", stop)
        with pytest.raises(KeyboardInterrupt):
            train_llm(tmp_path / "stopped", TINY)
    assert not (tmp_path / "stopped" / "model").exists()
    torch.manual_seed(77)
    train_llm(tmp_path / "stopped", TINY)
    one, two = (
        (tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "stopped")
    )
    assert one == two
