"""The real command line, run in this process, on the tiny frozen models of tests/model."""

import json

import pytest

from desta2.cli import app, run


@pytest.fixture
def cli(capsys, monkeypatch):
    """`cli(*argv)` → exit code, stdout, stderr of a verb."""
    monkeypatch.delenv("DESTA2_DEBUG", raising=False)

    def call(*argv):
        capsys.readouterr()
        code = run(app, [str(word) for word in argv])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def result(cli):
    """`result(*argv)`: what a verb prints with --json, which must be one object and nothing else."""

    def call(*argv):
        code, out, err = cli(*argv, "--json")
        assert code == 0, err
        assert out.count("\n") == 1, out
        found = json.loads(out)
        assert isinstance(found, dict)
        return found

    return call


@pytest.fixture
def mistake(cli):
    """`mistake(*argv)`: the line that a user's mistake gives."""

    def call(*argv):
        code, out, err = cli(*argv)
        lines = err.splitlines()
        assert (code, out) == (2, ""), err
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:], err
        assert "Traceback" not in err
        return lines[-1].removeprefix("error: ")

    return call


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, make_model, bases):
    """A saved model with a fresh adapter."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_model(bases).save_pretrained(folder)
    return folder
