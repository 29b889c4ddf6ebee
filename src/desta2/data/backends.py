"""The LLM that answers seed transcripts, behind one protocol; here in this process, by URL in `endpoint.py`.

A backend takes requests one by one and gives answers as they come, in any order, never holding more than a
window of them. Sampling draws its noise per item, from a seed and the item's id, instead of from one stream:
an item's answer then does not depend on which others share its batch, so a run that was stopped and continued
gives the texts of one that was not. It works by the Gumbel-max trick: adding Gumbel noise to the logits and
taking the largest is the same as sampling from their softmax (Maddison et al., 2014, arXiv 1411.0030). In
float32 that holds to the token; in bfloat16 sums depend a little on the shape of the batch, and now and then
an answer takes another turn.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from desta2.errors import CheckpointError, InputError

log = logging.getLogger(__name__)
Kind = Literal["transformers", "endpoint", "template"]
_WINDOW = 8  # batches whose requests are sorted by length together


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        temperature: 0 takes the likeliest token each time.
        top_p: nucleus sampling; 1 leaves the distribution whole.
        max_new_tokens: longest answer.
        seed: another seed draws other answers.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:  # so written, NaN is refused too
            raise InputError(f"temperature is {self.temperature}; it must be 0 (greedy) or more, and finite")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Request:
    """One conversation to be answered: `messages` in any accepted form, `id` to seed its sampling."""

    id: str
    messages: list[dict[str, Any]]


@dataclass(frozen=True)
class Reply:
    """An answer; `finished` is False where it was cut at the longest length."""

    text: str
    finished: bool


@dataclass(frozen=True)
class Failure:
    """Why a request got no answer."""

    reason: str


@dataclass(frozen=True)
class PromptStyle:
    """What `build_prompt` needs to know where there is no adapter: the layout and the system prompt."""

    layout: str = "desta2"
    system_prompt: str | None = None
    n_queries: int = 0
    chat_template_kwargs: Mapping[str, Any] | None = None


class Backend(Protocol):
    """Something that answers conversations.

    Attributes:
        kind: whether it is in this process, behind a URL, or no LLM at all ("template"), for provenance.
        name: of the LLM.
        fingerprint: of the LLM's weights; None where it is not known.
        style: how prompts are built.
    """

    kind: Kind
    name: str
    fingerprint: str | None
    style: PromptStyle

    def answers(
        self, requests: Iterable[Request], sampling: Sampling
    ) -> Iterator[tuple[Request, Reply | Failure]]:
        """Answer each request, in any order; requests are taken a bounded number at a time.

        Raises:
            InputError, RunError: no request can be answered.
        """
        ...


def item_seed(sampling: Sampling, key: str) -> int:
    """The seed of an item's own sampling: 64 bits, signed, from the run's seed and the item's id."""
    digest = hashlib.sha256(f"{sampling.seed}/{key}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class TransformersBackend:
    """A causal LM of transformers in this process.

    Args:
        llm: folder or hub id of an LLM with a chat template, or "nano" for the shipped one.
        style: layout and system prompt, the same as for the model that is to be trained.
        batch_size: answers at a time; halved whenever the memory does not suffice.
        device_map: where the LLM goes, as in transformers; None for the accelerators where there are any,
            else the CPU.
        dtype: as in transformers; None for bfloat16 on accelerators, and on a CPU for what is stored, with
            float32 in place of float16.

    Raises:
        CheckpointError: the LLM or its tokenizer cannot be loaded.
        InputError: the tokenizer has no chat template.
    """

    kind: Kind = "transformers"

    def __init__(
        self,
        llm: str,
        style: PromptStyle,
        batch_size: int = 16,
        device_map: Any = None,
        dtype: Any = None,
    ) -> None:
        import torch
        from transformers import AutoTokenizer

        from desta2.model import bases, checkpoint
        from desta2.model.stopping import end_ids
        from desta2.nano import base_id

        path = checkpoint.resolve_base(base_id("llm", llm), None)
        if device_map is None and torch.accelerator.is_available():
            device_map, dtype = "auto", torch.bfloat16 if dtype is None else dtype
        self.name = llm
        self.style = style
        self.batch_size = batch_size
        self._llm: Any = bases.freeze(bases.load_llm(path, dtype, device_map))
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot load the tokenizer of {llm}: {error}") from error
        self._ends = end_ids(self._llm, self._tokenizer)
        self.fingerprint: str | None = checkpoint.base_fingerprint(path, self._llm)

    def answers(
        self, requests: Iterable[Request], sampling: Sampling
    ) -> Iterator[tuple[Request, Reply | Failure]]:
        """Answer the requests, a few batches' worth at a time, those of similar length together."""
        source = iter(requests)
        while window := list(itertools.islice(source, _WINDOW * self.batch_size)):
            waiting = sorted(((self._prompt_ids(r), r) for r in window), key=lambda row: len(row[0]))
            while waiting:
                # Longest first: where the memory does not suffice, it shows at once.
                batch = waiting[-self.batch_size :]
                replies = self._try([ids for ids, _ in batch], [r.id for _, r in batch], sampling)
                if replies is not None:
                    del waiting[-len(batch) :]
                    yield from ((request, reply) for (_, request), reply in zip(batch, replies, strict=True))
                elif len(batch) > 1:
                    self.batch_size = len(batch) // 2
                    log.warning("out of memory: going on with %d answers at a time", self.batch_size)
                else:
                    ids, request = waiting.pop()
                    yield request, Failure(f"out of memory with a single prompt of {len(ids)} tokens")

    def _prompt_ids(self, request: Request) -> list[int]:
        from desta2.model.prompt import build_prompt

        return build_prompt(request.messages, self._tokenizer, self.style).input_ids

    def _try(self, rows: list[list[int]], keys: list[str], sampling: Sampling) -> list[Reply] | None:
        """Replies; None where the device's memory does not suffice."""
        import torch

        try:
            return self._generate(rows, keys, sampling)
        except torch.OutOfMemoryError:
            return None  # with the error go the tensors that its traceback holds

    def _generate(self, rows: list[list[int]], keys: list[str], sampling: Sampling) -> list[Reply]:
        """Answer prompts as one batch, left-padded, in one `generate` call."""
        import torch

        from desta2.model.bases import device_of
        from desta2.model.batching import LeftPadded

        batch = LeftPadded.of(rows, device_of(self._llm))
        with torch.no_grad():
            new = self._llm.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                logits_processor=_processors(keys, sampling),
                eos_token_id=self._ends,
                max_new_tokens=sampling.max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
            )[:, batch.input_ids.shape[1] :]
        return [self._read(row) for row in new.tolist()]

    def _read(self, row: list[int]) -> Reply:
        length = next((place for place, token in enumerate(row) if token in self._ends), None)
        # What follows the end is padding, of whatever kind the LLM pads with.
        text = str(self._tokenizer.decode(row[:length], skip_special_tokens=True)).strip()
        return Reply(text, length is not None)


def _processors(keys: Sequence[str], sampling: Sampling) -> Any:
    """Sampling as logits processors on top of greedy decoding."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    processors = LogitsProcessorList()
    if sampling.temperature == 0:
        return processors
    if sampling.temperature != 1:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(_GumbelNoise([item_seed(sampling, key) for key in keys]))
    return processors


class _GumbelNoise:
    """Adds standard Gumbel noise to the logits (rows, vocabulary), each row from its own generator."""

    def __init__(self, seeds: Sequence[int]) -> None:
        import torch

        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        shape = scores.shape[-1]
        # exponential noise E gives Gumbel noise -log(E)
        noise = torch.stack([torch.empty(shape).exponential_(generator=g) for g in self._generators])
        return scores - noise.clamp_min(1e-20).log().to(scores)
