"""Clips of many requests are heard together, and one bad clip harms no other."""

import asyncio

import numpy as np
import pytest
import serving
import torch

from desta2.errors import InputError, RunError
from desta2.serve.listening import Listener


def in_loop(model, work):
    async def main():
        listener = Listener(model)
        try:
            return await work(listener)
        finally:
            listener.close()

    return asyncio.run(main())


def test_clips_are_heard_as_by_the_model_and_together(nano, monkeypatch):
    clips = [serving.samples(number) * 0.9 for number in range(4)]
    calls, hear = [], nano.hear

    def counted(audios, *options):
        calls.append(len(audios))
        return hear(audios, *options)

    monkeypatch.setattr(nano, "hear", counted)

    async def work(listener):
        return await asyncio.gather(*map(listener.hear, clips))

    heard = in_loop(nano, work)
    nano.memory.clear()
    for clip, own in zip(clips, heard, strict=True):
        expected = hear([clip])[0]
        assert own.texts == expected.texts
        torch.testing.assert_close(own.embeds, expected.embeds)
    assert calls == [4]


def test_a_clip_that_cannot_be_heard_fails_alone(nano):
    longest = nano.config.max_clip_seconds
    clips = [serving.samples(0), np.zeros(int(16000 * longest) + 1, np.float32), serving.samples(1)]

    async def work(listener):
        return await asyncio.gather(*map(listener.hear, clips), return_exceptions=True)

    first, second, third = in_loop(nano, work)
    assert first.transcript
    assert third.transcript
    assert isinstance(second, InputError)
    assert "takes clips of at most" in str(second)


def test_what_nobody_foresaw_is_an_error_of_the_run(nano, monkeypatch):
    def broken(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(nano, "hear", broken)

    async def work(listener):
        with pytest.raises(RunError, match="a clip cannot be heard: no room"):
            await listener.hear(serving.samples())

    in_loop(nano, work)


def test_a_language_that_whisper_does_not_know_is_the_clients_mistake(nano):
    async def work(listener):
        with pytest.raises(InputError, match="xx"):
            await listener.hear(serving.samples(), "xx")
        return await listener.hear(serving.samples(), None)

    assert in_loop(nano, work).transcript


def test_a_request_that_is_given_up_does_not_stop_the_others(nano):
    async def work(listener):
        given_up = asyncio.create_task(listener.hear(serving.samples(0) * 0.7))
        other = asyncio.create_task(listener.hear(serving.samples(1) * 0.7))
        await asyncio.sleep(0)
        given_up.cancel()
        return await other

    assert in_loop(nano, work).transcript
