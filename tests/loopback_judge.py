"""Judges on this machine: real servers whose verdicts a test writes."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loopback_llm import LoopbackLLM, Raw, chat

from desta2.data.backends import Sampling
from desta2.evaluate.judging.judge import Judge, JudgeAnswer, JudgePrompt
from desta2.evaluate.judging.opening import open_judge
from desta2.evaluate.judging.verdicts import read_yes_no


def said_to(body: dict[str, Any]) -> str:
    """The prompt that came: one message of the user."""
    (message,) = body["messages"]
    assert message["role"] == "user"
    return message["content"]


def judging(verdict: Callable[[str], Any]) -> LoopbackLLM:
    """A judge whose answer is a function of the prompt; one that is a `Raw` goes over the wire as it is."""

    def answer(body: dict[str, Any], number: int) -> Raw:
        said = verdict(said_to(body))
        return said if isinstance(said, Raw) else chat(said)

    return LoopbackLLM(answer, {"judge-1": "judge-1"})


def yes_or_no(prompt: str) -> str:
    """A verdict that depends on the prompt alone."""
    return "Result: YES" if hashlib.sha256(prompt.encode()).digest()[0] % 2 else "Result: NO"


def prompts(count: int) -> list[JudgePrompt]:
    """Prompts that differ."""
    return [JudgePrompt(f"item {i}", f"Is {i} even?") for i in range(count)]


def ask_by_url(url: str, folder: Path, count: int) -> list[JudgeAnswer[bool]]:
    """Judge `count` prompts, for other processes."""
    backend = open_judge(url, concurrency=8)
    with Judge(backend, folder, sampling=Sampling(0.0, max_new_tokens=50)) as judge:
        return list(judge.ask(prompts(count), read_yes_no))
