"""The server process: uvicorn, its signals, and what happens between SIGTERM and the end.

SIGTERM (or Ctrl-C) stops new connections; answers that are being written are finished, for as long as any
answer may take, and then the process ends: with 0, or with 130 after Ctrl-C. A second Ctrl-C ends it at once.
"""

from __future__ import annotations

import logging
import signal
import sys

from desta2.errors import RunError
from desta2.serve.service import Backend, Settings

log = logging.getLogger(__name__)

_SWITCH_SECONDS = 5e-4
"""How long a thread may keep Python to itself. The LLM's thread computes nearly all the time, and each event
that is sent waits for it: with Python's 5 ms a stream of 32 clients stutters."""


def run(backend: Backend, settings: Settings, host: str, port: int) -> None:
    """Serve until a signal.

    Args:
        backend: What hears and speaks.
        settings: Of the server.
        host, port: Where to listen; port 0 takes a free one, which the log names.

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
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(settings.limits.seconds) + 1,
    )
    sys.setswitchinterval(_SWITCH_SECONDS)
    # uvicorn raises a signal that it has obeyed once more; then the handler from before it decides.
    signal.signal(signal.SIGTERM, _end)
    try:
        uvicorn.Server(config).run()
    except SystemExit as error:
        if error.code:  # uvicorn's way to say that it could not bind
            raise RunError(f"cannot listen on {host} port {port}; the log says why") from error


def _end(*_: object) -> None:
    raise SystemExit(0)
