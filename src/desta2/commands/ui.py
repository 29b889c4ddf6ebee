"""The verb ui."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from desta2.commands import Verbose, quiet_transformers
from desta2.commands.model import Fast, Model


def ui(
    model: Model = "nano",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7860,
    open_to_all: Annotated[
        bool, typer.Option("--open-to-all", help="Listen beyond this machine; nobody is asked for a key.")
    ] = False,
    scheme: Annotated[Path | None, typer.Option(help="Your own attributes.yaml, for the inspector.")] = None,
    fast: Fast = False,
    verbose: Verbose = 0,
) -> None:
    """Open a web chat with microphone, and an inspector of clips.

    Example: desta2 ui --model nano
    """
    from desta2.errors import InputError
    from desta2.inspection import scheme_of
    from desta2.serve.settings import is_loopback

    if not is_loopback(host) and not open_to_all:
        raise InputError(
            f"--host {host} lets other machines in, and nobody is asked for a key: give --open-to-all if "
            "that is meant, or put a proxy that asks before it"
        )
    chosen = scheme_of(model, scheme)
    quiet_transformers()
    from desta2.model.modeling import load
    from desta2.ui.chat import Chat
    from desta2.ui.running import run

    run(
        Chat(load(model, fast=fast), chosen),
        model,
        host,
        port,
        lambda url: typer.echo(f"chat at {url} (Ctrl-C ends it)", err=True),
    )
