"""Tasks that need no model, for the processes of the study's tests."""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from desta2.errors import InputError
from desta2.nano.pool import perform_all
from desta2.nano.study.data import Bases
from desta2.nano.study.plan import SCALES
from desta2.nano.study.work import Setup


@dataclass(frozen=True)
class Noted:
    """Writes a file with the process's id, after a while; or fails."""

    name: str
    seconds: float = 0.0
    error: str = ""

    def is_done(self, setup: Setup) -> bool:
        return (setup.folder / self.name).exists()

    def perform(self, setup: Setup) -> None:
        (setup.folder / f"{self.name}.begun").write_text(str(os.getpid()))
        logging.getLogger("desta2").warning("this is %s", self.name)
        time.sleep(self.seconds)
        if self.error:
            raise InputError(self.error)
        (setup.folder / self.name).write_text(os.environ["OMP_NUM_THREADS"])


def setup_in(folder: Path) -> Setup:
    return Setup(folder, SCALES["small"], Bases())


def sleep_for_long(folder: Path) -> None:
    """The target of a process that is killed: two tasks, side by side, which would take minutes."""
    tasks = [Noted("one", 300.0), Noted("two", 300.0)]
    perform_all(tasks, setup_in(folder), 2, "sleeping")
