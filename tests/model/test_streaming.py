"""Answers piece by piece: pieces that never change, and a thread that waits for its reader."""

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from desta2.errors import AudioError, InputError
from desta2.model.stopping import before_stop
from desta2.model.streaming import Pieces, in_turns

QUESTION = [{"role": "user", "content": "What can you hear from the audio?"}]


def byte_fallback_tokenizer():
    """As of Llama 2, Gemma and Mistral: words with ▁, and single bytes for what is not in the vocabulary."""
    words = ["<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "▁fox", "▁say", "s", "é", "!"]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [], byte_fallback=True))
    strip = decoders.Strip(" ", 1, 0)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>")


BYTES = byte_fallback_tokenizer()
# Tokens that meet: words, and the bytes of "é", "€" and a line break, whole or torn.
INTERESTING = [*range(257, 263), *(1 + byte for byte in (0x0A, 0x41, 0xC3, 0xA9, 0xE2, 0x82, 0xAC))]


def pieces_of(tokenizer, ids, stops):
    """What is sent for each token, and what is left, of an answer that ends where a stop text is complete."""

    def decode(some):
        return tokenizer.decode(some, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    pieces, sent = Pieces(tokenizer, decode, stops), []
    for count, token in enumerate(ids, start=1):
        sent.append(pieces.push(token))
        ids = ids[:count] if any(stop in decode(ids[:count]) for stop in stops) else ids
        if count == len(ids):
            break
    text = before_stop(decode(ids), stops)
    return text, sent, pieces.rest(text)


STOPS = st.lists(st.sampled_from(["s", " fox", "\n", "!!", "y!s", "é", "a", "the"]), max_size=2)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(INTERESTING), max_size=12), STOPS)
def test_pieces_of_single_bytes_make_the_text(ids, stops):
    text, sent, rest = pieces_of(BYTES, ids, stops)
    assert "".join(sent) + rest == text


@settings(max_examples=200)
@given(st.lists(st.integers(0, 324), max_size=12), STOPS)
def test_pieces_of_any_tokens_make_the_text(tokenizer, ids, stops):
    text, sent, rest = pieces_of(tokenizer, ids, stops)
    assert "".join(sent) + rest == text


def test_words_come_at_once_and_characters_whole(tokenizer):
    ids = tokenizer("Hello fox é!").input_ids
    text, sent, rest = pieces_of(tokenizer, ids, [])
    assert (text, rest) == ("Hello fox é!", "")
    assert "\ufffd" not in "".join(sent)
    assert sum(map(bool, sent)) == len(ids) - 1, "only the first byte of é waits"


def test_what_may_become_a_stop_text_is_held_back(tokenizer):
    ids = tokenizer("a quick brown fox").input_ids
    text, sent, rest = pieces_of(tokenizer, ids, ["brown bear", "k b!"])
    assert (text, rest) == ("a quick brown fox", "")
    assert "".join(sent) == text
    text, sent, rest = pieces_of(tokenizer, ids, ["brown"])
    assert (text, "".join(sent), rest) == ("a quick ", "a quick ", "")


# Taking turns


def count_to(number, log):
    def work(give):
        for i in range(number):
            log.append(i)
            give(i)
        return "done"

    return work


def test_the_thread_waits_for_its_reader():
    log = []
    items = in_turns(count_to(3, log))
    assert log == [], "nothing is done before it is asked for"
    for i in range(3):
        assert next(items) == i
        time.sleep(0.01)
        assert log == list(range(i + 1)), "no step ahead"
    with pytest.raises(StopIteration) as stop:
        next(items)
    assert stop.value.value == "done"


def test_leaving_ends_the_thread():
    log, left = [], []

    def work(give):
        try:
            count_to(100, log)(give)
        except Exception:
            left.append("caught as an error")
            raise
        finally:
            left.append("unwound")

    items = in_turns(work)
    next(items)
    items.close()
    assert (log, left) == ([0], ["unwound"])
    assert not [thread for thread in threading.enumerate() if thread.name == "desta2-stream"]


def test_an_error_arises_where_items_are_read():
    def work(give):
        give(1)
        raise KeyError("lost")

    items = in_turns(work)
    assert next(items) == 1
    with pytest.raises(KeyError, match="lost"):
        next(items)


# Streaming


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": True, "temperature": 2.0, "seed": 5},
        {"seed": 1},
        {"do_sample": False, "stop": ["e", "o"]},
        {"do_sample": False, "use_audio": False},
        {"do_sample": False, "transcripts": ["fox"], "language": "de"},
    ],
    ids=str,
)
def test_pieces_are_the_answer_of_chat(model, clips, options):
    options = {"max_new_tokens": 12, **options}
    messages = [{"role": "audio", "content": clips[0]}, *QUESTION]
    pieces, stream = [], model.stream(messages, **options)
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as stop:
            output = stop.value
            break
        torch.rand(1)  # what the reader draws changes nothing
    assert output == model.chat(messages, **options)
    assert "".join(pieces) == output.text
    assert all(pieces)
    assert len(pieces) > 2 or "stop" in options


def test_what_the_reader_draws_is_its_own(model):
    torch.manual_seed(7)
    expected = torch.rand(30)
    torch.manual_seed(7)
    drawn = [torch.rand(1) for _ in model.stream(QUESTION, max_new_tokens=12, do_sample=True, seed=1)]
    assert len(drawn) > 3
    assert torch.equal(torch.cat([*drawn, torch.rand(1)]), expected[: len(drawn) + 1])


def test_text_only_streams_too(model):
    options = {"max_new_tokens": 8, "do_sample": False}
    assert "".join(model.stream(QUESTION, **options)) == model.chat(QUESTION, **options).text


def test_leaving_early_stops_the_llm(model, monkeypatch):
    steps, forward = [], model.llm.forward
    monkeypatch.setattr(model.llm, "forward", lambda *a, **k: steps.append(1) or forward(*a, **k))
    for _ in model.stream(QUESTION, max_new_tokens=200, do_sample=False):
        break
    assert 1 <= len(steps) < 10
    assert not [thread for thread in threading.enumerate() if thread.name == "desta2-stream"]
    assert model.chat(QUESTION, max_new_tokens=4, do_sample=False).token_ids, "and the model goes on"


def test_what_goes_wrong_in_the_llm_reaches_the_reader(model, monkeypatch):
    steps, forward = [], model.llm.forward

    def fail(*args, **kwargs):
        steps.append(1)
        if len(steps) > 3:
            raise RuntimeError("out of memory")
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.llm, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(model.stream(QUESTION, max_new_tokens=20, do_sample=False))


def test_mistakes_are_told_before_the_first_piece(model):
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        model.stream([{"role": "audio", "content": "gone.wav"}, *QUESTION])
    with pytest.raises(InputError, match="stream answers one conversation, got a list of them; use chat"):
        model.stream([QUESTION, QUESTION])
    with pytest.raises(InputError, match="messages must be a non-empty list"):
        model.stream([])


def test_no_gradients_are_kept_while_streaming(model, clips, monkeypatch):
    seen, forward = [], model.llm.forward

    def spy(*args, **kwargs):
        output = forward(*args, **kwargs)
        seen.append(output.logits.requires_grad)
        return output

    monkeypatch.setattr(model.llm, "forward", spy)
    list(model.stream([{"role": "audio", "content": clips[0]}, *QUESTION], max_new_tokens=3, do_sample=False))
    assert seen
    assert not any(seen)
