"""`POST /v1/audio/transcriptions`: what Whisper writes of an uploaded clip, without the LLM.

Source of the form: https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from desta2.serve.problems import Problem

FORMATS = ("json", "text")
_FIELDS = ("file", "model", "language", "prompt", "response_format", "temperature", "stream", "include[]")
_MAX_FIELDS = 32


@dataclass(frozen=True)
class Transcription:
    """What is asked for.

    Attributes:
        data: The bytes of the audio file; its name is not looked at.
        model: Its name.
        language: What is spoken, where Whisper shall not detect it.
        response_format: One of `FORMATS`.
    """

    data: bytes
    model: str
    language: str | None
    response_format: str

    @classmethod
    async def of(cls, request: Request) -> Transcription:
        """Read the form.

        Raises:
            Problem: 400: something is missing, unknown, or not done here.
        """
        try:
            async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
                _check(form)
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise Problem(400, "the form has no file named 'file'", "file", "missing")
                return cls(
                    await file.read(),
                    _text(form, "model") or "",
                    _text(form, "language"),
                    _text(form, "response_format") or "json",
                )
        except HTTPException as error:  # of the parser
            raise Problem(
                400, f"the body is no multipart form: {error.detail}", code="invalid_form"
            ) from None


def _check(form: FormData) -> None:
    for name in form:
        if name not in _FIELDS:
            raise Problem(
                400, f"Unrecognized request argument supplied: {name[:100]}", name[:100], "unknown_parameter"
            )
    if (wanted := _text(form, "response_format") or "json") not in FORMATS:
        message = (
            f"response_format is {wanted[:100]!r}; here it is one of {', '.join(FORMATS)}: there are no times"
        )
        raise Problem(400, message, "response_format", "unsupported_parameter")
    if (_text(form, "stream") or "false").lower() not in ("false", "0"):
        raise Problem(400, "stream is not supported for transcriptions", "stream", "unsupported_parameter")
    temperature = _text(form, "temperature") or "0"
    if not _is_zero(temperature):
        message = (
            f"temperature is {temperature[:100]!r}; transcripts are not drawn here, leave it out or give 0"
        )
        raise Problem(400, message, "temperature", "unsupported_parameter")


def _text(form: FormData, name: str) -> str | None:
    """A field; None where it is missing or empty."""
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise Problem(400, f"{name} must be text, not a file", name, "invalid_value")
    return value or None


def _is_zero(text: str) -> bool:
    try:
        return math.isclose(float(text), 0)
    except ValueError:
        return False
