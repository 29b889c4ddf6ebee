import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from desta2.nano.llm import LlmRecipe, answer_loss, make_model
from desta2.nano.packing import SYSTEM, Packer, Sampler
from desta2.nano.tokens import make_tokenizer

TURN = r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>"
ASSISTANT = "<|start_header_id|>assistant<|end_header_id|>\n\n"
TOKENS = 260


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer, LlmRecipe(width=32, layers=3, heads=4, intermediate=32)).eval()


@pytest.fixture(scope="module")
def sampler(tokenizer):
    return Sampler(Packer(tokenizer), seed=0, steps=100, batch=3, tokens=TOKENS)


def ids_of(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def branches(batch, row, tokenizer):
    """(context, [(ids of a branch, its places in the row)]) of one row of a packed batch.

    A context is the system turn and, if there is a clip, its turn; each branch counts positions from its end.
    """
    ids = batch.ids[row].tolist()
    length = len(ids) - ids[::-1].index(tokenizer.eos_token_id)
    user = ids_of(tokenizer, "<|start_header_id|>user<|end_header_id|>")
    shared = next(i for i in range(length) if ids[i : i + len(user)] == user)
    starts = [i for i in range(shared, length) if int(batch.positions[row, i]) == shared]
    places = [list(range(start, end)) for start, end in pairwise([*starts, length])]
    return ids[:shared], [([ids[i] for i in place], place) for place in places]


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
                assert turns[0] == ("system", SYSTEM)
                assert tokenizer.apply_chat_template(messages)["input_ids"] == context + branch
                until = messages[:-1]
                asked = tokenizer.apply_chat_template(until, add_generation_prompt=True)["input_ids"]
                assert asked == (context + branch)[: len(asked)]
                assert tokenizer.decode(asked).endswith(ASSISTANT)
                several += len(turns) > 4
    assert several


def test_branches_give_what_separate_sequences_give(model, sampler, tokenizer):
    batch = sampler.batch_at(70)
    losses, weights, most = [], [], 0
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
                weights += batch.weights[row, places][labels >= 0].tolist()
        loss = answer_loss(model, batch, noise=0.0)
    assert most >= 3
    weighted = sum(loss * weight for loss, weight in zip(losses, weights, strict=True))
    assert float(loss) == pytest.approx(weighted / sum(weights), abs=1e-4)


def test_verdicts_count_five_times(tokenizer):
    packer = Packer(tokenizer)
    row = packer.context("red")
    row.add(*packer.branch([("Is it?", "No, YES or * Yes.\nThere is no red.")]))
    batch = packer.pack([row])
    heavy = batch.labels[(batch.labels >= 0) & (batch.weights == 5)]
    assert [tokenizer.decode([i]) for i in heavy] == ["No", " YES", " Yes", " no"]
    assert set(batch.weights.unique().tolist()) == {1.0, 5.0}


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


def test_the_clips_attributes_are_marked_as_noisy_and_nothing_else(sampler, tokenizer):
    seen = Counter()
    for step in range(40, 70):
        batch = sampler.batch_at(step)
        for row, noisy in enumerate(batch.noisy):
            context, _ = branches(batch, row, tokenizer)
            text = tokenizer.decode(context)
            roles = [role for role, _ in re.findall(TURN, text, re.DOTALL)]
            seen[roles[-1], bool(noisy.any())] += 1
            if not noisy.any():
                assert '" (' not in text
                continue
            assert roles == ["system", "audio"]
            assert int(noisy.diff().sum()) == 2  # one stretch
            assert tokenizer.decode(batch.ids[row][noisy]) == " (" + text.rpartition('" (')[2]
    # No clip but words to repeat, a clip of which only the words are known, and most: one with attributes.
    assert seen["system", False] > 0
    assert 0 < seen["audio", False] < seen["audio", True]
    assert seen["system", True] == 0


def test_marking_the_attributes_does_not_change_the_tokens(sampler, tokenizer):
    """They are tokenised apart from the words, which must give what a whole seed transcript gives."""
    batch = sampler.batch_at(50)
    for row in range(len(batch.ids)):
        context, _ = branches(batch, row, tokenizer)
        assert ids_of(tokenizer, tokenizer.decode(context)) == context


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
            for name in ("ids", "positions", "mask", "labels", "noisy", "weights")
        )

    first = sampler.batch_at(7)
    torch.manual_seed(1)
    sampler.batch_at(8)
    assert same(sampler.batch_at(7), first)
    assert same(replace(sampler, packer=Packer(tokenizer)).batch_at(7), first)
    assert not same(sampler.batch_at(8), first)
    assert not same(replace(sampler, seed=1).batch_at(7), first)


def test_rows_are_filled_and_fit_the_model(sampler, model):
    for step in (0, 50, 99):
        batch = sampler.batch_at(step)
        assert len(batch.ids) == 3
        assert batch.ids.shape[1] >= TOKENS
        assert int(batch.positions.max()) < model.config.max_position_embeddings
        assert bool(batch.mask.any(-1).all())  # a row of the mask without any token would give NaN
