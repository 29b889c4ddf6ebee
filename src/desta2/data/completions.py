"""What is said to an OpenAI-compatible server and what it says: bodies of requests and of answers.

Whatever comes from a server is checked here, as it may come from a proxy's error page or a broken server. An
answer is text that ended by itself or was cut at the longest length; anything else is no answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json

from desta2.data.backends import Reply, Sampling, item_seed

Api = Literal["chat", "completions"]
PATHS: Mapping[Api, str] = {"chat": "chat/completions", "completions": "completions"}


class NoAnswer(Exception):
    """What came is no usable answer; the text says why."""


def request_body(
    model: str,
    prompt: Sequence[Mapping[str, Any]] | Sequence[int],
    key: str,
    sampling: Sampling,
    template: Mapping[str, Any] | None = None,
) -> bytes:
    """The JSON of a request.

    Args:
        model: the name under which the LLM is served.
        prompt: messages for the chat API, token ids for the completions API.
        key: id of the item, from which its seed comes (31 bits: what every server takes).
        sampling: how the answer is drawn.
        template: variables of the server's chat template, by the name that vLLM and SGLang have for them.
    """
    chat = bool(prompt) and isinstance(prompt[0], Mapping)
    body: dict[str, Any] = {
        "model": model,
        "messages" if chat else "prompt": prompt,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
        "seed": item_seed(sampling, key) & 0x7FFFFFFF,
    }
    if chat and template:
        body["chat_template_kwargs"] = template
    return json.dumps(body).encode()


def read_reply(content: bytes, api: Api, unsaid: str | None = None) -> Reply:
    """The first choice of an answer; NoAnswer where there is none, or it ended in another way.

    `unsaid` is how an answer ended that does not say so.
    """
    found = _object(content)
    choices = found.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        raise NoAnswer(f"the answer holds no choices: {excerpt(content)}")
    message = choice.get("message") if api == "chat" else {"content": choice.get("text")}
    text = message.get("content") if isinstance(message, Mapping) else None
    ended = choice.get("finish_reason") or unsaid
    if ended not in ("stop", "length"):
        raise NoAnswer(f"the answer ended by {ended!r}, expected 'stop' or 'length': {excerpt(content)}")
    if text is None and ended == "length":
        text = ""  # cut before its first visible token
    if not isinstance(text, str):
        raise NoAnswer(f"the answer holds no text: {excerpt(content)}")
    return Reply(text.strip(), ended == "stop")


@dataclass(frozen=True)
class ServedModel:
    """A model of a server.

    Attributes:
        name: to ask for it.
        root: what it is (vLLM's `root`), or the same name.
        context: tokens of prompt and answer that the server takes, where it says so (vLLM's `max_model_len`).
    """

    name: str
    root: str
    context: int | None = None


def read_models(content: bytes) -> dict[str, ServedModel]:
    """The models of a server, by name."""
    found = _object(content)
    entries = found.get("data")
    models = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and isinstance(name := entry.get("id"), str) and name:
            root, length = entry.get("root"), entry.get("max_model_len")
            models[name] = ServedModel(
                name,
                root if isinstance(root, str) and root else name,
                length if isinstance(length, int) and length > 0 else None,
            )
    return models


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        found = from_json(content)
    except ValueError as error:
        raise NoAnswer(f"the answer is not JSON ({error}): {excerpt(content)}") from None
    if not isinstance(found, Mapping):
        raise NoAnswer(f"the answer is no JSON object: {excerpt(content)}")
    return found


def excerpt(content: bytes, length: int = 200) -> str:
    """The beginning of a body, safe to show: one line, no control characters."""
    text = content[: 4 * length].decode(errors="replace")
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return (line if len(line) <= length else line[: length - 1] + "…") or "(empty)"
