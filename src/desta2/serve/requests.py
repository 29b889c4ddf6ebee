"""Requests of chat completions: what is taken, what is ignored, what is refused.

OpenAI refuses what it does not know, so a misspelt option is found. Of what it knows, an option that would
change the answer is refused where we do not do it; one that would not, or that asks for nothing, is taken.
Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from desta2.model.sampling import Sampling
from desta2.serve.problems import Problem

_SEED = 2**63


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TextPart(_Strict):
    """Text in a message."""

    type: Literal["text"]
    text: str


class InputAudio(_Strict):
    """A clip in the request itself: any container that desta2 reads; `format` is taken and not needed."""

    data: str
    format: str | None = None


class AudioPart(_Strict):
    """A clip in a message."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class AudioUrl(_Strict):
    """Where a clip is."""

    url: str = Field(max_length=8192)


class AudioUrlPart(_Strict):
    """A clip elsewhere, as vLLM's server takes it; off unless the server was told of hosts."""

    type: Literal["audio_url"]
    audio_url: AudioUrl


Part = Annotated[TextPart | AudioPart | AudioUrlPart, Field(discriminator="type")]


class System(_Strict):
    """A system's turn; clips have no place in it."""

    role: Literal["system", "developer"]
    content: str | list[TextPart]
    name: str | None = None


class User(_Strict):
    """A user's turn."""

    role: Literal["user"]
    content: str | list[Part]
    name: str | None = None


class Assistant(_Strict):
    """An earlier answer; what else the official client returns beside it is empty here, and ignored."""

    role: Literal["assistant"]
    content: str | list[TextPart]
    name: str | None = None
    refusal: None = None
    annotations: list[Any] | None = Field(None, max_length=0)
    audio: None = None
    function_call: None = None
    tool_calls: list[Any] | None = Field(None, max_length=0)


Message = Annotated[System | User | Assistant, Field(discriminator="role")]


class StreamOptions(_Strict):
    """What a stream carries beside the text."""

    include_usage: bool = False
    include_obfuscation: bool = False


class ResponseFormat(_Strict):
    """Only plain text: nothing here can force an LLM to write JSON, and we do not pretend."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Any = None


class ChatRequest(_Strict):
    """The body of `POST /v1/chat/completions`."""

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = Field(None, ge=-_SEED, lt=_SEED)
    stop: Annotated[str, Field(min_length=1)] | list[Annotated[str, Field(min_length=1)]] | None = None
    n: int | None = None
    response_format: ResponseFormat | None = None

    # Refused unless they ask for nothing.
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    reasoning_effort: str | None = None
    verbosity: str | None = None

    # Change no answer here: taken, and ignored.
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    function_call: Any = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


_NOTHING: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "functions": ([],),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
}
"""Options that we do not do, with the values that ask for nothing."""

_MAX_STOPS = 4  # as OpenAI's


def check_supported(request: ChatRequest) -> None:
    """Refuse what would change the answer and is not done here.

    Raises:
        Problem: 400.
    """
    for name, nothing in _NOTHING.items():
        value = getattr(request, name)
        if value is not None and value not in nothing:
            hint = f"; only {nothing[0]!r} is" if nothing else "; leave it out"
            raise Problem(400, f"{name}={value!r} is not supported here{hint}", name, "unsupported_parameter")
    if request.response_format is not None and request.response_format.type != "text":
        raise Problem(
            400,
            f"response_format {request.response_format.type!r} is not supported: nothing here can force the "
            "LLM to write JSON; ask for it in the question, and check the answer",
            "response_format",
            "unsupported_parameter",
        )
    if isinstance(request.stop, list) and len(request.stop) > _MAX_STOPS:
        raise Problem(
            400, f"stop has {len(request.stop)} texts; at most {_MAX_STOPS}", "stop", "invalid_value"
        )
    if request.stream_options is not None and not request.stream:
        raise Problem(400, "stream_options needs stream=true", "stream_options", "invalid_value")


def sampling_of(request: ChatRequest, longest: int) -> Sampling:
    """How to answer; what is not asked for is left to the LLM's generation config.

    Args:
        request: Checked.
        longest: Answer in tokens that the server allows.

    Raises:
        Problem: 400: a longer one is asked for.
    """
    asked = request.max_completion_tokens or request.max_tokens
    if asked is not None and asked > longest:
        name = "max_completion_tokens" if request.max_completion_tokens else "max_tokens"
        message = f"{name} is {asked}; this server writes at most {longest}"
        raise Problem(400, message, name, "invalid_value")
    greedy = request.temperature == 0
    drawn = True if request.temperature or request.top_p is not None else None
    return Sampling(
        max_new_tokens=asked or longest,
        do_sample=False if greedy else drawn,
        temperature=None if greedy else request.temperature,
        top_p=None if greedy else request.top_p,
        seed=None if request.seed is None else request.seed % _SEED,
        stop=request.stop or None,
    )
