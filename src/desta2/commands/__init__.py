"""What the verbs share: option types, and the two ways to show a result.

A module of this package is thin: it parses, calls, prints. It imports heavy libraries inside its functions,
because `desta2 --help` imports all of them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

DataRoot = Annotated[Path | None, typer.Option(help="Where relative audio paths are looked for first.")]
Processes = Annotated[int | None, typer.Option(min=1, help="Processes to use; all cores by default.")]
SkipBad = Annotated[bool, typer.Option(help="Count and list bad lines and clips instead of stopping.")]

DEBUG = "desta2.debug"
"""Key of `Context.meta`, which a verb shares with its parents, for the choice of --debug."""


def emit(result: Mapping[str, Any], as_json: bool, text: str) -> None:
    """Print a result to stdout: one JSON object and nothing else, or `text` for people.

    Of several processes that torchrun or accelerate started, the first one speaks for all.

    Args:
        result: JSON values only; NaN and infinity are refused, as JSON has none.
        as_json: the value of the verb's `--json`.
        text: the same in words.

    Raises:
        ValueError: `result` holds NaN or infinity.
        TypeError: `result` holds something that JSON cannot hold.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False) if as_json else text)


def setup_logging(verbosity: int) -> None:
    """Send the package's log to stderr: warnings, with 1 also what is being done, with 2 everything."""
    from desta2.progress import stderr_console

    console = stderr_console()
    handler: logging.Handler
    if console.is_terminal:
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    package = logging.getLogger("desta2")
    package.handlers = [handler]
    package.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbosity, 2)])


def quiet_transformers() -> None:
    """Leave progress and words to us: transformers' own bars and hints would stand between ours.

    Verbs that load models call it first, since it takes a second to import transformers.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    if not logging.getLogger("desta2").isEnabledFor(logging.INFO):
        transformers_logging.set_verbosity_error()


def _on_verbose(verbosity: int) -> int:
    if verbosity:
        setup_logging(verbosity)
    return verbosity


def _on_debug(context: typer.Context, debug: bool) -> bool:
    if debug:
        context.meta[DEBUG] = True
    return debug


# The parameters of a verb: `def seed(clips: Path, as_json: AsJson = False, verbose: Verbose = 0, ...)`.
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout and nothing else.")]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=_on_verbose,
        show_default=False,
        metavar="",
        help="Log what is being done; -vv logs more.",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", callback=_on_debug, help="Show the traceback of an error.")]
