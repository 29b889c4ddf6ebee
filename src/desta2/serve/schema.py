"""Bodies of requests in the OpenAPI schema: all that is taken, in one piece, with the one model's name."""

from __future__ import annotations

from typing import Any

from desta2.serve.requests import ChatRequest
from desta2.serve.transcriptions import FORMATS


def chat_body(name: str) -> dict[str, Any]:
    """The JSON body of a chat completion for the model `name`."""
    schema = ChatRequest.model_json_schema()
    whole = _inlined(schema, schema.pop("$defs"))
    whole["properties"]["model"] = {"enum": [name]}
    return {"content": {"application/json": {"schema": whole}}, "required": True}


def form_body(name: str) -> dict[str, Any]:
    """The multipart form of a transcription by the model `name`."""
    properties = {
        "file": {"type": "string", "format": "binary"},
        "model": {"enum": [name]},
        "language": {"type": "string"},
        "prompt": {"type": "string"},
        "response_format": {"enum": list(FORMATS)},
        "temperature": {"enum": [0]},
    }
    schema = {
        "type": "object",
        "required": ["file", "model"],
        "additionalProperties": False,
        "properties": properties,
    }
    return {"content": {"multipart/form-data": {"schema": schema}}, "required": True}


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """A schema without references: pydantic's point to where OpenAPI has something else."""
    if isinstance(schema, list):
        return [_inlined(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {key: _inlined(value, parts) for key, value in schema.items() if key != "discriminator"}
