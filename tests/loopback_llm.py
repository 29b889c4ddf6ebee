"""An OpenAI-compatible server on this machine, as good or as bad as a test wants it."""

import json
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from desta2.data.backends import PromptStyle
from desta2.data.endpoint import EndpointBackend
from desta2.data.respond import Asking, respond


@dataclass
class Raw:
    """An answer as it goes over the wire.

    `announced` is the length that the header promises, if not the true one; `reset` breaks the connection off
    before anything is said; `delay` is waited before, in seconds.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None
    reset: bool = False
    delay: float = 0.0


_DESCRIBE = Asking()


def respond_by_url(
    url: str, source: Path, out: Path, asking: Asking = _DESCRIBE, concurrency: int = 1
) -> dict[str, Any]:
    """`respond` to a server, for other processes; also tells which process did it."""
    summary = respond(source, out, EndpointBackend(url, PromptStyle(), concurrency=concurrency), asking)
    return {"written": summary.written, "process": [os.getpid()]}


def chat(text: Any, finish_reason: Any = "stop", **choice: Any) -> Raw:
    """A chat completion."""
    entry = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return Raw(body=json.dumps({"object": "chat.completion", "choices": [entry | choice]}).encode())


def completion(text: Any, finish_reason: Any = "stop") -> Raw:
    """A completion of token ids."""
    entry = {"index": 0, "text": text, "finish_reason": finish_reason}
    return Raw(body=json.dumps({"object": "text_completion", "choices": [entry]}).encode())


class LoopbackLLM:
    """`with LoopbackLLM(answer) as server`: `answer(body, number)` gives the `Raw` of each POST.

    `server.bodies` and `server.headers` are what came, in order; `server.most` the most that were in flight at
    a time; `server.models` (id → root) may be set, also to a Raw.
    """

    def __init__(self, answer: Callable[[dict[str, Any], int], Raw], models: Any = None) -> None:
        self.answer = answer
        self.models = {"tiny": "tiny"} if models is None else models
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most = self.now = 0
        self.lock = Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"llm": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "LoopbackLLM":
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Clients that leave are no news."""


class _Handler(BaseHTTPRequestHandler):
    llm: LoopbackLLM
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer

    def log_message(self, *_: object) -> None:
        """No lines on stderr."""

    def do_GET(self) -> None:
        models = self.llm.models
        if isinstance(models, Raw):
            return self._send(models)
        data = [{"id": name, "object": "model", "root": root} for name, root in models.items()]
        self._send(Raw(body=json.dumps({"object": "list", "data": data}).encode()))

    def do_POST(self) -> None:
        llm = self.llm
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with llm.lock:
            number = len(llm.bodies)
            llm.bodies.append(body | {"path": self.path})
            llm.headers.append(dict(self.headers))
            llm.times.append(time.monotonic())
            llm.now += 1
            llm.most = max(llm.most, llm.now)
        try:
            raw = llm.answer(body, number)
            time.sleep(raw.delay)
        finally:
            with llm.lock:
                llm.now -= 1
        self._send(raw)

    def _send(self, raw: Raw) -> None:
        if raw.reset:
            # closing with linger 0 sends a reset instead of a proper end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(raw.status)
        for name, value in ({"Content-Type": "application/json"} | raw.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw.body) if raw.announced is None else raw.announced))
        self.end_headers()
        self.wfile.write(raw.body)
        self.close_connection = raw.announced is not None
