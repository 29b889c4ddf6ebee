"""Opening the judge that a user names: the URL of an OpenAI-compatible server, or a model in this process."""

from __future__ import annotations

import logging
import os

from desta2.data.backends import Backend, PromptStyle, Reply, Request, TransformersBackend
from desta2.data.completions import read_reply
from desta2.data.endpoint import EndpointBackend, is_url
from desta2.data.served import NoModelList

log = logging.getLogger(__name__)
_NAMELESS = "default"


class _JudgeServer(EndpointBackend):
    """A server that is sent prompts as they are, and need say neither its models nor how its answers ended.

    A training target that may have been cut is of no use; a verdict that can be read is one.
    """

    def prompt(self, request: Request) -> list[dict[str, str]] | list[int]:
        """One message of the user; nothing of a speech LM's prompt, whose import takes seconds."""
        (message,) = request.messages
        return [{"role": "user", "content": message["content"][0]["text"]}]

    def _read(self, content: bytes) -> Reply:
        return read_reply(content, self.api, unsaid="stop")

    def _fingerprint(self) -> str | None:
        """None: a judge is no LLM to be trained."""
        return None

    def _find_model(self, wanted: str | None) -> tuple[str, str]:
        try:
            return super()._find_model(wanted)
        except NoModelList as error:
            log.warning("the judge's name cannot be checked: %s", error)
            return wanted or _NAMELESS, wanted or self.url


def open_judge(
    judge: str,
    model: str | None = None,
    *,
    concurrency: int = 32,
    timeout: float = 300.0,
    retries: int = 6,
    api_key_env: str = "DESTA2_API_KEY",
) -> Backend:
    """Open a judge.

    Args:
        judge: URL, or a folder, hub id or "nano" for a model in this process.
        model: by URL: the name to ask for, where the server has several. The id of a judge whose server has
            no list of models is this name, or else the URL.
        concurrency: by URL: requests in flight.
        timeout: by URL: seconds for one attempt.
        retries: by URL: further attempts where the server gives no answer.
        api_key_env: by URL: the environment variable that holds the API key.

    Raises:
        CheckpointError, InputError: as `TransformersBackend` and `EndpointBackend`.
    """
    style = PromptStyle()
    if not is_url(judge):
        return TransformersBackend(judge, style)
    return _JudgeServer(
        judge,
        style,
        served_name=model,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        api_key=os.environ.get(api_key_env),
    )
