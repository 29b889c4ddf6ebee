"""An LLM as judge: asked concurrently, each prompt once, and never scored on a guess.

The judge is any backend of `desta2.data`: an OpenAI-compatible URL, or a model in this process. What cannot
be read as a verdict is asked again with another seed, at a temperature that lets another answer come; if no
attempt gives a verdict, the item has none, and who scores has to count and name it.

The trade-off: greedy first answers make scores as reproducible as the server allows, and cost the variety of
several samples, which would tell how sure the judge is of a single item.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from desta2.data.backends import Backend, Failure, Reply, Request, Sampling
from desta2.errors import InputError
from desta2.evaluate.judging.answers import Answers, answer_key

V = TypeVar("V")
JUDGING = Sampling(temperature=0.0, max_new_tokens=1024)
ATTEMPTS = 3
RETRY_TEMPERATURE = 0.7  # at 0 another seed gives the same answer
_NAMED = 10  # how many items are named for people; results in JSON have them all
_END_OF_THOUGHT = "</think>"  # before it, some judges think aloud


@dataclass(frozen=True)
class JudgePrompt:
    """What the judge is asked: `text` is the user's message; `id` names it in lists and must be unique."""

    id: str
    text: str


@dataclass(frozen=True)
class JudgeAnswer(Generic[V]):
    """What the judge said.

    Attributes:
        id: of the prompt.
        verdict: None where there is none.
        text: the last answer; empty where none came.
        attempts: how often was asked, answers from the disk included.
        reason: why there is no verdict; empty where there is one.
    """

    id: str
    verdict: V | None
    text: str
    attempts: int
    reason: str = ""


def list_unjudged(answers: Iterable[JudgeAnswer[Any]]) -> list[dict[str, str]]:
    """Those without verdict, for results: id, the reason, and what the judge said last."""
    return [{"id": said.id, "reason": said.reason, "answer": said.text} for said in answers if said.reason]


def unjudged_in_words(unjudged: Sequence[Mapping[str, str]]) -> list[str]:
    """Lines for people that name the first of what `list_unjudged` gives."""
    lines = [f"no verdict: {found['id']}: {found['reason']}" for found in unjudged[:_NAMED]]
    return lines + ([f"… and {len(unjudged) - _NAMED} more"] if len(unjudged) > _NAMED else [])


class Judge:
    """Gives verdicts; a context manager, which holds the file of answers.

    Args:
        backend: the LLM.
        answers: folder in which answers are kept, see `Answers`; None for memory alone.
        sampling: of the first attempt.
        attempts: at most, for each prompt.
        on_answer: called after each prompt that is dealt with.

    Raises:
        InputError: fewer than one attempt; on entering, as `Answers`.
    """

    def __init__(
        self,
        backend: Backend,
        answers: Path | None = None,
        *,
        sampling: Sampling = JUDGING,
        attempts: int = ATTEMPTS,
        on_answer: Callable[[], None] | None = None,
    ) -> None:
        if attempts < 1:
            raise InputError(f"given {attempts} attempts, expected 1 or more")
        self._backend, self._sampling, self._attempts = backend, sampling, attempts
        self._answers = Answers(answers)
        self._on_answer = on_answer

    def __enter__(self) -> Self:
        self._answers.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answers.__exit__(kind, error, trace)

    @property
    def facts(self) -> dict[str, Any]:
        """Who judges and how, for results: JSON values. The prompt's hash is the template's to tell."""
        retries = [self._sampling_of(attempt).to_dict() for attempt in range(1, self._attempts)]
        return {**self._identity(), "sampling": self._sampling.to_dict(), "retries": retries}

    def _identity(self) -> dict[str, Any]:
        backend = self._backend
        return {"id": backend.name, "kind": backend.kind, "fingerprint": backend.fingerprint}

    def ask(
        self, prompts: Iterable[JudgePrompt], read: Callable[[str], V | None]
    ) -> Iterator[JudgeAnswer[V]]:
        """Ask each prompt until an answer gives a verdict; answers come in any order.

        Args:
            prompts: taken a bounded number at a time.
            read: from the judge's words to its verdict, or None where they give none.

        Raises:
            InputError, RunError: the judge cannot be asked, or has stopped answering; what it said is kept.
        """
        wanted = prompts
        for attempt in range(self._attempts):
            again: list[JudgePrompt] = []
            for prompt, outcome in self._outcomes(wanted, attempt):
                answer = self._answer(prompt, outcome, attempt + 1, read)
                if answer.reason and isinstance(outcome, Reply) and attempt + 1 < self._attempts:
                    again.append(prompt)
                    continue
                if self._on_answer is not None:
                    self._on_answer()
                yield answer
            wanted = again

    def _answer(
        self, prompt: JudgePrompt, outcome: Reply | Failure, attempts: int, read: Callable[[str], V | None]
    ) -> JudgeAnswer[V]:
        if isinstance(outcome, Failure):
            return JudgeAnswer(prompt.id, None, "", attempts, f"no answer: {outcome.reason}")
        if not outcome.finished:
            reason = f"the answer was cut at the longest length, {self._sampling.max_new_tokens} tokens"
            return JudgeAnswer(prompt.id, None, outcome.text, attempts, reason)
        verdict = read(outcome.text.rpartition(_END_OF_THOUGHT)[2])
        reason = "no verdict can be read from the answer" if verdict is None else ""
        return JudgeAnswer(prompt.id, verdict, outcome.text, attempts, reason)

    def _outcomes(
        self, prompts: Iterable[JudgePrompt], attempt: int
    ) -> Iterator[tuple[JudgePrompt, Reply | Failure]]:
        """One attempt at each prompt, from the disk where it is there; equal prompts are asked once."""
        sampling = self._sampling_of(attempt)
        facts = self._identity() | {"sampling": sampling.to_dict()}
        waiting: dict[str, list[JudgePrompt]] = {}
        known: deque[tuple[JudgePrompt, Reply]] = deque()

        def requests() -> Iterator[Request]:
            for prompt in prompts:
                key = answer_key(facts | {"prompt": prompt.text})
                if (reply := self._answers.find(key)) is not None:
                    known.append((prompt, reply))
                elif key in waiting:
                    waiting[key].append(prompt)
                else:
                    waiting[key] = [prompt]
                    # As a content part the text is taken letter by letter: <|AUDIO|> in it means nothing.
                    content = [{"type": "text", "text": prompt.text}]
                    yield Request(key, [{"role": "user", "content": content}])

        for request, outcome in self._backend.answers(requests(), sampling):
            if isinstance(outcome, Reply):
                self._answers.keep(request.id, outcome, self._backend.name)
            for prompt in waiting.pop(request.id):
                yield prompt, outcome
            while known:
                yield known.popleft()
        yield from known

    def _sampling_of(self, attempt: int) -> Sampling:
        if not attempt:
            return self._sampling
        warmer = max(self._sampling.temperature, RETRY_TEMPERATURE)
        return replace(self._sampling, temperature=warmer, seed=self._sampling.seed + attempt)
