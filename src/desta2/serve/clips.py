"""The clips of a request: base64 or a URL → samples, within the limits.

Nothing is written to disk, and no path is ever opened: what comes over HTTP is bytes. Decoding runs in a few
threads of its own, so that neither the event loop nor the LLM waits for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from desta2.data.audio import SAMPLE_RATE, AudioLimits, load_audio
from desta2.errors import AudioError, InputError
from desta2.serve.fetch import FetchRules, fetch
from desta2.serve.problems import Problem
from desta2.serve.requests import AudioPart, AudioUrlPart, Message
from desta2.serve.settings import Limits

_THREADS = 2


class Clips:
    """Reads clips; close it in the end.

    Args:
        limits: Of a request.
        rules: What may be fetched by URL.
    """

    def __init__(self, limits: Limits, rules: FetchRules) -> None:
        self._limits, self._rules = limits, rules
        self._decoding = AudioLimits(max_bytes=limits.body_bytes, max_seconds=limits.clip_seconds)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="desta2-decoder")

    async def of(self, messages: Sequence[Message]) -> list[np.ndarray]:
        """The clips of messages in order, each (samples,) at 16 kHz.

        Raises:
            Problem: There are too many, or one cannot be used.
        """
        places = [
            (f"messages.{i}.content.{j}", part)
            for i, message in enumerate(messages)
            if not isinstance(message.content, str)
            for j, part in enumerate(message.content)
            if isinstance(part, AudioPart | AudioUrlPart)
        ]
        if len(places) > self._limits.clips:
            message = f"{len(places)} clips; this server takes at most {self._limits.clips} in a request"
            raise Problem(400, message, "messages", "too_many_clips")
        left, found = self._limits.total_seconds, []
        for place, part in places:
            samples = await self._part(part, place)
            left -= len(samples) / SAMPLE_RATE
            if left < 0:
                message = (
                    f"the clips together last over {self._limits.total_seconds:g} s; send fewer or shorter"
                )
                raise Problem(400, message, "messages", "clips_too_long")
            found.append(samples)
        return found

    async def decode(self, data: bytes, place: str) -> np.ndarray:
        """The bytes of an audio file → (samples,) at 16 kHz.

        Raises:
            Problem: It is none, or passes a limit.
        """
        return await self._run(lambda: self._decoded(data, place))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _part(self, part: AudioPart | AudioUrlPart, place: str) -> np.ndarray:
        if isinstance(part, AudioPart):
            data = part.input_audio.data
            return await self._run(lambda: self._decoded(_bytes_of(data, place), place))
        try:
            return await self.decode(await fetch(part.audio_url.url, self._rules), place)
        except InputError as error:
            raise Problem(400, str(error), place, "invalid_audio_url") from None

    async def _run(self, work: Callable[[], np.ndarray]) -> np.ndarray:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _decoded(self, data: bytes, place: str) -> np.ndarray:
        try:
            return load_audio(data, limits=self._decoding, name="the clip")
        except AudioError as error:
            raise Problem(400, str(error), place, "invalid_audio") from None


def _bytes_of(data: str, place: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(400, f"the clip is not base64 ({error})", place, "invalid_base64") from None
