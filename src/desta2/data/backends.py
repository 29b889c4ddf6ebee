"""The LLM that answers seed transcripts, behind one protocol.

Sampling draws its noise per item, from a seed and the item's id, instead of from one stream: an item's answer
then does not depend on which others share its batch, so a run that was stopped and continued gives the texts
of one that was not. It works by the Gumbel-max trick: adding Gumbel noise to the logits and taking the
largest is the same as sampling from their softmax (Maddison et al., 2014, arXiv 1411.0030).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from desta2.errors import CheckpointError, InputError


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


class Backend(Protocol):
    """Something that answers conversations."""

    name: str
    fingerprint: str | None

    def reply(self, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        """Answer each request, in order."""
        ...


@dataclass(frozen=True)
class PromptStyle:
    """What `build_prompt` needs to know where there is no adapter: the layout and the system prompt."""

    layout: str = "desta2"
    system_prompt: str | None = None
    n_queries: int = 0
    chat_template_kwargs: Mapping[str, Any] | None = None


class TransformersBackend:
    """A causal LM of transformers in this process.

    Args:
        llm: folder or hub id of an LLM with a chat template, or "nano" for the shipped one.
        style: layout and system prompt, the same as for the model that is to be trained.
        device_map: where the LLM goes, as in transformers.
        dtype: as in transformers; None as stored, float32 where the stored type is half on a CPU.

    Raises:
        CheckpointError: the LLM or its tokenizer cannot be loaded.
        InputError: the tokenizer has no chat template.
    """

    def __init__(self, llm: str, style: PromptStyle, device_map: Any = None, dtype: Any = None) -> None:
        from transformers import AutoTokenizer

        from desta2.model import bases, checkpoint
        from desta2.model.stopping import end_ids
        from desta2.nano import base_id

        path = checkpoint.resolve_base(base_id("llm", llm), None)
        self.name = llm
        self._style = style
        self._llm: Any = bases.freeze(bases.load_llm(path, dtype, device_map))
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot load the tokenizer of {llm}: {error}") from error
        self._ends = end_ids(self._llm, self._tokenizer)
        self.fingerprint: str | None = checkpoint.base_fingerprint(path, self._llm)

    def reply(self, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        """Answer a batch of requests, left-padded, in one `generate` call."""
        import torch

        from desta2.model.batching import LeftPadded
        from desta2.model.prompt import build_prompt

        rows = [build_prompt(r.messages, self._tokenizer, self._style).input_ids for r in requests]
        batch = LeftPadded.of(rows, self._llm.device)
        with torch.no_grad():
            new = self._llm.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                logits_processor=_processors(requests, sampling),
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


def _processors(requests: Sequence[Request], sampling: Sampling) -> Any:
    """Sampling as logits processors on top of greedy decoding."""
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    processors = LogitsProcessorList()
    if sampling.temperature == 0:
        return processors
    if sampling.temperature != 1:
        processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(_GumbelNoise([f"{sampling.seed}/{request.id}" for request in requests]))
    return processors


class _GumbelNoise:
    """Adds standard Gumbel noise to the logits (rows, vocabulary), each row from its own generator."""

    def __init__(self, keys: Sequence[str]) -> None:
        import torch

        self._generators = []
        for key in keys:
            seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
            self._generators.append(torch.Generator().manual_seed(seed))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        shape = scores.shape[-1]
        # exponential noise E gives Gumbel noise -log(E)
        noise = torch.stack([torch.empty(shape).exponential_(generator=g) for g in self._generators])
        return scores - noise.clamp_min(1e-20).log().to(scores)
