"""What is said to vLLM's completions API, and what it says: embeddings go there, token ids come back.

Of vLLM's source (entrypoints/openai/completion/protocol.py and serving.py, renderers/embed_utils.py) and of
https://docs.vllm.ai/en/stable/features/prompt_embeds/ we rely on this:

- `prompt_embeds` is the base64 of what `torch.save` writes of a (length, width) tensor. It is read with
  `weights_only`, and cast to the LLM's own floating type. Another width, or a server without
  `--enable-prompt-embeds`, gives a 400. `prompt` may be missing; it may be token ids instead.
- `return_token_ids` (since 0.10.2, pull request 22587) puts the new `token_ids` into each event of a stream.
- Penalties for repetition look at the ids of all prompts of a batch, also of those that are embeddings and
  have none, which ends the engine (issue 57719, seen with 0.27.1). So no request asks for one.
- What a request does not say is taken from the generation config, in which vLLM does not look at `do_sample`.
  So each request says all of it.
- An error after the first event is an event `{"error": …}`; `[DONE]` ends each stream.

The text that the server makes is not used: it is made here, of the ids, by what makes it of an LLM in this
process, and the tokens are counted exactly. The price is that only servers will do that send ids.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from desta2.data.completions import NoAnswer, excerpt
from desta2.errors import ConfigError
from desta2.model.bases import device_of
from desta2.model.batching import LeftPadded
from desta2.model.chat import Question
from desta2.serve.options import Options, Rule
from desta2.serve.speaking import Finish

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

PENALTY = "repetition_penalty"

_LONGEST_EVENT = 1 << 20  # bytes

# transformers' processors of scores → the name that vLLM has for what they do, and where they keep the value
_PARAMETERS: dict[type, tuple[str, str]] = {
    TemperatureLogitsWarper: ("temperature", "temperature"),
    TopKLogitsWarper: ("top_k", "top_k"),
    TopPLogitsWarper: ("top_p", "top_p"),
    MinPLogitsWarper: ("min_p", "min_p"),
    RepetitionPenaltyLogitsProcessor: (PENALTY, "penalty"),
}
_NEUTRAL = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, PENALTY: 1.0}


@dataclass(frozen=True)
class Event:
    """What a stream says at once.

    Attributes:
        token_ids: New ones.
        finish: Why the answer is over; None while it is not.
    """

    token_ids: list[int]
    finish: Finish | None


@torch.no_grad()
def prompt_embeds(model: Desta2Model, question: Question) -> Tensor:
    """The prompt as the LLM's input embeddings, the clips' vectors at their positions: (length, d_llm)."""
    batch = LeftPadded.of([question.input_ids], device_of(model.llm))
    audio = torch.cat(question.embeds) if question.embeds else None
    return model.embed(batch.input_ids, audio, batch.audio_slots([question.slots]))[0]


def parameters(rule: Rule) -> dict[str, float]:
    """How tokens are chosen, by vLLM's names.

    Raises:
        ConfigError: The LLM's generation config asks for what vLLM does not do.
    """
    found = dict(_NEUTRAL)
    for own in rule.processors:
        if type(own) not in _PARAMETERS:
            known = ", ".join(_NEUTRAL)
            raise ConfigError(
                f"the LLM's generation config asks for what transformers does by {type(own).__name__}, and a "
                f"remote engine does not: it knows {known}; take it out of generation_config.json, or serve "
                "the LLM in this process"
            )
        name, attribute = _PARAMETERS[type(own)]
        found[name] = getattr(own, attribute)
    return found if rule.draws else {**found, "temperature": 0.0}


def request_body(
    name: str,
    prompt: list[int] | Tensor,
    options: Options,
    *,
    ends: list[int],
    stops: tuple[str, ...],
    seed: int | None,
) -> bytes:
    """The JSON of a request.

    Args:
        name: Under which the LLM is served.
        prompt: Token ids, or (length, d_llm) embeddings.
        options: How to answer; a penalty for repetition is left out.
        ends: Ids that end the answer.
        stops: Texts before which it ends.
        seed: Makes drawing reproducible, by that server.
    """
    body: dict[str, Any] = {
        "model": name,
        **parameters(options.rule),
        PENALTY: _NEUTRAL[PENALTY],
        "max_tokens": options.longest,
        "stop_token_ids": ends,
        "stop": list(stops),
        "stream": True,
        "return_token_ids": True,
    }
    if isinstance(prompt, Tensor):
        body["prompt_embeds"] = _encoded(prompt)
    else:
        body["prompt"] = prompt
    return json.dumps(body if seed is None else {**body, "seed": seed}).encode()


class Events:
    """The bytes of a stream of server-sent events → what they say."""

    def __init__(self) -> None:
        self._line = b""

    def feed(self, piece: bytes) -> list[Event]:
        """The events that are complete now and were not before.

        Raises:
            NoAnswer: The server says that it failed, or what it says cannot be read.
        """
        # Not by `splitlines`: text in the JSON may hold signs that it takes for ends of lines.
        *lines, self._line = (self._line + piece).split(b"\n")
        if len(self._line) > _LONGEST_EVENT:
            raise NoAnswer(f"an event is longer than {_LONGEST_EVENT} bytes")
        contents = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        return [_event(content) for content in contents if content != b"[DONE]"]


class _Choice(BaseModel):
    token_ids: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = None
    finish_reason: str | None = None


class _Chunk(BaseModel):
    choices: list[_Choice] = Field(default_factory=list)
    error: Any = None


def _event(content: bytes) -> Event:
    try:
        chunk = _Chunk.model_validate_json(content)
    except ValidationError:
        raise NoAnswer(f"it sends what is no event of an answer: {excerpt(content)}") from None
    if chunk.error is not None:
        raise NoAnswer(f"it failed midway: {excerpt(content)}")
    if not chunk.choices:
        return Event([], None)
    choice = chunk.choices[0]
    if choice.token_ids is None:
        raise NoAnswer("it sends no token_ids, which vLLM does since 0.10.2")
    if choice.finish_reason not in (None, "stop", "length"):
        raise NoAnswer(f"it ended the answer by {choice.finish_reason!r}")
    return Event(choice.token_ids, choice.finish_reason)  # type: ignore[arg-type]


def _encoded(embeds: Tensor) -> str:
    content = io.BytesIO()
    torch.save(embeds.cpu(), content)
    return base64.b64encode(content.getvalue()).decode()
