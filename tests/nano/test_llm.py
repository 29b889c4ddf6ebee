import re
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from desta2.data.seed import parse_seed, seed_clip
from desta2.model.prompt import build_prompt, response_ids, seed_messages
from desta2.nano import llm
from desta2.nano.grammar import WORDS
from desta2.nano.language import ASPECT, ASPECTS, DESCRIBE, spoken_value, vocabulary
from desta2.nano.llm import (
    LlmRecipe,
    Sampler,
    answer,
    answer_loss,
    draw_facts,
    exact_match,
    make_model,
    seed_text,
    train_llm,
)
from desta2.nano.loop import LoopRecipe
from desta2.records import Clip

TINY = LlmRecipe(
    width=16, layers=1, heads=2, intermediate=32, batch=3, tokens=260,
    loop=LoopRecipe(steps=3, learning_rate=1e-3, warmup=1, save_seconds=-1.0, log_every=1),
)  # fmt: skip
TURN = r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>"
ASSISTANT = "<|start_header_id|>assistant<|end_header_id|>\n\n"


@pytest.fixture(scope="module")
def tokenizer():
    return llm.make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer, replace(TINY, layers=2)).eval()


@pytest.fixture(scope="module")
def sampler(tokenizer):
    return Sampler(tokenizer, replace(TINY, loop=LoopRecipe(steps=100)))


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def branches(batch, row, tokenizer):
    """(context, [(ids of a branch, its places in the row)]) of one row of a packed batch.

    A context is the system turn and, if there is a clip, its turn; each branch counts positions from its end.
    """
    ids = batch.ids[row].tolist()
    length = len(ids) - ids[::-1].index(tokenizer.eos_token_id)
    heard = batch.heard[row].nonzero()
    shared = (int(heard.max()) if len(heard) else ids.index(tokenizer.eos_token_id)) + 1
    starts = [i for i in range(shared, length) if int(batch.positions[row, i]) == shared]
    places = [list(range(start, end)) for start, end in pairwise([*starts, length])]
    return ids[:shared], [([ids[i] for i in place], place) for place in places]


# Tokenizer


def test_every_word_is_one_token_in_each_of_its_cases(tokenizer):
    templates = {word.lower() for text in vocabulary() for word in re.findall(r"[^\W\d_]+", text)}
    forms = {form for word in {*WORDS, *templates} for form in (word, word.upper())}
    forms |= {word.capitalize() for word in templates}
    forms |= {"American", "Step", "JSON", "SCOTTISH", "echoing", "Caribbean", "TEACHER"}
    broken = [
        space + form
        for form in sorted(forms)
        for space in ("", " ")
        if len(ids_of(tokenizer, space + form)) != 1
    ]
    assert broken == []
    assert len(forms) > 700


def test_the_tokenizer_is_the_same_whenever_it_is_made(tokenizer):
    assert llm.make_tokenizer().backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=200)
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(ids_of(tokenizer, text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "a . b , c ! don't",
        "  two  spaces \n\n\n x ",
        "<|eot_id|> x <|begin_of_text|>",
        "",
        "日本語 \U0001f98a é",
    ],
)
def test_nothing_is_tidied_up(tokenizer, text):
    assert tokenizer.decode(ids_of(tokenizer, text)) == text


# Prompts


def test_the_chat_template_is_what_training_concatenates(tokenizer, sampler):
    several = 0
    for step in range(20, 100, 10):
        batch = sampler.batch_at(step)
        for row in range(len(batch.ids)):
            context, found = branches(batch, row, tokenizer)
            for branch, _ in found:
                turns = re.findall(TURN, tokenizer.decode(context + branch), re.DOTALL)
                messages = [{"role": role, "content": said} for role, said in turns]
                assert [role for role, _ in turns[-2:]] == ["user", "assistant"]
                assert turns[0] == ("system", llm.SYSTEM)
                assert tokenizer.apply_chat_template(messages)["input_ids"] == context + branch
                until = messages[:-1]
                asked = tokenizer.apply_chat_template(until, add_generation_prompt=True)["input_ids"]
                assert asked == (context + branch)[: len(asked)]
                assert tokenizer.decode(asked).endswith(ASSISTANT)
                several += len(turns) > 4
    assert several


def test_self_generation_asks_as_training_did(tokenizer):
    """The prompt of `desta2 respond` is the template's, token for token; so are an answer and its end."""
    style = SimpleNamespace(layout="desta2", system_prompt=llm.SYSTEM, n_queries=0)
    for i in range(40):
        rng = Random(i)
        seed = seed_text(draw_facts(rng, 1.0), rng)
        turns = (("system", llm.SYSTEM), ("audio", seed), ("user", DESCRIBE))
        messages = [{"role": role, "content": content} for role, content in turns]
        trained = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        assert build_prompt(seed_messages(seed, DESCRIBE), tokenizer, style).input_ids == trained
    said = 'The speaker says "red".'
    assert response_ids(said, tokenizer) == [*ids_of(tokenizer, said), tokenizer.eos_token_id]


