"""The published implementations' numbers (see README.md here), and our models of the same weights.

Every model comes through the command line and `from_pretrained`, as a user's would.
`pytest tests/parity --log-cli-level=INFO` shows how near each number is.
"""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file

from desta2.cli import app, run
from desta2.model import Desta2Model

log = logging.getLogger("parity")
FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def small():
    """DeSTA2: folder, frozen models, messages with paths that can be opened, tensors."""
    return _case(FOLDER / "desta2_small", "llama", ".")


@pytest.fixture(scope="session")
def large():
    """DeSTA2.5, likewise."""
    return _case(FOLDER / "desta25_large", "llm", "checkpoint")


def _case(folder, llm, checkpoint):
    def opened(value):
        """The same value with clips as absolute paths."""
        if isinstance(value, list):
            return [opened(one) for one in value]
        if isinstance(value, dict):
            return {key: opened(one) for key, one in value.items()}
        return str(folder / value) if isinstance(value, str) and value.endswith(".wav") else value

    return SimpleNamespace(
        folder=folder,
        checkpoint=folder / checkpoint,
        bases=["--llm", str(folder / llm), "--encoder", str(folder / "whisper")],
        case=opened(json.loads((folder / "case.json").read_text())),
        tensors=load_file(folder / "tensors.safetensors"),
    )


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """`converted(source, *options)`: the model that `desta2 convert` makes."""
    made = {}

    def convert(source, *options):
        key = (str(source), *options)
        if key not in made:
            folder = tmp_path_factory.mktemp("converted")
            assert run(app, ["convert", str(source), "-o", str(folder), *options]) == 0
            made[key] = Desta2Model.from_pretrained(folder)
        return made[key]

    return convert


@pytest.fixture(scope="session")
def near():
    """`near(what, actual, expected, within)`: the largest absolute difference is at most `within`."""

    def check(what, actual, expected, within):
        assert actual.shape == expected.shape, what
        difference = (actual.detach() - expected).abs().max().item()
        log.info("%s: %.1e (at most %.0e)", what, difference, within)
        assert difference <= within, f"{what} differs by {difference:.2e}, more than {within:.0e}"

    return check
