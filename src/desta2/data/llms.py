"""Opening the LLM that a user names: in this process, or behind a URL."""

from __future__ import annotations

import os
from typing import Any, Literal

from desta2.data.backbone import Backbone, warn_if_other
from desta2.data.backends import Backend, PromptStyle, TransformersBackend
from desta2.data.endpoint import EndpointBackend, is_url


def open_backend(
    llm: str,
    *,
    layout: Literal["desta2", "desta2.5"] = "desta2",
    system: str | None = None,
    chat_template_kwargs: dict[str, Any] | None = None,
    backbone: str | None = None,
    batch_size: int = 16,
    device_map: str | None = None,
    llm_name: str | None = None,
    api: Literal["chat", "completions"] = "chat",
    concurrency: int = 32,
    timeout: float = 300.0,
    retries: int = 6,
    per_minute: float | None = None,
    api_key_env: str = "DESTA2_API_KEY",
) -> Backend:
    """Open an LLM; warns loudly if it is not the one that will be trained.

    Args:
        llm: folder, hub id, "nano", or the URL of an OpenAI-compatible server.
        layout: where the clip stands in the prompt.
        system: system prompt; "" for none, None for that of training.
        chat_template_kwargs: variables of the LLM's chat template.
        backbone: the LLM that will be trained, where it is known.
        batch_size: in this process: answers at a time.
        device_map: in this process: as in transformers.
        llm_name: by URL: the name of the model, where the server has several.
        api: by URL: send messages, or training's own token ids (needs `backbone`).
        concurrency: by URL: requests in flight.
        timeout: by URL: seconds for one attempt.
        retries: by URL: further attempts for each item.
        per_minute: by URL: attempts a minute.
        api_key_env: by URL: the environment variable that holds the API key.

    Raises:
        CheckpointError, InputError: as `TransformersBackend` and `EndpointBackend`.
    """
    from desta2.model.configuration import DEFAULT_SYSTEM_PROMPT

    prompt = DEFAULT_SYSTEM_PROMPT if system is None else system or None
    style = PromptStyle(layout, prompt, chat_template_kwargs=chat_template_kwargs)
    trained = None if backbone is None else Backbone(backbone)
    if is_url(llm):
        return EndpointBackend(
            llm,
            style,
            served_name=llm_name,
            backbone=trained,
            api=api,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            per_minute=per_minute,
            api_key=os.environ.get(api_key_env),
        )
    backend = TransformersBackend(llm, style, batch_size, device_map)
    if trained is not None:
        warn_if_other(backend.name, backend.fingerprint, trained)
    return backend
