"""Hearing the clips of many requests together: what arrives while an encoder pass runs shares the next one.

One thread does it, beside the one in which the LLM speaks, so that a long clip does not hold up answers.
Clips heard before are found in the model's memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from desta2.errors import Desta2Error, RunError
from desta2.model.chat import Question, prepare
from desta2.model.hearing import Heard

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

CLIPS_AT_ONCE = 16


@dataclass(eq=False)
class _Clip:
    samples: np.ndarray
    language: str | None
    heard: asyncio.Future[Heard] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Listener:
    """Hears clips and writes prompts, for an event loop; close it in the end.

    Args:
        model: With a processor. Nothing else may use its Whisper and adapter meanwhile.
    """

    def __init__(self, model: Desta2Model) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="desta2-listener")
        self._clips: deque[_Clip] = deque()
        self._hearing: asyncio.Task[None] | None = None

    async def hear(self, samples: np.ndarray, language: str | None = None) -> Heard:
        """Hear a clip.

        Args:
            samples: (samples,) at the model's rate.
            language: What is spoken, where a multilingual Whisper shall not detect it.

        Raises:
            InputError, AudioError, RunError: As `hearing.hear`.
        """
        clip = _Clip(samples, language)
        self._clips.append(clip)
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._hear_all())
        return await clip.heard

    async def question(self, messages: Sequence[Mapping[str, Any]]) -> Question:
        """The prompt of a conversation in which `Heard` stands for its clips.

        Raises:
            InputError: It cannot be written as a prompt, or is too long for the LLM.
        """
        loop = asyncio.get_running_loop()
        [question] = await loop.run_in_executor(
            self._thread, prepare, self._model, [messages], [None], None, True
        )
        return question

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _hear_all(self) -> None:
        """Hear what waits, until nothing does."""
        try:
            while self._clips:
                await self._hear_some(self._next())
        finally:
            self._hearing = None

    def _next(self) -> list[_Clip]:
        """Clips in one language, oldest first."""
        language = self._clips[0].language
        chosen = [clip for clip in self._clips if clip.language == language][:CLIPS_AT_ONCE]
        for clip in chosen:
            self._clips.remove(clip)
        return [clip for clip in chosen if not clip.heard.done()]  # nobody waits for a cancelled one

    async def _hear_some(self, clips: Sequence[_Clip]) -> None:
        if not clips:
            return
        loop = asyncio.get_running_loop()
        samples = [clip.samples for clip in clips]
        try:
            results = await loop.run_in_executor(
                self._thread, self._model.hear, samples, None, clips[0].language
            )
        except Exception as error:
            if len(clips) > 1:  # one of them is to blame, the others shall not suffer
                for clip in clips:
                    await self._hear_some([clip])
            elif not clips[0].heard.done():
                known = isinstance(error, Desta2Error)
                clips[0].heard.set_exception(error if known else RunError(f"a clip cannot be heard: {error}"))
            return
        for clip, heard in zip(clips, results, strict=True):
            if not clip.heard.done():
                clip.heard.set_result(heard)
