"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, each with its HTTP status.

The official client turns the status into an exception of its own (400 `BadRequestError`, 401
`AuthenticationError`, 429 `RateLimitError`, …), so the status is what matters most.
Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from desta2.errors import InputError
from desta2.serve.gate import Overloaded

log = logging.getLogger(__name__)

_FORM = re.compile(r"str|constrained-str|list\[.*\]")
_LONGEST_PLACE = 200
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Problem(Exception):
    """A request that is not answered.

    Args:
        status: Of HTTP.
        message: What was given, what was expected, what to do.
        param: The part of the request that it is about.
        code: A word for programs.
        headers: More of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON object."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        """The HTTP response."""
        return Response(
            json.dumps(self.body(), ensure_ascii=False), self.status, self.headers, "application/json"
        )


def problem_of(error: Exception) -> Problem:
    """What a client is told of an error; what is not the client's mistake is named by its kind alone."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Overloaded):
        return Problem(429, str(error), code="overloaded", headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, InputError):
        return Problem(400, str(error), code="invalid_value")
    if isinstance(error, TimeoutError):
        return Problem(504, "the answer took longer than this server allows", code="timeout")
    log.error("a request failed: %s: %s", type(error).__name__, error)
    return Problem(500, "the server failed to answer; its log says why", code="internal_error")


def problem_of_body(error: ValidationError) -> Problem:
    """What is wrong with the JSON of a request.

    The deepest mistake is named: where several forms are possible, it is in the one that came nearest.
    """
    mistakes = error.errors(include_url=False, include_input=False, include_context=False)
    mistake = max(mistakes, key=lambda one: len(one["loc"]))
    place = _place(mistake["loc"]) or None
    if mistake["type"] == "extra_forbidden":
        return Problem(400, f"Unrecognized request argument supplied: {place}", place, "unknown_parameter")
    if mistake["type"] == "json_invalid":
        return Problem(400, f"the body is not JSON: {mistake['msg']}", code="invalid_json")
    return Problem(400, f"{place or 'body'}: {mistake['msg']}", place, "invalid_value")


def _place(steps: tuple[int | str, ...]) -> str:
    """Where a mistake is, without pydantic's names of forms: `str`, `list[…]`, and tags behind a number."""
    kept = [
        step
        for before, step in zip((None, *steps), steps, strict=False)
        if isinstance(step, int) or not (isinstance(before, int) or _FORM.fullmatch(step))
    ]
    return ".".join(map(str, kept))[:_LONGEST_PLACE]
