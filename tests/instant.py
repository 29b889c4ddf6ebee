"""An LLM that answers at once, as a backend of `respond`, and a build that uses it in a process to be killed."""

import hashlib
import time
from pathlib import Path

from desta2.data.backends import PromptStyle, Reply
from desta2.data.build import build, load_build
from desta2.data.build import stages as build_stages


class InstantBackend:
    """Its answers depend on the request alone. Each request is noted in a file before it is answered."""

    kind = "transformers"
    name = "instant"
    fingerprint = "0"
    style = PromptStyle()

    def __init__(self, log: Path, pause: float = 0.0) -> None:
        self._log, self._pause = log, pause

    def answers(self, requests, sampling):
        for request in requests:
            with self._log.open("a") as file:
                file.write(f"{request.id}\n")
            time.sleep(self._pause)
            yield request, Reply(f"I hear {self._digest(request, sampling)}.", True)

    def _digest(self, request, sampling):
        return hashlib.sha256(f"{request.id}{request.messages}{sampling.seed}".encode()).hexdigest()[:12]


def run_build(config: Path, log: Path, pause: float) -> None:
    """A whole build; the target of a process."""
    build_stages.open_backend = lambda *_, **__: InstantBackend(log, pause)
    build(load_build(config))