# Facts and seeds


@given(st.integers(), st.floats(0.4, 1.0))
@settings(max_examples=60)
def test_seeds_give_the_facts_away_and_nothing_else(seed, progress):
    rng = Random(seed)
    facts = draw_facts(rng, progress)
    (turn,) = parse_seed(seed_text(facts, rng))
    assert turn.text == facts.text
    values = {
        ASPECTS[[a.label for a in ASPECTS].index(name)].key: word for name, word in turn.attributes.items()
    }
    assert {key: spoken_value(key, word) for key, word in values.items()} == dict(facts.values)


def test_seeds_are_written_as_the_seed_stage_writes_them():
    """With every attribute known, for clips a little shorter or longer than whole seconds."""
    for i in range(30):
        rng = Random(i)
        facts = draw_facts(rng, 1.0)
        values = {aspect.key: facts.values.get(aspect.key, aspect.options[0]) for aspect in ASPECTS}
        seconds = int(values.pop("duration").split()[0])
        attributes = {key: value[0].upper() + value[1:] for key, value in values.items()}
        whole = {**values, "duration": f"{seconds} second{'s' * (seconds > 1)}"}
        written = {seed_text(llm.Facts(facts.text, whole), Random(j)) for j in range(20)}
        stage = {
            seed_clip(
                Clip(id="a", audio="a.wav", duration=duration, text=facts.text, attributes=attributes)
            ).seed
            for duration in (seconds - 0.3, seconds + 0.3)
        }
        assert written == stage


def test_seeds_grow_over_the_first_two_fifths():
    def drawn(progress):
        facts = [draw_facts(Random(i), progress) for i in range(300)]
        return max(len(f.text.split()) for f in facts), sum(len(f.values) for f in facts) / len(facts)

    words, attributes = zip(*(drawn(progress) for progress in (0.0, 0.1, 0.2, 0.3, 0.4)), strict=True)
    assert words[0] == 1
    assert words[-1] == 9
    assert list(words) == sorted(words)
    assert list(attributes) == sorted(attributes)
    assert attributes[0] <= 1.1
    assert drawn(1.0) == (9, attributes[-1])
    assert max(len(draw_facts(Random(i), 0.4).values) for i in range(50)) == len(ASPECTS)


# Packed batches


def test_branches_give_what_separate_sequences_give(model, sampler, tokenizer):
    batch = sampler.batch_at(70)
    losses, most = [], 0
    with torch.no_grad():
        embeds = model.get_input_embeddings()(batch.ids)
        hidden = model.model(inputs_embeds=embeds, attention_mask=batch.mask, position_ids=batch.positions)
        packed = model.lm_head(hidden.last_hidden_state)
        for row in range(len(batch.ids)):
            context, found = branches(batch, row, tokenizer)
            most = max(most, len(found))
            for ids, places in found:
                alone = model(torch.tensor([context + ids])).logits[0, len(context) :]
                torch.testing.assert_close(packed[row, places], alone, atol=1e-4, rtol=0)
                labels = batch.labels[row, places]
                losses += F.cross_entropy(alone[labels >= 0], labels[labels >= 0], reduction="none").tolist()
        loss = answer_loss(model, batch, noise=0.0)
    assert most >= 3
    assert float(loss) == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def test_labels_are_the_answers_and_their_ends(sampler, tokenizer):
    several = 0
    for step in range(30, 60, 3):
        batch = sampler.batch_at(step)
        counted = 0
        for row in range(len(batch.ids)):
            for ids, places in branches(batch, row, tokenizer)[1]:
                labels = batch.labels[row, places]
                wanted = labels >= 0
                assert torch.equal(labels[wanted], batch.ids[row, torch.tensor(places)[wanted] + 1])
                text = tokenizer.decode(ids)
                answers = re.findall(re.escape(ASSISTANT) + r"(.*?<\|eot_id\|>)", text, re.DOTALL)
                several += len(answers) > 1
                assert tokenizer.decode(labels[wanted]) == "".join(answers)
                counted += int(wanted.sum())
        assert counted == int((batch.labels >= 0).sum())  # none elsewhere: context, padding
    assert several


