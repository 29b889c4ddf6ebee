"""The verb serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from desta2.commands import Verbose, quiet_transformers
from desta2.commands.model import Fast, Model

if TYPE_CHECKING:
    from desta2.serve.service import Backend


def serve(
    model: Model = "nano",
    name: Annotated[
        str | None, typer.Option(help="What requests call the model; default: as given with --model.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    api_keys: Annotated[
        Path | None, typer.Option(help="File of API keys, one NAME:HASH a line; see --new-key.")
    ] = None,
    new_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print a fresh API key and its line, and exit.")
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open-to-all", help="Listen beyond this machine without API keys.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name under which a proxy on this machine addresses the server; repeat."),
    ] = None,
    audio_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST", help="Fetch clips by URL from this host, '*.example.com' or host:port; repeat."
        ),
    ] = None,
    answers_at_once: Annotated[int, typer.Option(min=1, help="Answers that are written together.")] = 32,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait; more get 429.")] = 16,
    per_client: Annotated[
        int, typer.Option(min=1, help="Requests of one API key (or address) at once.")
    ] = 1024,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 1024,
    max_seconds: Annotated[float, typer.Option(min=1, help="Longest clip, in seconds.")] = 600.0,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Largest request.")] = 64,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds until an answer has to be complete.")
    ] = 120.0,
    llm_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A vLLM that answers (…/v1); here clips are heard, without the LLM's weights."
        ),
    ] = None,
    llm_name: Annotated[
        str | None, typer.Option(help="By URL: the LLM to ask for, where there are several.")
    ] = None,
    llm_key_env: Annotated[
        str, typer.Option(help="By URL: the environment variable that holds vLLM's API key.")
    ] = "DESTA2_API_KEY",
    fast: Fast = False,
    verbose: Verbose = 0,
) -> None:
    """Serve a model over HTTP, by OpenAI's API.

    Example: desta2 serve --model nano, and then with the official client
    OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="-").chat.completions.create(model="nano", …)
    """
    from desta2.serve.fetch import FetchRules
    from desta2.serve.keys import Keys
    from desta2.serve.keys import new_key as make_key
    from desta2.serve.settings import LOOPBACK_NAMES, Limits, is_loopback

    if new_key is not None:
        key, line = make_key(new_key)
        typer.echo(f"key, for the client, shown only now: {key}\nline, for the file of keys: {line}")
        return
    keys = None if api_keys is None else Keys.read(api_keys)
    _check_open(host, keys is not None, open_to_all)
    local = is_loopback(host)
    limits = Limits(
        body_bytes=max_megabytes << 20,
        clip_seconds=max_seconds,
        total_seconds=2 * max_seconds,
        answer_tokens=max_tokens,
        answers_at_once=answers_at_once,
        queue=queue,
        per_client=per_client,
        seconds=timeout,
    )
    from desta2.serve.running import run
    from desta2.serve.service import Settings

    settings = Settings(
        name=name or model,
        limits=limits,
        keys=keys,
        rules=FetchRules(tuple(audio_from or ()), max_bytes=limits.body_bytes),
        hosts=(*LOOPBACK_NAMES, *(allow_host or ())) if local else (),
    )
    quiet_transformers()
    if llm_url is None:
        backend = _local(model, fast)
    else:
        backend = _remote(model, fast, llm_url, llm_name, os.environ.get(llm_key_env), timeout)
    run(backend, settings, host, port, _say_where)


def _local(model: str, fast: bool) -> Backend:
    """The LLM answers in this process."""
    from desta2.model.modeling import load
    from desta2.serve.local import LocalSpeaker
    from desta2.serve.service import Backend

    loaded = load(model, fast=fast)
    return Backend(loaded, lambda: LocalSpeaker(loaded))


def _remote(
    model: str, fast: bool, url: str, name: str | None, api_key: str | None, timeout: float
) -> Backend:
    """An engine answers, elsewhere."""
    from desta2.model.modeling import load
    from desta2.serve.remote import RemoteSpeaker, check_engine, find_engine
    from desta2.serve.service import Backend

    engine = find_engine(url, name, api_key)  # before anything is loaded
    loaded = load(model, fast=fast, embeddings_only=True)
    check_engine(engine, loaded)
    return Backend(loaded, lambda: RemoteSpeaker(loaded, engine, timeout))


def _say_where(url: str) -> None:
    typer.echo(f"serving at {url} (Ctrl-C ends it)", err=True)


def _check_open(host: str, has_keys: bool, open_to_all: bool) -> None:
    from desta2.errors import InputError
    from desta2.serve.settings import is_loopback

    if not is_loopback(host) and not has_keys and not open_to_all:
        raise InputError(
            f"--host {host} lets other machines in, and nobody would be asked for a key: give --api-keys "
            "FILE (--new-key NAME makes one), or --open-to-all if that is meant"
        )
