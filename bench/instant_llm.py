"""An OpenAI-compatible server that answers at once, so that what is measured is the client.

A few lines of asyncio on bare streams: any web framework would cost more than the client that is measured.
It runs in a process of its own.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = "The audio contains a woman with a calm voice, saying that the food is really good. " * 4


def _response(content: object) -> bytes:
    body = json.dumps(content).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )


CHAT = _response(
    {
        "object": "chat.completion",
        "choices": [{"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
    }
)
MODELS = _response({"object": "list", "data": [{"id": "instant", "root": "instant"}]})


class _Connection(asyncio.Protocol):
    """Answers each request of a connection as soon as its body is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, _, length = head.partition(b"content-length:")
            whole = end + 4 + int(length.split(b"\r\n")[0] or 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(MODELS if head.startswith(b"get") else CHAT)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def instant_llm() -> Iterator[str]:
    """The URL of a server in a process of its own."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
