"""What answers the questions of a benchmark: a desta2 model in this process, or any model behind a URL.

A system takes questions one after another and gives answers as they come, in any order, never holding more
than a batch or window of them. Answers are greedy: a benchmark's score should not depend on a draw of luck,
nor a continued run on where it was stopped. A question that cannot be answered (a broken clip, a prompt that
is too long) fails alone, with its reason; the others of its batch are asked again without it.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from desta2.data.backends import Failure, PromptStyle, Request, Sampling
from desta2.data.completions import NoAnswer
from desta2.data.endpoint import EndpointBackend, is_url
from desta2.errors import InputError

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

logger = logging.getLogger(__name__)
MAX_NEW_TOKENS = 512


@dataclass(frozen=True)
class Question:
    """One item of a benchmark.

    Attributes:
        id: unique in the benchmark, and the same in every run.
        messages: a conversation in any accepted form; clips as paths, or as the bytes of a file.
        fields: what the prediction holds beside `id` and `response`: task, instruction, label, audio, and
            whatever the benchmark needs to be scored again.
        vectors: None for a question that any system may answer. Otherwise it is about what a desta2 model
            makes of the adapter's vectors and the transcript apart: False leaves the vectors out, True keeps
            them beside a transcript that the messages give. No other system can answer it.
    """

    id: str
    messages: list[dict[str, Any]]
    fields: dict[str, Any] = field(default_factory=dict)
    vectors: bool | None = None


class System(Protocol):
    """Something that answers questions.

    Attributes:
        facts: JSON values that tell what it is and how it was asked. `identity` is equal for the same weights
            or the same served model, wherever they lie; `sampling` is how answers are drawn.
    """

    facts: Mapping[str, Any]

    def answer(self, questions: Iterable[Question]) -> Iterator[tuple[Question, str | Failure]]:
        """Answer each question, in any order; questions are taken a bounded number at a time.

        Raises:
            InputError, RunError: no question can be answered.
        """
        ...


class ModelSystem:
    """A desta2 model in this process, answering in batches.

    Args:
        model: with a processor.
        name: folder or hub id that it was loaded from.
        batch_size: conversations answered at a time; halved whenever the memory does not suffice.
        max_new_tokens: longest answer.
    """

    def __init__(
        self, model: Desta2Model, name: str, *, batch_size: int = 16, max_new_tokens: int = MAX_NEW_TOKENS
    ) -> None:
        if batch_size < 1:
            raise InputError(f"given batch_size={batch_size}, expected 1 or more")
        self._model, self._batch_size = model, batch_size
        self._sampling = Sampling(temperature=0, max_new_tokens=max_new_tokens)
        self.facts: Mapping[str, Any] = {
            "kind": "model",
            "id": name,
            "identity": weights_of(model),
            "llm": model.config.llm_id,
            "encoder": model.config.encoder_id,
            "dtype": _dtype(model),
            "layout": model.config.layout,
            "default_system_prompt": model.config.system_prompt,
            "sampling": self._sampling.to_dict(),
        }

    def answer(self, questions: Iterable[Question]) -> Iterator[tuple[Question, str | Failure]]:
        """Answer the questions batch by batch."""
        source = iter(questions)
        while batch := list(itertools.islice(source, self._batch_size)):
            for deaf in (False, True):
                if rows := [question for question in batch if (question.vectors is False) is deaf]:
                    yield from zip(rows, self._answers(rows), strict=True)

    def _answers(self, batch: list[Question]) -> list[str | Failure]:
        """Answers to a batch: whole, or in halves where something in it cannot be answered."""
        found = self._try(batch)
        if isinstance(found, list):
            return found
        if len(batch) == 1:
            return [found]
        half = len(batch) // 2
        return self._answers(batch[:half]) + self._answers(batch[half:])

    def _try(self, batch: list[Question]) -> list[str | Failure] | Failure:
        import torch

        conversations = [question.messages for question in batch]
        try:
            outputs = self._model.chat(
                conversations,
                max_new_tokens=self._sampling.max_new_tokens,
                do_sample=False,
                use_audio=batch[0].vectors is not False,
            )
        except InputError as error:
            return Failure(str(error))
        except torch.OutOfMemoryError:
            if len(batch) > 1:
                self._batch_size = max(1, len(batch) // 2)
                logger.warning("out of memory: going on with %d answers at a time", self._batch_size)
            return Failure("out of memory with this question alone")
        return [output.text for output in outputs]


class EndpointSystem:
    """A model that hears, behind an OpenAI-compatible URL.

    Args:
        url: of the API, mostly ending in `/v1`.
        name: the model to ask for; None where the server has only one.
        max_new_tokens: longest answer.
        concurrency: requests in flight.
        timeout: seconds for one attempt.
        retries: further attempts for each question.
        api_key: sent as a bearer token.

    Raises:
        InputError: the URL cannot be used, nobody answers there, or the server has no such model.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        concurrency: int = 16,
        timeout: float = 300.0,
        retries: int = 6,
        api_key: str | None = None,
    ) -> None:
        self._sampling = Sampling(temperature=0, max_new_tokens=max_new_tokens)
        self._backend = _SpokenBackend(
            url,
            PromptStyle(),
            served_name=name,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            api_key=api_key,
        )
        self.facts: Mapping[str, Any] = {
            "kind": "endpoint",
            "id": self._backend.served_name,
            "identity": self._backend.name,
            "url": self._backend.url,
            "sampling": self._sampling.to_dict(),
        }

    def answer(self, questions: Iterable[Question]) -> Iterator[tuple[Question, str | Failure]]:
        """Answer the questions as the answers come back; one that was cut at the longest length counts.

        Raises:
            InputError: a question is about a desta2 model's vectors; or as `EndpointBackend.answers`.
            RunError: the server has stopped answering.
        """
        waiting: dict[str, Question] = {}

        def requests() -> Iterator[Request]:
            for question in questions:
                if question.vectors is not None:
                    raise InputError(
                        "this benchmark takes the adapter's vectors and the transcript apart, which only a "
                        "desta2 model in this process can do: give its folder or hub id, not the URL "
                        f"{self.facts['url']}"
                    )
                waiting[question.id] = question
                yield Request(question.id, question.messages)

        for request, outcome in self._backend.answers(requests(), self._sampling):
            answer = outcome if isinstance(outcome, Failure) else outcome.text
            yield waiting.pop(request.id), answer


