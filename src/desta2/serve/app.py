"""The HTTP application: OpenAI's routes, and those that operators need.

What all requests share (keys, limits, errors, numbers) is in `front`; what an answer takes is in `Service`;
here each route says what it does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from desta2 import __version__
from desta2.errors import Desta2Error
from desta2.serve.front import CLIENT, Front
from desta2.serve.leaving import ClientLeft, unless_left
from desta2.serve.problems import Problem, problem_of, problem_of_body
from desta2.serve.requests import ChatRequest, check_supported
from desta2.serve.schema import chat_body, form_body
from desta2.serve.service import Backend, Service, Settings
from desta2.serve.streams import EventStream
from desta2.serve.transcriptions import Transcription


def make_app(backend: Backend, settings: Settings) -> FastAPI:
    """The application.

    Args:
        backend: Makes what hears and speaks, in the server's event loop.
        settings: Of the server.
    """
    service = Service(backend, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    # The pages of FastAPI's own documentation load scripts from elsewhere; the schema itself stays.
    app = FastAPI(title="desta2", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_openai_routes(app, service)
    _add_operators_routes(app, service)
    for kind in (Problem, Desta2Error, HTTPException, ClientLeft, TimeoutError):
        app.add_exception_handler(kind, _explain)
    paths = frozenset(path for route in app.routes if (path := getattr(route, "path", None)))
    app.add_middleware(
        Front,
        limits=settings.limits,
        metrics=service.metrics,
        routes=paths,
        keys=settings.keys,
        hosts=settings.hosts,
    )
    return app


def _add_openai_routes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions", openapi_extra={"requestBody": chat_body(service.name)})
    async def chat(request: Request) -> Response:
        """Answer a conversation."""
        asked, client = await _chat_request(request), request.scope[CLIENT]
        check_supported(asked)
        service.check_model(asked.model)
        if asked.stream:
            return EventStream(service.events(asked, client))
        return JSONResponse(await unless_left(request.receive, service.completion(asked, client)))

    @app.post("/v1/audio/transcriptions", openapi_extra={"requestBody": form_body(service.name)})
    async def transcribe(request: Request) -> Response:
        """Write down what is said in a clip."""
        asked, client = await Transcription.of(request), request.scope[CLIENT]
        service.check_model(asked.model)
        text = await unless_left(request.receive, service.transcript(asked, client))
        if asked.response_format == "text":
            return PlainTextResponse(text + "\n")
        return JSONResponse({"text": text})

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The one model that is served."""
        return {"object": "list", "data": [service.card()]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        """The model, by its name."""
        service.check_model(name)
        return service.card()


def _add_operators_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Whether it takes requests: 503 while it starts, is full, or drains."""
        service.check_ready()
        return {"status": "ready"}

    @app.get("/metrics")
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return PlainTextResponse(service.metrics.text())


async def _chat_request(request: Request) -> ChatRequest:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a web page can send any other to this machine without being asked
        message = f"the content type is {kind[:100]!r}; it must be application/json"
        raise Problem(415, message, code="wrong_content_type")
    try:
        return ChatRequest.model_validate_json(await request.body())
    except ValidationError as error:
        raise problem_of_body(error) from None


async def _explain(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = Problem(error.status_code, str(error.detail), headers=error.headers)
    if isinstance(error, ClientLeft):
        return Response(status_code=499)
    return problem_of(error).response()
