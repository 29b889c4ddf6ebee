"""Pairs as self-generation writes them, and what filters say about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from desta2.data.check.base import Filter
from desta2.data.check.config import CheckConfig
from desta2.data.check.filters import make_filters
from desta2.data.check.item import Item
from desta2.records import Pair

SEED = '[00:00:00 - 00:00:03] "the old sailor rested in the school" (Gender: Male, Pitch: Low, Duration: 3s)'
ANSWER = 'The speaker says "the old sailor rested in the school". The gender is male. The pitch is low.'


def make_pair(response: str = ANSWER, seed: str = SEED, id: str = "a", **more: Any) -> Pair:
    prompt = more.pop("prompt", "What can you hear from the audio?")
    clip = {"audio": more.pop("audio", f"{id}.wav")} | more.pop("clip", {})
    message = {"role": "user", "content": f"<|AUDIO|>\n{prompt}", "audios": [clip]}
    provenance = {"llm": "some/llm", "prompt": prompt, "seed_format": "v2"}
    return Pair.model_validate(
        {"id": id, "messages": [message], "response": response, "seed": seed, "provenance": provenance} | more
    )


@pytest.fixture(name="make_pair")
def make_pair_fixture() -> Callable[..., Pair]:
    """`make_pair(response, seed, id, prompt=, audio=, …)`."""
    return make_pair


@pytest.fixture
def a_filter() -> Callable[..., Filter]:
    """`a_filter(name, **config)`: one filter as the stage makes it."""

    def make(name: str, **config: Any) -> Filter:
        (found,) = make_filters(CheckConfig.model_validate({"only": (name,)} | config))
        return found

    return make


@pytest.fixture
def find(a_filter) -> Callable[..., Any]:
    """`find(name, response, seed, **pair)`: what a filter says of one pair."""

    def ask(name: str, *pair: str, **more: Any) -> Any:
        return a_filter(name).find(Item(make_pair(*pair, **more), Path("pairs")))

    return ask
