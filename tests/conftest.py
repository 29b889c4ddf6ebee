"""What every test gets: one thread, no network, no GPU unless there is one, logging as it was."""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["tiny"]  # tiny frozen models, as fixtures

# Before anything imports torch or transformers, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

# No deadline: a busy machine is no defect of the code. On CI the same examples every time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _package_log_as_it_was() -> Iterator[None]:
    """Running the command line in process sets the package's log up; the next test must not see it."""
    package = logging.getLogger("desta2")
    handlers, level = package.handlers, package.level
    yield
    package.handlers = handlers
    package.setLevel(level)
