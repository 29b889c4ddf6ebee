"""Options of an answer, and drawing from a seed."""

import contextlib
import math
from types import SimpleNamespace

import pytest
import torch

from desta2.errors import InputError
from desta2.model.sampling import Sampling, Seeded

CPU = torch.device("cpu")
HELLO = [{"role": "user", "content": "Hello"}]


def config(max_new_tokens=None):
    return SimpleNamespace(max_new_tokens=max_new_tokens)


def test_the_longest_answer_is_the_users_or_the_llms_or_256():
    assert Sampling(max_new_tokens=5).for_llm(config(9))["max_new_tokens"] == 5
    assert Sampling().for_llm(config(9))["max_new_tokens"] == 9
    assert Sampling().for_llm(config())["max_new_tokens"] == 256


def test_what_is_not_given_is_left_to_the_llm():
    assert Sampling(max_new_tokens=5).for_llm(config()) == {"max_new_tokens": 5, "max_length": None}
    given = Sampling(max_new_tokens=5, do_sample=True, temperature=0.5).for_llm(config())
    assert given == {"max_new_tokens": 5, "max_length": None, "do_sample": True, "temperature": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_sample": False, "temperature": 0.5}, "do_sample is False, so temperature has no effect"),
        ({"do_sample": False, "temperature": 1.0, "top_p": 1.0}, "temperature and top_p has no effect"),
        ({"temperature": 0}, r"temperature is 0; it must be above 0 \(do_sample=False is greedy\)"),
        ({"temperature": math.nan}, "temperature is nan; it must be above 0"),
        ({"top_p": 1.5}, r"top_p is 1\.5; it must be above 0 and at most 1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be at least 1"),
    ],
)
def test_impossible_options(model, options, message):
    with pytest.raises(InputError, match=message):
        model.chat(HELLO, **options)
    with pytest.raises(InputError, match=message):
        model.stream(HELLO, **options)


def test_an_unknown_option_is_named(model):
    with pytest.raises(TypeError, match="temprature"):
        model.chat(HELLO, temprature=0.5)


def test_seeded_draws_leave_no_trace():
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    outside = [torch.rand(1)]
    with Seeded(3, CPU) as drawing:
        inside = [torch.rand(1)]
        with drawing.paused():
            outside.append(torch.rand(1))
        inside.append(torch.rand(1))
        with drawing.paused():
            outside.append(torch.rand(1))
    outside.append(torch.rand(1))
    assert torch.equal(torch.cat(outside), expected)
    torch.manual_seed(3)
    assert torch.equal(torch.cat(inside), torch.rand(2))


def test_without_a_seed_there_is_one_stream():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with Seeded(None, CPU) as drawing:
        first = torch.rand(1)
        with drawing.paused():
            second = torch.rand(1)
    assert torch.equal(torch.cat([first, second, torch.rand(1)]), expected)


def test_an_error_inside_gives_the_generator_back():
    state = torch.get_rng_state()
    with contextlib.suppress(KeyError), Seeded(3, CPU):
        torch.rand(1)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)
