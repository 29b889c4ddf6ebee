"""Answers that are written together are the ones that `Desta2Model.chat` gives."""

import asyncio
from dataclasses import asdict

import pytest
import serving
from serving import in_loop, question_of, whole

from desta2.errors import InputError, RunError
from desta2.model.messages import ask
from desta2.model.sampling import Sampling
from desta2.serve.local import LocalSpeaker, Waiting
from desta2.serve.speaking import Delta

QUESTIONS = ("How loud is the speech?", "What can you hear from the audio?", "Say the words.")
WAYS = (
    Sampling(do_sample=False),
    Sampling(do_sample=True, temperature=0.9, top_p=0.9, seed=3),
    Sampling(do_sample=True, temperature=0.9, top_p=0.9, seed=4),
    Sampling(do_sample=True, seed=5, stop="is"),
    Sampling(max_new_tokens=3, do_sample=False),
)


def test_answers_that_join_and_leave_are_those_of_chat(nano):
    cases = [
        (ask(serving.samples(number), question), way)
        for number in range(2)
        for question in QUESTIONS
        for way in WAYS
    ]
    cases += [([{"role": "user", "content": "What is the pitch?"}], way) for way in WAYS]
    questions = [question_of(nano, messages) for messages, _ in cases]

    async def work(speaker):
        async def later(number):
            await asyncio.sleep(0.003 * number)
            return await whole(speaker, questions[number], cases[number][1])

        answers = await asyncio.gather(*map(later, range(len(cases))))
        return answers, speaker.steps

    answers, steps = in_loop(nano, work)
    for (messages, way), (text, finish, tokens) in zip(cases, answers, strict=True):
        expected = nano.chat(messages, **asdict(way))
        assert text == expected.text
        assert tokens == len(expected.token_ids)
        if way.max_new_tokens == 3:
            assert (finish, tokens) == ("length", 3)
        else:
            assert finish == "stop"
    assert steps < sum(tokens for _, _, tokens in answers) / 2, "they were written together"


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_the_generation_config_counts_as_in_chat(nano, monkeypatch, penalty):
    config = nano.llm.generation_config
    monkeypatch.setattr(config, "repetition_penalty", penalty)
    monkeypatch.setattr(config, "do_sample", True)
    monkeypatch.setattr(config, "temperature", 0.8)
    monkeypatch.setattr(config, "top_k", 5)
    messages = [ask(serving.samples(number), QUESTIONS[1]) for number in range(2)]
    questions = [question_of(nano, own) for own in messages]

    async def work(speaker):
        return await asyncio.gather(*(whole(speaker, q, Sampling(seed=1)) for q in questions))

    for own, (text, _, _) in zip(messages, in_loop(nano, work), strict=True):
        assert text == nano.chat(own, seed=1).text


def test_an_answer_that_nobody_waits_for_leaves_the_batch(nano):
    question = question_of(nano, ask(serving.samples(), QUESTIONS[1]))

    async def work(speaker):
        answers = speaker.speak(question, Sampling(do_sample=False))
        await anext(answers)
        assert len(speaker) == 1
        await answers.aclose()
        short = await whole(speaker, question, Sampling(do_sample=False, max_new_tokens=2))
        return short, len(speaker), speaker.steps

    short, left, steps = in_loop(nano, work)
    assert (short[1], left) == ("length", 0)
    assert steps < 20, "the long answer was not written on"


def test_a_question_without_room_for_an_answer_is_refused(nano):
    question = question_of(nano, ask(serving.samples(), QUESTIONS[0]))
    longest = nano.llm.config.max_position_embeddings
    full = type(question)(question.input_ids * (longest // len(question.input_ids) + 1), [], [], [])

    async def work(speaker):
        with pytest.raises(InputError, match="leaves this LLM no room for an answer"):
            await whole(speaker, full, Sampling())

    in_loop(nano, work)


def test_an_llm_that_fails_loses_its_answers_and_goes_on(nano, monkeypatch, caplog):
    question = question_of(nano, ask(serving.samples(), QUESTIONS[0]))
    forward, broken = nano.llm.forward, [True]

    def fail_once(*args, **options):
        if broken and options["past_key_values"].get_seq_length() > 0:
            broken.clear()
            raise RuntimeError("out of memory")
        return forward(*args, **options)

    async def work(speaker):
        monkeypatch.setattr(nano.llm, "forward", fail_once)
        with pytest.raises(RunError, match="the LLM failed: RuntimeError: out of memory"):
            await whole(speaker, question, Sampling(do_sample=False))
        return await whole(speaker, question, Sampling(do_sample=False))

    text, _, _ = in_loop(nano, work)
    assert text == nano.chat(ask(serving.samples(), QUESTIONS[0]), do_sample=False).text
    assert "its 1 answers are lost" in caplog.text


def test_a_closed_speaker_ends_what_is_being_said_and_says_no_more(nano):
    question = question_of(nano, ask(serving.samples(), QUESTIONS[1]))

    async def main():
        speaker = LocalSpeaker(nano)
        answers = speaker.speak(question, Sampling(do_sample=False))
        await anext(answers)
        await speaker.close()
        with pytest.raises(RunError, match="being shut down"):
            async for _ in answers:
                pass
        with pytest.raises(RunError, match="being shut down"):
            await whole(speaker, question, Sampling())

    asyncio.run(main())


def test_an_error_that_comes_together_with_the_last_piece_is_not_lost():
    async def main():
        waiting = Waiting(None)
        waiting.put(Delta("a", 1))
        waiting.put(RunError("the LLM failed"))
        assert await waiting.get() == Delta("a", 1)
        with pytest.raises(RunError, match="the LLM failed"):
            await asyncio.wait_for(waiting.get(), 5)

    asyncio.run(main())
