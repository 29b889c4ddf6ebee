"""Importing desta2 is cheap and touches nothing; its public names load on use."""

import importlib.metadata
import json
import subprocess
import sys

import pytest

import desta2

IMPORT = """
import json, sys, time

def refuse_network(event, args):
    if event.startswith("socket."):
        raise AssertionError(f"import desta2 touched the network: {event}")

sys.addaudithook(refuse_network)
start = time.process_time()
import desta2
print(json.dumps({"seconds": time.process_time() - start, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def fresh_import():
    ran = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_import_loads_no_heavy_library(fresh_import):
    loaded = {name.split(".")[0] for name in fresh_import["modules"]}
    assert "desta2" in loaded
    assert not loaded & {"torch", "transformers", "pydantic", "numpy", "typer", "rich", "yaml", "soundfile"}


def test_import_takes_less_than_the_promised_time(fresh_import):
    assert fresh_import["seconds"] < 0.3  # processor time, so that a busy machine does not fail it


@pytest.mark.parametrize("name", [name for name in desta2.__all__ if name != "__version__"])
def test_public_names_load_on_use(name):
    assert getattr(desta2, name).__name__ == name


def test_dir_lists_the_public_names():
    assert set(desta2.__all__) <= set(dir(desta2))


def test_unknown_name_says_which_exist():
    with pytest.raises(
        AttributeError, match=r"module 'desta2' has no attribute 'Desta3Model'.*'Desta2Model'"
    ):
        desta2.Desta3Model  # noqa: B018 - the access is the test


def test_version_is_that_of_the_distribution():
    assert importlib.metadata.version("desta2") == desta2.__version__
