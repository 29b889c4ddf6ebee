"""The LLM in this process: a thread that takes one step after another for all answers at once.

A new question joins before the next step, so it waits for at most one; its prompt is read in a pass of its
own, for which the others wait. After each step what the answers have grown by is handed to the event loop in
one call, however many they are.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from desta2.errors import RunError
from desta2.model.chat import Question
from desta2.model.hearing import processor_of
from desta2.model.sampling import Sampling
from desta2.model.stopping import end_ids
from desta2.serve.batch import Batch
from desta2.serve.options import OptionsFinder
from desta2.serve.rows import Row
from desta2.serve.speaking import Delta

if TYPE_CHECKING:
    from desta2.model.modeling import Desta2Model

log = logging.getLogger(__name__)


class Waiting:
    """Where the event loop waits for an answer, and the thread leaves it.

    Attributes:
        row: The answer.
        left: Whether nobody waits any more.
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.left = False
        self._arrived = asyncio.Event()
        self._deltas: list[Delta] = []
        self._error: Exception | None = None

    def put(self, delta: Delta | Exception) -> None:
        """In the event loop."""
        if isinstance(delta, Exception):
            self._error = delta
        else:
            self._deltas.append(delta)
        self._arrived.set()

    async def get(self) -> Delta:
        """What has come since the last time, as one."""
        while not self._deltas:  # an error may have come together with the last of them
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        deltas, self._deltas = self._deltas, []
        text = "".join(delta.text for delta in deltas)
        return Delta(text, sum(delta.tokens for delta in deltas), deltas[-1].finish)


class LocalSpeaker:
    """Answers by the model's own LLM; see `Speaker`.

    Args:
        model: With a processor. Nothing else may use its LLM meanwhile.

    Attributes:
        steps: Taken so far.
    """

    def __init__(self, model: Desta2Model) -> None:
        self.steps = 0
        self._model = model
        self._options = OptionsFinder(model.llm)
        self._batch = Batch(model)
        self._ends = end_ids(model.llm, processor_of(model).tokenizer)
        self._present: dict[int, Waiting] = {}  # of the rows in the batch, by the row's id
        self._arrived: deque[Waiting] = deque()
        self._awake = threading.Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="desta2-speaker", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Answers in the batch."""
        return len(self._batch)

    async def speak(self, question: Question, sampling: Sampling) -> AsyncGenerator[Delta, None]:
        """See `Speaker`.

        Raises:
            InputError: The prompt leaves no room for an answer.
            RunError: The LLM failed, or the speaker was closed.
        """
        options = self._options.find(question, sampling)
        waiting = Waiting(Row(self._model, question, options, sampling, self._ends))
        with self._awake:
            if self._closed:
                raise RunError("the server is being shut down")
            self._arrived.append(waiting)
            self._awake.notify()
        try:
            finish = None
            while finish is None:
                delta = await waiting.get()
                finish = delta.finish
                yield delta
        finally:
            waiting.left = True

    async def close(self) -> None:
        """See `Speaker`."""
        with self._awake:
            self._closed = True
            self._awake.notify()
        await asyncio.to_thread(self._thread.join)

    # The thread

    def _run(self) -> None:
        while self._wait():
            try:
                self._step()
            except Exception as error:
                log.exception("the LLM failed; its %d answers are lost", len(self._batch))
                self._fail(RunError(f"the LLM failed: {type(error).__name__}: {error}"))
        self._fail(RunError("the server is being shut down"))

    def _wait(self) -> bool:
        """Whether there is something to do; waits until there is."""
        with self._awake:
            while not (self._closed or self._arrived or self._present):
                self._awake.wait()
            return not self._closed

    def _step(self) -> None:
        self._forget()
        self._admit()
        if not self._present:
            return
        chosen = self._batch.choose()
        grown = [(self._present[id(row)], row.take(token)) for row, token in chosen]
        finished = [waiting.row for waiting, delta in grown if delta.finish is not None]
        self._drop(finished)
        self._send(grown)
        self._batch.go_on({id(row): token for row, token in chosen})
        self.steps += 1

    def _admit(self) -> None:
        with self._awake:
            new = list(self._arrived)
            self._arrived.clear()
        new = [waiting for waiting in new if not waiting.left]
        if not new:
            return
        self._present |= {id(waiting.row): waiting for waiting in new}
        self._batch.join([waiting.row for waiting in new])

    def _forget(self) -> None:
        """Drop the rows that nobody waits for."""
        self._drop([waiting.row for waiting in self._present.values() if waiting.left])

    def _drop(self, rows: Sequence[Row]) -> None:
        if rows:
            self._batch.drop(rows)
        for row in rows:
            del self._present[id(row)]

    def _send(self, grown: Sequence[tuple[Waiting, Delta | Exception]]) -> None:
        def deliver() -> None:
            for waiting, delta in grown:
                waiting.put(delta)

        self._loop.call_soon_threadsafe(deliver)

    def _fail(self, error: RunError) -> None:
        with self._awake:
            all_waiting = [*self._present.values(), *self._arrived]
            self._arrived.clear()
        self._present.clear()
        self._batch.clear()
        self._send([(waiting, error) for waiting in all_waiting])
