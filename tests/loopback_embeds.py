"""vLLM's completions API on this machine, as far as we use it, in front of an LLM of transformers.

What it checks and says is vLLM's own way (see `desta2.serve.completions`); it writes token by token.
"""

import base64
import io
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from transformers import DynamicCache


class Refusal(Exception):
    """An answer that is no 200."""

    def __init__(self, status, message, **headers):
        super().__init__(message)
        self.status, self.headers = status, headers


class Engine:
    """`with Engine(llm, decode).running() as url`.

    Args:
        llm: of transformers.
        decode: ids → text.
        per_event: tokens in an event (vLLM's `--stream-interval`).
        pause: seconds between events.
        hook: `hook(body, number)` is called with each request, and may raise `Refusal`, or return the lines
            of a stream to be sent instead of an answer.

    Attributes:
        bodies, headers: of the requests.
        written: tokens of all answers.
        connections: that were taken.
        models: of `/v1/models`.
    """

    def __init__(self, llm, decode, *, per_event=1, pause=0.0, hook=None, name="llm", context=None):
        self.llm, self.decode, self.per_event, self.pause, self.hook = llm, decode, per_event, pause, hook
        self.bodies, self.headers = [], []
        self.written = self.connections = 0
        self.models = [{"id": name, "object": "model", "root": f"/models/{name}", "max_model_len": context}]
        self.lock = threading.Lock()

    @contextmanager
    def running(self):
        handler = type("Handler", (_Handler,), {"engine": self})
        server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()

    def prompt(self, body):
        """The embeddings of a request's prompt: (1, length, width)."""
        table = self.llm.get_input_embeddings()
        if body.get("prompt_embeds") is None:
            if not body.get("prompt"):
                raise Refusal(400, "Either prompt or prompt_embeds must be provided and non-empty.")
            return table(torch.tensor([body["prompt"]]))
        content = base64.b64decode(body["prompt_embeds"], validate=True)
        tensor = torch.load(io.BytesIO(content), weights_only=True)
        if tensor.dim() != 2 or tensor.shape[1] != table.weight.shape[1]:
            raise Refusal(400, f"`prompt_embeds` hidden_size {tensor.shape[1]} does not match the model's")
        assert tensor.is_floating_point()
        assert len(content) < tensor.nbytes + 4096, "nothing but the prompt is sent"
        return tensor.to(self.llm.dtype)[None]

    @torch.no_grad()
    def tokens(self, body, embeds):
        """Ids one by one, each with why it is the last."""
        assert body["stream"] and body["return_token_ids"]
        room = self.models[0]["max_model_len"]
        if room is not None and embeds.shape[1] + body["max_tokens"] > room:
            raise Refusal(400, f"the model's context length is only {room} tokens")
        generator = torch.Generator().manual_seed(body.get("seed", 0))
        cache, ids, inputs = DynamicCache(config=self.llm.config), [], {"inputs_embeds": embeds}
        while True:
            with self.lock:
                scores = self.llm(**inputs, past_key_values=cache, use_cache=True).logits[0, -1].float()
            ids.append(_chosen(scores, body, generator))
            self.written += 1
            text = self.decode(ids)
            over = ids[-1] in body["stop_token_ids"] or any(stop in text for stop in body["stop"])
            finish = "stop" if over else "length" if len(ids) == body["max_tokens"] else None
            yield ids[-1], finish
            if finish is not None:
                return
            inputs = {"inputs_embeds": self.llm.get_input_embeddings()(torch.tensor([[ids[-1]]]))}


def event(token_ids, finish=None, text="", **more):
    """An event of a stream."""
    choice = {"index": 0, "text": text, "token_ids": token_ids, "finish_reason": finish, **more}
    content = {"id": "cmpl-1", "object": "text_completion", "choices": [choice]}
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def _chosen(scores, body, generator):
    if body["temperature"] == 0:
        return int(scores.argmax())
    scores = scores / body["temperature"]
    if body["top_k"]:
        scores[scores < scores.topk(body["top_k"]).values[-1]] = -torch.inf
    return int(torch.multinomial(scores.softmax(-1), 1, generator=generator))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_):
        """Clients that leave are no news."""


class _Handler(BaseHTTPRequestHandler):
    engine: Engine
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.engine.connections += 1

    def log_message(self, *_):
        """No lines on stderr."""

    def do_GET(self):
        self._whole(200, {"object": "list", "data": self.engine.models})

    def do_POST(self):
        engine = self.engine
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        engine.bodies.append(body)
        engine.headers.append(dict(self.headers))
        try:
            assert self.path == "/v1/completions"
            lines = engine.hook and engine.hook(body, len(engine.bodies) - 1)
            lines = lines or self._answer(engine.tokens(body, engine.prompt(body)))
            lines = iter(lines)
            first = next(lines)  # what is refused is refused before the stream begins
        except Refusal as refusal:
            error = {
                "message": str(refusal),
                "type": "BadRequestError",
                "param": None,
                "code": refusal.status,
            }
            return self._whole(refusal.status, {"error": error}, refusal.headers)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(first)
        for line in lines:
            self._chunk(line)
        self._chunk(b"")

    def _answer(self, tokens):
        held = []
        for token, finish in tokens:
            held.append(token)
            if finish is not None or len(held) == self.engine.per_event:
                # Not our text: signs in it that some take for ends of lines must do no harm.
                yield event(held, finish, text="\u2028\x85\u2029")
                held = []
                time.sleep(self.engine.pause)
        yield b'data: {"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": 1}}\n\n'
        yield DONE

    def _chunk(self, content):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def _whole(self, status, content, headers=()):
        content = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **dict(headers)}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
