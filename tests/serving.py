"""A server on this machine, in this process, for tests."""

import asyncio
import base64
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import openai
import uvicorn

from desta2.data.audio import load_audio
from desta2.model.chat import prepare
from desta2.serve.app import make_app
from desta2.serve.local import LocalSpeaker
from desta2.serve.service import Backend, Settings

EXAMPLES = Path(__file__).parents[1] / "examples"
CLIPS = sorted(EXAMPLES.glob("*.wav"))


def samples(number=0):
    """One of the example clips, (samples,) at 16 kHz."""
    return load_audio(CLIPS[number])


def clip_part(number=0, data=None):
    """An example clip, or other bytes, in OpenAI's form."""
    data = CLIPS[number].read_bytes() if data is None else data
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}


def about(question, *clips):
    """The messages of a question about clips."""
    return [{"role": "user", "content": [*clips, {"type": "text", "text": question}]}]


@contextmanager
def served(model, speaker=None, name="nano", **settings):
    """A running server; gives its address, without the slash."""
    backend = Backend(model, speaker or (lambda: LocalSpeaker(model)))
    app = make_app(backend, Settings(name, **settings))
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive()


def client_of(address, key="-"):
    """The official client."""
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=60)


def question_of(model, messages):
    """The prompt of a conversation."""
    return prepare(model, [messages], [None], None, True)[0]


async def whole(speaker, question, sampling):
    """An answer: its text, why it ended, and its tokens."""
    text, finish, tokens = "", None, 0
    async for delta in speaker.speak(question, sampling):
        text, finish, tokens = text + delta.text, delta.finish, tokens + delta.tokens
    return text, finish, tokens


def in_loop(model, work):
    """Run `work(speaker)` in an event loop."""

    async def main():
        speaker = LocalSpeaker(model)
        try:
            return await work(speaker)
        finally:
            await speaker.close()

    return asyncio.run(main())


@contextmanager
def started(verb, *options):
    """`desta2 serve` or `desta2 ui` in a process of its own; gives its address and the process."""
    command = [sys.executable, "-m", "desta2", verb, "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        found = None
        while found is None:
            line = server.stderr.readline()
            assert line, "it ended"
            found = re.search(r" at (http://\S+:\d+)\S* \(Ctrl-C ends it\)", line)
        threading.Thread(target=server.stderr.read, daemon=True).start()
        try:
            yield found[1], server
        finally:
            server.kill()
