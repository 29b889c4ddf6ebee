"""`desta2 train` in processes of their own: real ones, to be killed, or to train together.

A server that has imported torch and transformers once forks each of them, which saves ten seconds a process.
"""

import multiprocessing
import os
import socket
import sys
import time

import yaml

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["desta2.train.trainer", "desta2.cli"])


def write_config(config, folder):
    """A `TrainConfig` as the file that its user would have written."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    return file


def start(file, environment=None, prepare=None, verb="train"):
    """A process that runs `desta2 VERB file`; what it says goes to `file` with the suffixes `.err` and `.out`."""
    process = _SERVER.Process(target=_run, args=(file, environment or {}, prepare, verb))
    process.start()
    return process


def together(file, processes=2, prepare=None, verb="train"):
    """Some processes that train together over gloo, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    return [start(file, {**common, "RANK": i, "LOCAL_RANK": i}, prepare, verb) for i in range(processes)]


def finish(*processes, seconds=100):
    """Wait, and return the exit codes."""
    for process in processes:
        process.join(seconds)
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def wait_for(condition, process, seconds=60):
    """Until `condition()` is true; fails if the process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.is_alive() and time.monotonic() < end
        time.sleep(0.005)


def said(file, suffix=".err"):
    return file.with_suffix(suffix).read_text()


def _run(file, environment, prepare, verb):
    os.environ.update({name: str(value) for name, value in environment.items()})
    os.environ.setdefault("TERM", "dumb")
    for number, suffix in ((1, ".out"), (2, ".err")):
        with open(file.with_suffix(suffix), "a") as own:
            os.dup2(own.fileno(), number)
    import torch

    torch.set_num_threads(1)
    if prepare is not None:
        prepare()
    from desta2.cli import app, run

    code = run(app, [verb, str(file)])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
