"""The command line: one verb per stage, one line per error.

The verbs live in `desta2.commands`; here they are joined, and whatever they raise becomes an exit code:
0 success, 1 the run failed, 2 the user's mistake, 130 interrupted, 141 nobody reads our output any more.
"""

from __future__ import annotations

import os
import re
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from desta2 import __version__
from desta2.commands import DEBUG, Debug, Verbose, setup_logging
from desta2.commands.augment import augment
from desta2.commands.build import build
from desta2.commands.check import check
from desta2.commands.compare import BesideVerbs
from desta2.commands.convert import convert
from desta2.commands.corpus import corpus
from desta2.commands.data import annotate, seed
from desta2.commands.demo import demo
from desta2.commands.evaluate import evaluate
from desta2.commands.features import features
from desta2.commands.inspect import inspect
from desta2.commands.model import chat
from desta2.commands.nano import app as nano
from desta2.commands.respond import respond
from desta2.commands.scale import app as scale
from desta2.commands.score import app as score
from desta2.commands.serve import serve
from desta2.commands.train import train
from desta2.commands.ui import ui
from desta2.errors import Desta2Error

INTERRUPTED = 130
NO_READER = 141

app = typer.Typer(
    name="desta2",
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"desta2 {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _desta2(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
    verbose: Verbose = 0,
    debug: Debug = False,
) -> None:
    """Speech language models without speech instruction data, by the method of DeSTA2.

    To see the whole method run, offline: desta2 demo

    What a verb does, with an example: desta2 VERB --help
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_verb: Callable[..., None]
for _verb in (demo, corpus, augment, annotate, seed, respond, check, build, features, train):
    app.command()(_verb)
app.command(cls=BesideVerbs)(evaluate)
for _verb in (chat, inspect, serve, ui, convert):
    app.command()(_verb)
app.add_typer(nano, name="nano")
app.add_typer(scale, name="scale")
app.add_typer(score, name="score")


def main() -> None:
    """Entry point of the `desta2` script."""
    sys.exit(run(app, sys.argv[1:]))


def run(app: typer.Typer, argv: Sequence[str]) -> int:
    """Run a command of `app` and turn whatever it raises into a line on stderr and an exit code.

    Args:
        app: the commands.
        argv: the arguments, without the program's name.

    Returns:
        The exit code.
    """
    setup_logging(0)
    debug = os.environ.get("DESTA2_DEBUG", "0") not in ("", "0")
    try:
        command = typer.main.get_command(app)
        with command.make_context("desta2", list(argv)) as context:
            try:
                command.invoke(context)
            finally:
                debug = debug or bool(context.meta.get(DEBUG))
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted: what is finished is kept, run the same command again to continue", "")
        return INTERRUPTED
    except typer.TyperException as error:
        if not error.format_message():  # a group without a verb: typer has shown its help
            return error.exit_code
        return _fail(_usage(error), error.exit_code, debug)
    except Desta2Error as error:
        return _fail(str(error), error.exit_code, debug)
    except BrokenPipeError as error:
        if _nobody_reads():
            return NO_READER
        return _fail(_unexpected(error, debug), 1, debug)
    except Exception as error:
        return _fail(_unexpected(error, debug), 1, debug)
    return 0


def _fail(message: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    _complain(message)
    return exit_code


def _complain(message: str, prefix: str = "error: ") -> None:
    """Print one line to stderr, whatever the message looks like: lines are joined by `; `."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    folded = re.sub(r"([:;,.]); ", r"\1 ", "; ".join(lines))
    typer.echo(f"{prefix}{folded}", err=True)


def _unexpected(error: Exception, debug: bool) -> str:
    hint = "" if debug else " (DESTA2_DEBUG=1 shows where it happened)"
    return f"unexpected {type(error).__name__}: {error}{hint}"


def _usage(error: typer.TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)  # only a mistake in the arguments has one
    return message if context is None else f"{message.rstrip('.')}; see '{context.command_path} --help'"


def _nobody_reads() -> bool:
    """Whether it is the reader of our stdout who is gone (`desta2 ... | head`), not the peer of a socket.

    Asked of the system: after a failed write Python may have dropped the text, and flushing succeeds.
    """
    stdout = select.poll()
    stdout.register(1, select.POLLOUT)
    gone = any(state & (select.POLLERR | select.POLLHUP) for _, state in stdout.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered would fail at exit
    return gone
