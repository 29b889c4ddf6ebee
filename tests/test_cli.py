"""The command line around the verbs: help, exit codes, one line per error, clean stdout."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from desta2 import __version__
from desta2.cli import run
from desta2.commands import AsJson, Debug, Verbose, emit
from desta2.errors import ConfigError, InputError, RunError

THROWERS = {
    "input": InputError("no clips in a.jsonl"),
    "run": RunError("the LLM did not answer"),
    "lines": ConfigError("unknown key 'a' in f\nunknown key 'b' in f"),
    "lead-in": InputError("two problems:\n  one\n\n  two\n"),
    "bug": ValueError("shapes (2,) and (3,)\ndiffer"),
    "socket": BrokenPipeError(32, "Broken pipe"),
}


def make_app() -> typer.Typer:
    """A command line with the real one's options and verbs to throw away."""
    app = typer.Typer(add_completion=False)

    @app.callback()
    def root(verbose: Verbose = 0, debug: Debug = False) -> None: ...

    @app.command()
    def fail(how: str, verbose: Verbose = 0, debug: Debug = False) -> None:
        raise THROWERS[how]

    @app.command()
    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    @app.command()
    def leave() -> None:
        raise typer.Exit(3)

    @app.command()
    def ask() -> None:
        typer.confirm("Sure?", abort=True)

    @app.command()
    def score(
        as_json: AsJson = False, verbose: Verbose = 0, n: Annotated[int, typer.Option(min=1)] = 1
    ) -> None:
        """Score something.

        Example: desta2 score -n 3
        """
        logging.getLogger("desta2.somewhere").info("scoring")
        logging.getLogger("desta2.somewhere").debug("in detail")
        emit({"value": 0.5, "name": "é"}, as_json, f"value 0.5 of {n}")

    group = typer.Typer(no_args_is_help=True)
    group.command("corpus")(leave)
    group.command("other")(leave)
    app.add_typer(group, name="nano")
    return app


@pytest.fixture
def cli(capsys):
    def call(*argv: str) -> tuple[int, str, str]:
        code = run(make_app(), argv)
        return code, *capsys.readouterr()

    return call


def desta2_process(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([Path(sys.executable).with_name("desta2"), *argv], capture_output=True, text=True)


# Results


def test_text_result(cli):
    assert cli("score", "--n", "4") == (0, "value 0.5 of 4\n", "")


def test_json_result_is_one_object_and_nothing_else(cli):
    code, out, err = cli("score", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"value": 0.5, "name": "é"}
    assert out.count("\n") == 1


def test_json_refuses_what_json_cannot_hold():
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit({"value": float("nan")}, True, "")


def test_exit_code_of_a_verb_is_kept(cli):
    assert cli("leave") == (3, "", "")


# Log


@pytest.mark.parametrize(
    ("argv", "logged"),
    [
        (["score"], []),
        (["score", "-v"], ["scoring"]),
        (["-v", "score"], ["scoring"]),
        (["score", "-vv"], ["scoring", "in detail"]),
    ],
)
def test_verbosity(cli, argv, logged):
    code, out, err = cli(*argv)
    assert (code, out) == (0, "value 0.5 of 1\n")
    assert [line.split("desta2.somewhere: ")[1] for line in err.splitlines()] == logged


# Errors


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("input", 2, "error: no clips in a.jsonl"),
        ("run", 1, "error: the LLM did not answer"),
        ("lines", 2, "error: unknown key 'a' in f; unknown key 'b' in f"),
        ("lead-in", 2, "error: two problems: one; two"),
        (
            "bug",
            1,
            "error: unexpected ValueError: shapes (2,) and (3,); "
            "differ (DESTA2_DEBUG=1 shows where it happened)",
        ),
        (
            "socket",
            1,
            "error: unexpected BrokenPipeError: [Errno 32] Broken pipe "
            "(DESTA2_DEBUG=1 shows where it happened)",
        ),
    ],
)
def test_an_error_is_one_line_on_stderr(cli, monkeypatch, how, code, line):
    monkeypatch.delenv("DESTA2_DEBUG", raising=False)
    assert cli("fail", how) == (code, "", line + "\n")


@pytest.mark.parametrize("argv", [("--debug", "fail", "bug"), ("fail", "bug", "--debug")])
def test_debug_shows_the_traceback(cli, argv):
    code, out, err = cli(*argv)
    assert (code, out) == (1, "")
    assert "Traceback (most recent call last)" in err
    assert "raise THROWERS[how]" in err
    assert err.splitlines()[-1] == "error: unexpected ValueError: shapes (2,) and (3,); differ"


def test_debug_by_environment(cli, monkeypatch):
    monkeypatch.setenv("DESTA2_DEBUG", "1")
    assert "Traceback" in cli("fail", "input")[2]
    monkeypatch.setenv("DESTA2_DEBUG", "0")
    assert "Traceback" not in cli("fail", "input")[2]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["scor"], "error: No such command 'scor'. Did you mean 'score'?; see 'desta2 --help'"),
        (["score", "--n", "x"], "see 'desta2 score --help'"),
        (["score", "--n", "0"], "greater than or equal to 1; see 'desta2 score --help'"),
        (["fail"], "error: Missing argument 'how'; see 'desta2 fail --help'"),
        (["score", "extra"], "(extra); see 'desta2 score --help'"),
        (["score", "--jsn"], "error: No such option: --jsn"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line_too(cli, argv, line):
    code, out, err = cli(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert line in err
    assert err.count("\n") == 1


def test_a_group_without_a_verb_shows_its_help(cli):
    code, out, err = cli("nano")
    assert code == 2
    assert "corpus" in out + err
    assert "error:" not in err


def test_interrupt(cli):
    assert cli("interrupt") == (
        130,
        "",
        "interrupted: what is finished is kept, run the same command again to continue\n",
    )


def test_end_of_input_at_a_question_is_an_interrupt(cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115 - closed with the test
    assert cli("ask")[0] == 130


@pytest.mark.parametrize("write", ["typer.echo(n)", "print(n)"])  # the one flushes every line, the other not
def test_no_reader_is_no_error(write):
    script = (
        "import sys, typer; from desta2.cli import run\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def flood():\n"
        f"    for n in range(20_000): {write}\n"
        "sys.exit(run(app, []))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert errors == b""


# The real command line


def test_version():
    ran = desta2_process("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"desta2 {__version__}\n", "")


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help(argv):
    ran = desta2_process(*argv)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Usage: desta2" in ran.stdout
    assert "desta2 VERB --help" in ran.stdout


def test_help_is_quick_and_loads_nothing_heavy():
    script = (
        "import sys, desta2.cli\n"
        "code = desta2.cli.run(desta2.cli.app, ['--help'])\n"
        "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'soundfile', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(code or ', '.join(heavy) or 0)\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (ran.returncode, ran.stderr) == (0, "")
    # Processor time, so that a busy machine does not fail it; about 0.4 s when this was written.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