def test_the_clips_turn_is_marked_and_nothing_else(sampler, tokenizer):
    without = 0
    for step in range(40, 60):
        batch = sampler.batch_at(step)
        for row, heard in enumerate(batch.heard):
            context, _ = branches(batch, row, tokenizer)
            roles = [role for role, _ in re.findall(TURN, tokenizer.decode(context), re.DOTALL)]
            if not heard.any():
                assert roles == ["system"]
                without += 1
                continue
            assert roles == ["system", "audio"]
            assert int(heard.diff().sum()) == 2  # one stretch
            text = tokenizer.decode(batch.ids[row][heard])
            assert text.startswith("<|start_header_id|>audio<|end_header_id|>\n\n")
            assert text.endswith("<|eot_id|>")
            assert text.count("<|eot_id|>") == 1
    assert 0 < without < 30  # some have no clip, only words to repeat


def test_noise_changes_some_contexts_and_the_loss(model, sampler):
    batch = sampler.batch_at(50)
    torch.manual_seed(0)
    with torch.no_grad():
        exact = {round(float(answer_loss(model, batch, noise=0.0)), 6) for _ in range(2)}
        noisy = {round(float(answer_loss(model, batch, noise=1.0)), 6) for _ in range(4)}
    assert len(exact) == 1
    assert len(noisy) > 1


def test_a_batch_is_a_function_of_seed_and_step(tokenizer, sampler):
    def same(one, two):
        return one.ids.shape == two.ids.shape and all(
            torch.equal(getattr(one, name), getattr(two, name))
            for name in ("ids", "positions", "mask", "labels", "heard")
        )

    first = sampler.batch_at(7)
    torch.manual_seed(1)
    sampler.batch_at(8)
    assert same(sampler.batch_at(7), first)
    assert same(Sampler(tokenizer, sampler.recipe).batch_at(7), first)
    assert not same(sampler.batch_at(8), first)
    assert not same(Sampler(tokenizer, replace(sampler.recipe, seed=1)).batch_at(7), first)


def test_rows_are_filled_and_fit_the_model(sampler, model):
    for step in (0, 50, 99):
        batch = sampler.batch_at(step)
        assert len(batch.ids) == TINY.batch
        assert batch.ids.shape[1] >= TINY.tokens
        assert int(batch.positions.max()) < model.config.max_position_embeddings
        assert bool(batch.mask.any(-1).all())  # a row of the mask without any token would give NaN


def test_all_kinds_of_questions_come_and_formats_after_a_tenth():
    early = [llm.draw_exchange(draw_facts(Random(i), 0.05), Random(i), 0.05) for i in range(400)]
    late = [llm.draw_exchange(draw_facts(Random(i), 1.0), Random(i), 1.0) for i in range(400)]
    assert not [question for question, _ in early if "JSON" in question or "capital letters" in question]
    assert [question for question, _ in late if "JSON" in question]
    kinds = Counter(
        kind
        for question, _ in late
        for kind in (DESCRIBE, "step by step", "How many words", "Would you say", "Tell me the gender")
        if kind in question
    )
    assert len(kinds) == 5


# Training


def test_exact_match_tells_right_from_wrong(monkeypatch, tokenizer, model):
    """With answers looked up instead of generated: all right, then those to two questions wrong."""
    truth = []
    combine = llm.combine

    def noted(exchange, fmt, facts, rng):
        instruction, expected = combine(exchange, fmt, facts, rng)
        truth.append((expected, exchange.kind))
        return instruction, expected

    def oracle(model, tokenizer, prompts, wrong=()):
        assert [message["role"] for message in prompts[0]] == ["system", "audio", "user"]
        known, truth[:] = truth[: len(prompts)], truth[len(prompts) :]
        return ["?" if kind in wrong else f" {expected}\n" for expected, kind in known]

    monkeypatch.setattr(llm, "combine", noted)
    monkeypatch.setattr(llm, "answer", oracle)
    scores = exact_match(model, tokenizer, n=60, seed=3)
    assert {"attribute", "two", "yes-no", "transcribe"} <= set(scores)
    assert set(scores.values()) == {1.0}
    monkeypatch.setattr(llm, "answer", partial(oracle, wrong=("two",)))
    assert exact_match(model, tokenizer, n=60, seed=3) == scores | {"two": 0.0}


def test_answers_do_not_depend_on_their_batch(model, tokenizer):
    seeds = (
        '[00:00:00 - 00:00:01] "red"',
        '[00:00:00 - 00:00:04] "the old fox slept" (Pitch: Low, Gender: Male)',
    )
    turns = [(("system", llm.SYSTEM), ("audio", seed), ("user", "What do you hear?")) for seed in seeds]
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
    assert loaded.config.hidden_size == 16
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


def test_the_shipped_recipe_asks_for_every_attribute_in_many_wordings():
    assert all(len(ASPECT[key].questions) >= 5 for key in ASPECT)
