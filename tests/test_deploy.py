"""The files of deploy/ cannot be built here; what they say to desta2 can be checked."""

import configparser
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from desta2.cli import app

DEPLOY = Path(__file__).parents[1] / "deploy"


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def dockerfile(instruction):
    text = (DEPLOY / "Dockerfile").read_text()
    return json.loads(re.search(rf"^{instruction} (\[.*\])$", text, re.MULTILINE)[1])


def unit():
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(DEPLOY / "desta2.service")
    return parser["Service"]


def commands():
    entry = dockerfile("ENTRYPOINT")
    yield entry + dockerfile("CMD")
    for service in compose()["services"].values():
        yield entry + service["command"]
    yield shlex.split(unit()["ExecStart"])


@pytest.mark.parametrize("command", list(commands()))
def test_the_commands_are_ones_that_desta2_takes(command):
    assert Path(command[0]).name == "desta2"
    verb = typer.main.get_command(app).commands[command[1]]
    given = verb.make_context("serve", command[2:], resilient_parsing=False).params
    assert given["host"] == "0.0.0.0"
    assert given["api_keys"], "who is reached by other machines asks for keys"


def test_what_is_copied_and_mounted_is_there_and_fits():
    text = (DEPLOY / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (DEPLOY.parent / name).exists(), name
    found = compose()
    for service in found["services"].values():
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        assert set(service["secrets"]) <= set(found["secrets"])
        [keys] = [word for word in service["command"] if word.startswith("/run/secrets/")]
        assert Path(keys).name in service["secrets"]
    assert "VOLUME /home/desta2/models" in text


def test_there_is_time_to_finish_answers():
    """More than `--timeout`, which is 120 s."""
    assert {service["stop_grace_period"] for service in compose()["services"].values()} == {"130s"}
    assert int(unit()["TimeoutStopSec"]) == 130
