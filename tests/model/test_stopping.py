"""Where answers end: end tokens, the template's end of turn, and texts that the user names."""

import copy
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError
from desta2.model import stopping
from desta2.model.stopping import StopTexts, before_stop, end_ids, until_end

GREEDY = {"max_new_tokens": 10, "do_sample": False}
MESSAGES = [{"role": "user", "content": "What can you hear from the audio?"}]


def llm_with(ends):
    return SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=ends))


def test_the_end_of_turn_is_found_in_the_template(tokenizer):
    end, turn = (tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("end_of_text", "eot_id"))
    assert end_ids(llm_with([end]), tokenizer) == [end, turn]
    assert end_ids(llm_with(end), tokenizer) == [end, turn]
    assert end_ids(llm_with([turn, end]), tokenizer) == [turn, end], "as the LLM lists them"
    assert end_ids(llm_with(None), tokenizer) == [turn]


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end_of_text|>\n{% endfor %}",
            "<|end_of_text|>",
        ),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "<|eot_id|>"),  # the end token
        ("{{ bos_token }}{{ messages[0].content }}", "<|eot_id|>"),  # the answer is not written at all
    ],
)
def test_any_template(tokenizer, template, ends):
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    assert end_ids(llm_with(None), other) == [tokenizer.convert_tokens_to_ids(ends)]


def test_a_template_without_any_end_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ messages[0].content }}"
    other.eos_token = None
    with pytest.raises(
        InputError, match="neither the LLM's chat template nor its tokenizer has a token that"
    ):
        end_ids(llm_with(None), other)


def test_chat_ends_at_an_end_of_turn_that_the_generation_config_does_not_list(model, monkeypatch):
    free = model.chat(MESSAGES, **GREEDY).token_ids
    turn = free[4]
    monkeypatch.setattr(stopping, "end_of_turn_id", lambda _: turn)
    assert model.chat(MESSAGES, **GREEDY).token_ids == free[: free.index(turn) + 1]


def test_until_end():
    assert until_end([1, 2, 3, 2], [2, 9]) == [1, 2]
    assert until_end([1, 3], [2]) == [1, 3]
    assert until_end([], [2]) == []


@given(st.text("ab", max_size=8), st.lists(st.text("ab", min_size=1, max_size=3), max_size=3))
def test_text_before_a_stop(text, stops):
    cut = before_stop(text, stops)
    assert text.startswith(cut)
    assert not any(stop in cut for stop in stops)
    assert cut == text or any(text[len(cut) :].startswith(stop) for stop in stops)


def test_a_stop_text_is_found_across_tokens_and_within_one():
    words = ["one ", "tw", "o th", "ree"]
    criterion = StopTexts(["two"], lambda ids: "".join(words[i] for i in ids), n_prompt=1)
    prompt = [3]
    for length, done in ((1, False), (2, False), (3, True), (4, True)):
        row = torch.tensor([[*prompt, *range(length)]])
        assert criterion(row, None).tolist() == [done]
    assert criterion.lengths == {0: 3}


def test_a_stop_text_in_the_prompt_is_no_stop(model):
    free = model.chat(MESSAGES, **GREEDY)
    assert model.chat(MESSAGES, stop=["What can you hear"], **GREEDY) == free


@pytest.mark.parametrize("length", [1, 2, 3])
def test_an_answer_ends_before_its_stop_text(model, length):
    free = model.chat(MESSAGES, **GREEDY)
    for start in range(1, len(free.text) - length):
        stop = free.text[start : start + length]
        if "\ufffd" in stop:  # a piece of a character; nobody names one
            continue
        cut = model.chat(MESSAGES, stop=stop, **GREEDY)
        assert cut.text == free.text[: free.text.index(stop)]
        assert cut.token_ids == free.token_ids[: len(cut.token_ids)]
        assert stop in model.processor.decode(cut.token_ids)
        assert stop not in model.processor.decode(cut.token_ids[:-1]), "no token more than was needed"


def test_each_row_of_a_batch_stops_on_its_own(model):
    questions = ("Loud?", "Who is it?", "Describe the quick brown fox.", "Hello")
    conversations = [[{"role": "user", "content": question}] for question in questions]
    free = model.chat(conversations, **GREEDY)
    stops = [free[0].text[2], free[1].text[4]]
    together = model.chat(conversations, stop=stops, **GREEDY)
    assert together == [model.chat(one, stop=stops, **GREEDY) for one in conversations]
    assert [answer.text for answer in together] == [before_stop(answer.text, stops) for answer in free]
    assert len({len(answer.token_ids) for answer in together}) > 1


@pytest.mark.parametrize("stop", ["", [""], ["a", ""], [3], 7])
def test_impossible_stops(model, stop):
    with pytest.raises(
        InputError, match=r"stop is .*; it must be a text or a list of texts, none of them empty"
    ):
        model.chat(MESSAGES, stop=stop)