class _SpokenBackend(EndpointBackend):
    """The LLM by URL, but what is sent are messages with clips."""

    def prompt(self, request: Request) -> list[dict[str, Any]] | list[int]:
        from desta2.evaluate.spoken import openai_messages

        try:
            return openai_messages(request.messages)
        except InputError as error:  # of this question alone
            raise NoAnswer(str(error)) from error

    def _fingerprint(self) -> str | None:
        """None: this is no LLM to be trained, and nothing to warn of."""
        return None


def open_system(
    model: str,
    *,
    fast: bool = False,
    batch_size: int = 16,
    max_new_tokens: int = MAX_NEW_TOKENS,
    served_name: str | None = None,
    concurrency: int = 16,
    api_key_env: str = "DESTA2_API_KEY",
) -> System:
    """Open the system that a user names.

    Args:
        model: folder, hub id, "nano", or the URL of an OpenAI-compatible server.
        fast: in this process: load the model in its fast mode.
        batch_size: in this process: answers at a time.
        max_new_tokens: longest answer.
        served_name: by URL: the name of the model, where the server has several.
        concurrency: by URL: requests in flight.
        api_key_env: by URL: the environment variable that holds the API key.

    Raises:
        CheckpointError, InputError: it cannot be loaded, or does not answer.
    """
    if is_url(model):
        return EndpointSystem(
            model,
            name=served_name,
            max_new_tokens=max_new_tokens,
            concurrency=concurrency,
            api_key=os.environ.get(api_key_env),
        )
    import torch

    from desta2.model.modeling import load

    device_map = "auto" if torch.accelerator.is_available() else None  # the types of weights stay as stored
    loaded = load(model, fast=fast, device_map=device_map)
    return ModelSystem(loaded, model, batch_size=batch_size, max_new_tokens=max_new_tokens)


def _dtype(model: Desta2Model) -> str:
    from desta2.model.fast import is_quantised

    return "int8" if is_quantised(model.llm) else str(model.llm.dtype).removeprefix("torch.")


def weights_of(model: Desta2Model) -> str:
    """Tells models apart by their weights: a folder may hold another adapter tomorrow."""
    from desta2.model.checkpoint import fingerprint

    config = model.config
    parts = (fingerprint(model.adapter), config.llm_fingerprint, config.encoder_fingerprint)
    return "-".join(str(part)[:8] for part in parts)
