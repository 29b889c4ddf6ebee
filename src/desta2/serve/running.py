"""The server process: uvicorn, its signals, and what happens between SIGTERM and the end.

SIGTERM (or Ctrl-C) stops new connections; answers that are being written are finished, for as long as any
answer may take, and then the process ends: with 0, or with 130 after Ctrl-C. A second Ctrl-C ends it at once.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable

from desta2.errors import RunError
from desta2.serve.service import Backend, Settings

_BACKLOG = 2048

_SWITCH_SECONDS = 5e-4
"""How long a thread may keep Python to itself. The LLM's thread computes nearly all the time, and each event
that is sent waits for it: with Python's 5 ms a stream of 32 clients stutters."""


def run(
    backend: Backend,
    settings: Settings,
    host: str,
    port: int,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until a signal.

    Args:
        backend: What hears and speaks.
        settings: Of the server.
        host, port: Where to listen; port 0 takes a free one.
        listening: Called with the base URL of the API, once connections are taken.

    Raises:
        RunError: The address cannot be had, or the server's packages are not installed.
    """
    try:
        import uvicorn

        from desta2.serve.app import make_app
    except ImportError as error:
        raise RunError(f"{error.name} is not installed: pip install 'desta2[serve]'") from error
    config = uvicorn.Config(
        make_app(backend, settings),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(settings.limits.seconds) + 1,
    )
    sys.setswitchinterval(_SWITCH_SECONDS)
    with _bound(host, port) as bound:
        listening(_url(host, bound.getsockname()[1]))
        # uvicorn raises a signal that it has obeyed once more; then the handler from before it decides.
        signal.signal(signal.SIGTERM, _end)
        uvicorn.Server(config).run(sockets=[bound])


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise RunError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def _end(*_: object) -> None:
    raise SystemExit(0)
