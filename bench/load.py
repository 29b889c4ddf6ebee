"""Clients for `serving.py`, in a process of their own: each asks again as soon as it was answered.

Plain sockets instead of a client library, so that the load costs little of the cores that the server needs.
"""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

DESCRIBE = ("What can you hear from the audio?",)
QUESTIONS = (
    *DESCRIBE,
    "How loud is the speech?",
    "Is the speaker a man or a woman? Answer in capital letters.",
    "Tell me the gender and the pitch.",
)
_UNHEARD = 1e-4  # amplitude of noise that makes each clip a new one


@dataclass(frozen=True)
class Reply:
    """What became of a request.

    Attributes:
        status: Of HTTP; 0 where the connection broke or the stream was not finished.
        seconds: Until the end.
        first: Seconds until the first piece of text.
        tokens: Of the answer.
        ended: When, by `time.monotonic`.
    """

    status: int
    seconds: float
    first: float
    tokens: int
    ended: float


class Questions:
    """Requests of one client: new clips, no two alike, with all questions about each in turn.

    Args:
        clips: Each (samples,) at 16 kHz.
        seed: Of the noise, and of what comes first.
        questions: About each clip.
    """

    def __init__(self, clips: list[np.ndarray], seed: int, questions: tuple[str, ...] = QUESTIONS) -> None:
        self._noise = np.random.default_rng(seed)
        self._questions = self._noise.permutation(questions).tolist()
        self._turns = itertools.cycle(self._noise.permutation(len(clips)).tolist())
        self._clips, self._left = clips, []
        self._clip, self._part = np.empty(0), ""

    def next(self) -> tuple[np.ndarray, str]:
        """A clip and a question about it."""
        if not self._left:
            clip, self._left = self._clips[next(self._turns)], list(self._questions)
            self._clip = clip + _UNHEARD * self._noise.standard_normal(len(clip)).astype(np.float32)
            self._part = _part(self._clip)
        return self._clip, self._left.pop()

    def body(self, stream: bool = True) -> bytes:
        """The body of a request."""
        _, question = self.next()
        options: dict[str, Any] = {"model": "nano", "temperature": 0, "stream": stream}
        if stream:
            options["stream_options"] = {"include_usage": True}
        text = json.dumps({"type": "text", "text": question})
        messages = f'[{{"role": "user", "content": [{self._part}, {text}]}}]'
        return f'{json.dumps(options)[:-1]}, "messages": {messages}}}'.encode()


def _part(samples: np.ndarray) -> str:
    """A clip in a message, as JSON; made once for all questions about it."""
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV", subtype="PCM_16")
    clip = {"data": base64.b64encode(file.getvalue()).decode(), "format": "wav"}
    return json.dumps({"type": "input_audio", "input_audio": clip})


async def ask(port: int, body: bytes) -> Reply:
    """Send a request on a connection of its own, and read the answer to its end."""
    begun, first, tokens, status = time.monotonic(), 0.0, 0, 0
    done = False
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body)
        status = int((await reader.readline()).split()[1])
        async for line in reader:
            if not first and b'"content":"' in line and b'"content":""' not in line:
                first = time.monotonic() - begun
            if b'"completion_tokens":' in line:
                tokens = int(line.split(b'"completion_tokens":')[1].split(b",")[0])
            done = done or line.startswith(b"data: [DONE]")
        writer.close()
    except OSError:
        status = 0
    if status == 200 and not done:
        status = 0
    now = time.monotonic()
    return Reply(status, now - begun, first, tokens, now)


def load(
    port: int,
    clients: int,
    seconds: float,
    clips: list[np.ndarray],
    pause: float = 0.0,
    asked: tuple[str, ...] = QUESTIONS,
) -> list[Reply]:
    """Let clients ask for some time; returns what became of all that they asked.

    Args:
        port: Of the server.
        clients: How many ask at once.
        seconds: For how long new requests are sent.
        clips: What they ask about.
        pause: Seconds before a client that was turned away asks again.
        asked: Questions about each clip.
    """

    async def client(number: int) -> list[Reply]:
        questions, replies = Questions(clips, number, asked), []
        while time.monotonic() < end:
            replies.append(await ask(port, questions.body()))
            if replies[-1].status == 429:
                await asyncio.sleep(pause)
        return replies

    async def everybody() -> list[Reply]:
        return [reply for own in await asyncio.gather(*map(client, range(clients))) for reply in own]

    end = time.monotonic() + seconds
    return asyncio.run(everybody())
