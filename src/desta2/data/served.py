"""Which models a server by URL has, and the one to ask for."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

from desta2.data.completions import NoAnswer, ServedModel, read_models
from desta2.data.session import Again, Refused, check_status, named
from desta2.errors import InputError

MODELS_SECONDS = 30.0


class NoModelList(InputError):
    """A server answers, but does not say which models it has."""


def checked_url(url: str) -> str:
    """The URL of the API, without what people add or leave at its end.

    Raises:
        InputError: It cannot be used.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise InputError(f"{url!r} is no URL: {error}; expected one like http://localhost:8000/v1") from error
    if not parsed.host or parsed.query or parsed.fragment:
        raise InputError(f"{url!r} cannot be used; expected a URL like http://localhost:8000/v1")
    if parsed.userinfo:
        raise InputError(
            "the URL holds a user name or password, which would stand in logs; give the key in an "
            "environment variable instead"
        )
    return str(parsed).rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")


def find_model(url: str, headers: Mapping[str, str], wanted: str | None) -> ServedModel:
    """The model to ask for.

    Args:
        url: of the API.
        headers: of the request.
        wanted: its name; None where the server has only one.

    Raises:
        InputError: nobody answers, the server refuses us, or it has no such model.
        NoModelList: the server does not say which models it has.
    """
    address = f"{url}/models"
    try:
        response = httpx2.get(address, headers=dict(headers), timeout=MODELS_SECONDS)
        try:
            check_status(response.status_code, response.headers, response.content, address)
        except InputError as error:
            raise NoModelList(str(error)) if response.status_code == 404 else error from None
        models = read_models(response.content)
    except httpx2.HTTPError as error:
        raise InputError(f"nobody answers at {address}: {named(error)}; is the server running?") from error
    except (NoAnswer, Again, Refused) as error:
        raise NoModelList(f"{address} gave no list of models: {error}; does the URL end in /v1?") from error
    if wanted is None and len(models) == 1:
        wanted = next(iter(models))
    if wanted not in models:
        names = ", ".join(models) or "none"
        given = "give a name with --llm-name" if wanted is None else f"it has no {wanted!r}"
        kind = InputError if models else NoModelList
        raise kind(f"{url} serves these models: {names}; {given}")
    return models[wanted]
