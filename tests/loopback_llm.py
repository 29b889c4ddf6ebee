"""An OpenAI-compatible server on this machine, and the stage that asks it: a module, so that workers find it."""

import hashlib
import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, BrokenBarrierError, Thread

from desta2.data.backends import Reply
from desta2.data.respond import respond


def respond_by_url(url, source, out):
    """`respond` as a stage; also tells which process did it."""
    backend = UrlBackend(url)
    summary = respond(source, out, backend)
    return {"written": summary.written, "process": [os.getpid()]}


class UrlBackend:
    """The least that speaks to the server: one request after another."""

    name, fingerprint = "loopback", None

    def __init__(self, url):
        self._url = url

    def reply(self, requests, sampling):
        return [self._ask(request) for request in requests]

    def _ask(self, request):
        body = json.dumps({"model": self.name, "messages": request.messages}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self._url}/chat/completions", body, headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            choice = json.load(answer)["choices"][0]
        return Reply(choice["message"]["content"], choice["finish_reason"] == "stop")


class LoopbackLLM:
    """`with LoopbackLLM() as llm`: `llm.url`; answers depend on the messages alone. `llm.asked` counts.

    With `together`, the first so many requests wait for each other: as many must be in flight at a time.
    """

    def __init__(self, together=1):
        self.asked = 0
        self.barrier = Barrier(together)
        self.met = together == 1
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"llm": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.barrier.abort()
        self._server.shutdown()
        self._server.server_close()

    def wait_for_others(self):
        if not self.met:
            try:
                self.barrier.wait(60)
            except BrokenBarrierError:
                return
            self.met = True


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        """No lines on stderr."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.llm.asked += 1
        self.llm.wait_for_others()
        heard = hashlib.sha256(json.dumps(asked["messages"], sort_keys=True).encode()).hexdigest()[:12]
        message = {"role": "assistant", "content": f"I hear {heard}."}
        body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
