from random import Random

import pytest
import torch

from desta2.nano.grammar import WORDS
from desta2.nano.initial import _FORMS, turn_rates, word_vectors
from desta2.nano.llm import LlmRecipe, make_model
from desta2.nano.tokens import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_model(tokenizer, LlmRecipe(layers=3)).eval()


def id_of(tokenizer, word):
    (index,) = tokenizer.encode(word, add_special_tokens=False)
    return index


def test_the_first_heads_look_one_and_two_tokens_back(model):
    ids = torch.randint(100, 2_000, (1, 200), generator=torch.Generator().manual_seed(0))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        seen = model(ids, output_attentions=True).attentions[0][0]  # (heads, to, from)
    model.set_attn_implementation("sdpa")
    for head in (0, 1):
        assert float(seen[head].diagonal(-1 - head).min()) > 0.9
    assert float(seen[2].diagonal(-1).mean()) < 0.1


def test_what_was_said_before_is_said_again_before_any_training(model, tokenizer):
    """Words that occur twice with other neighbours included: pairs tell them apart."""
    right = total = 0
    for i in range(10):
        said = Random(i).sample(WORDS, 9)
        said[5] = said[1]
        text = " ".join(said)
        ids = tokenizer.encode(f' "{text}" ( Step Answer ) "{text}"', add_special_tokens=False)
        with torch.no_grad():
            likeliest = model(torch.tensor([ids])).logits[0].argmax(-1)
        second = range(len(ids) - 9, len(ids) - 1)
        right += sum(int(likeliest[place]) == ids[place + 1] for place in second)
        total += len(second)
    assert right / total > 0.75


def test_forms_of_a_word_are_near_each_other_and_other_words_are_not(tokenizer):
    vectors = word_vectors(tokenizer, 80, torch.Generator().manual_seed(0))

    def nearness(one, two):
        pair = vectors[[id_of(tokenizer, one), id_of(tokenizer, two)]]
        return float(torch.cosine_similarity(pair[0], pair[1], dim=0))

    assert nearness("female", " FEMALE") > 0.5
    assert nearness("Scottish", " Scottish") > 0.7
    assert max(nearness(WORDS[i], WORDS[i + 1]) for i in range(0, 100, 2)) < 0.75
    assert sum(nearness(WORDS[i], WORDS[i + 1]) for i in range(0, 100, 2)) / 50 < 0.5
    meanings = vectors[[id_of(tokenizer, form) for form in ("female", " Female", " FEMALE")], :-_FORMS]
    assert torch.equal(meanings[0], meanings[1])
    assert torch.equal(meanings[0], meanings[2])


def test_pairs_turn_as_the_models_positions_do(model):
    torch.testing.assert_close(turn_rates(40, 1e5), model.model.rotary_emb.inv_freq)


def test_the_same_seed_gives_the_same_weights_and_another_others(tokenizer):
    size = LlmRecipe(width=32, layers=3, heads=4, intermediate=32)
    one, two = make_model(tokenizer, size).state_dict(), make_model(tokenizer, size).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = make_model(
        tokenizer, LlmRecipe(seed=1, width=32, layers=3, heads=4, intermediate=32)
    ).state_dict()
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
