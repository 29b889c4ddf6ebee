"""The LLM elsewhere: answers are the ones that `Desta2Model.chat` gives, and whatever fails says so."""

import asyncio
import time
from dataclasses import asdict

import pytest
import serving
import torch
from families import FAMILIES, write_family
from loopback_embeds import DONE, Engine, Refusal, event
from serving import question_of, whole

import desta2
from desta2.data.completions import ServedModel
from desta2.errors import ConfigError, InputError, RunError
from desta2.model import Desta2Model
from desta2.model.messages import ask
from desta2.model.sampling import Sampling
from desta2.serve.gate import Overloaded
from desta2.serve.remote import RemoteSpeaker, check_engine, find_engine

QUESTIONS = ("How loud is the speech?", "What can you hear from the audio?", "Say the words.")
GREEDY = Sampling(do_sample=False)
WAYS = (GREEDY, Sampling(do_sample=False, stop=("is", "zzz")), Sampling(max_new_tokens=3, do_sample=False))


@pytest.fixture(scope="module")
def ears():
    """The nano model, of whose LLM only the embeddings are there."""
    return desta2.load("nano", embeddings_only=True)


def engine_of(nano, **options):
    return Engine(nano.llm, nano.processor.decode, **options)


def remotely(model, engine, work, silence=120.0, **options):
    """Run `work(speaker)` in an event loop."""

    async def main(url):
        engine = find_engine(url, **options)
        check_engine(engine, model)
        speaker = RemoteSpeaker(model, engine, silence)
        try:
            return await work(speaker)
        finally:
            await speaker.close()

    with engine.running() as url:
        return asyncio.run(main(url))


# Answers


@pytest.mark.parametrize("per_event", [1, 3])
def test_answers_are_those_of_chat_token_for_token(nano, ears, per_event):
    cases = [
        (ask([serving.samples(i) for i in range(clips)], question), way)
        for clips in (1, 2)
        for question in QUESTIONS
        for way in WAYS
    ]
    cases += [([{"role": "user", "content": "What is the pitch?"}], way) for way in WAYS]
    questions = [question_of(ears, messages) for messages, _ in cases]
    engine = engine_of(nano, per_event=per_event)

    async def work(speaker):
        return await asyncio.gather(
            *(whole(speaker, q, way) for q, (_, way) in zip(questions, cases, strict=True))
        )

    for (messages, way), answer in zip(cases, remotely(ears, engine, work), strict=True):
        expected = nano.chat(messages, **asdict(way))
        finish = "length" if way.max_new_tokens else "stop"
        assert answer == (expected.text, finish, len(expected.token_ids))
    by_ids = [body for body in engine.bodies if "prompt" in body]
    assert len(by_ids) == len(WAYS), "a question without clips is sent as token ids"
    assert all("prompt_embeds" in body for body in engine.bodies if "prompt" not in body)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_llm_of_any_family_answers_as_in_chat(name, bases, clips, tmp_path):
    llm, family = write_family(name, tmp_path / "llm"), FAMILIES[name]
    small = {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32, "layout": family.layout}
    # In float64, as a random LLM is often undecided between tokens, and rounding would decide.
    options = {"dtype": torch.float64, "system_prompt": None, **small}
    model = Desta2Model.from_bases(str(llm), str(bases / "whisper"), **options)
    conversations = [ask(clips[0], "Loud?"), [{"role": "user", "content": "Who is speaking?"}]]
    questions = [question_of(model, own) for own in conversations]
    way = Sampling(do_sample=False, max_new_tokens=50)

    async def work(speaker):
        return [await whole(speaker, question, way) for question in questions]

    for own, (text, _, tokens) in zip(conversations, remotely(model, engine_of(model), work), strict=True):
        expected = model.chat(own, do_sample=False, max_new_tokens=50)
        assert (text, tokens) == (expected.text, len(expected.token_ids))


def test_what_the_generation_config_says_is_sent_and_what_is_asked_for_counts_more(nano, ears, monkeypatch):
    config = ears.llm.generation_config
    for name, value in {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 40}.items():
        monkeypatch.setattr(config, name, value)
    question = question_of(ears, ask(serving.samples(), QUESTIONS[0]))
    ways = [Sampling(), Sampling(temperature=0.3, seed=-5, max_new_tokens=7), GREEDY]
    engine = engine_of(nano)

    async def work(speaker):
        return [await whole(speaker, question, way) for way in ways]

    remotely(ears, engine, work)
    named = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens", "seed")
    assert [tuple(body.get(name) for name in named) for body in engine.bodies] == [
        (0.6, 0.9, 40, 0.0, 1.0, 160, None),
        (0.3, 0.9, 40, 0.0, 1.0, 7, -5),
        (0.0, 1.0, 0, 0.0, 1.0, 160, None),
    ]
    end = nano.processor.tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert all(body["stop_token_ids"] == [end] for body in engine.bodies)


def test_a_seed_gives_the_same_answer_again(nano, ears):
    question = question_of(ears, ask(serving.samples(), QUESTIONS[1]))

    async def work(speaker):
        ways = [Sampling(do_sample=True, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
        return [(await whole(speaker, question, way))[0] for way in ways]

    one, again, other = remotely(ears, engine_of(nano), work)
    assert one == again != other


def test_a_penalty_which_would_end_the_engine_is_left_out_aloud(nano, ears, monkeypatch, caplog):
    monkeypatch.setattr(ears.llm.generation_config, "repetition_penalty", 1.25)
    questions = [
        question_of(ears, ask(serving.samples(), "Loud?")),
        question_of(ears, [{"role": "user", "content": "Loud?"}]),
    ]
    engine = engine_of(nano)

    async def work(speaker):
        return [await whole(speaker, question, GREEDY) for question in questions]

    remotely(ears, engine, work)
    assert [body["repetition_penalty"] for body in engine.bodies] == [1.0, 1.0]
    assert "has a repetition_penalty of 1.25; vLLM fails where" in caplog.text


def test_the_engines_own_context_leaves_less_room(nano, ears):
    question = question_of(ears, ask(serving.samples(), QUESTIONS[1]))
    room = len(question.input_ids) + 4

    async def work(speaker):
        answer = await whole(speaker, question, GREEDY)
        longer = question_of(ears, ask(serving.samples(), QUESTIONS[1] + " Really and truly so?"))
        with pytest.raises(InputError, match="leaves this LLM no room for an answer"):
            await whole(speaker, longer, GREEDY)
        return answer

    engine = engine_of(nano, context=room)
    assert remotely(ears, engine, work)[1:] == ("length", 4)


def test_it_serves_behind_the_http_server(nano, ears):
    with engine_of(nano).running() as url:
        engine = find_engine(url)
        with serving.served(ears, lambda: RemoteSpeaker(ears, engine)) as address:
            client = serving.client_of(address)
            messages = serving.about("How loud is the speech?", serving.clip_part())
            answer = client.chat.completions.create(model="nano", messages=messages, temperature=0)
    expected = nano.chat(ask(serving.samples(), "How loud is the speech?"), do_sample=False)
    assert answer.choices[0].message.content == expected.text
    assert answer.usage.completion_tokens == len(expected.token_ids)


def test_connections_are_used_again(nano, ears):
    question = question_of(ears, [{"role": "user", "content": "Loud?"}])
    engine = engine_of(nano)

    async def work(speaker):
        for _ in range(5):
            await whole(speaker, question, GREEDY)

    remotely(ears, engine, work)
    assert engine.connections == 2, "one for the list of models, one for the answers"


def test_the_key_is_sent_with_every_request(nano, ears):
    question = question_of(ears, [{"role": "user", "content": "Loud?"}])
    engine = engine_of(nano)
    remotely(ears, engine, lambda speaker: whole(speaker, question, GREEDY), api_key="a-key")
    assert engine.headers[0]["Authorization"] == "Bearer a-key"


# Leaving


def test_an_answer_that_nobody_waits_for_is_not_written_on(nano, ears):
    question = question_of(ears, ask(serving.samples(), QUESTIONS[1]))
    engine = engine_of(nano, pause=0.05)

    async def work(speaker):
        answer = speaker.speak(question, GREEDY)
        await anext(answer)
        await answer.aclose()
        await asyncio.sleep(0.5)
        return engine.written

    assert remotely(ears, engine, work) < 6
    assert len(nano.chat(ask(serving.samples(), QUESTIONS[1]), do_sample=False).token_ids) > 10


def test_an_engine_that_does_not_stop_at_a_text_is_left(nano, ears):
    question = question_of(ears, ask(serving.samples(), QUESTIONS[1]))
    engine = engine_of(nano, pause=0.02, hook=lambda body, _: body["stop"].clear())

    async def work(speaker):
        return await whole(speaker, question, Sampling(do_sample=False, stop="is"))

    text, finish, tokens = remotely(ears, engine, work)
    expected = nano.chat(ask(serving.samples(), QUESTIONS[1]), do_sample=False, stop="is")
    assert (text, finish, tokens) == (expected.text, "stop", len(expected.token_ids))


def test_closing_ends_what_is_being_said_and_nothing_more_is_said(nano, ears):
    question = question_of(ears, ask(serving.samples(), QUESTIONS[1]))

    async def work(speaker):
        answer = speaker.speak(question, GREEDY)
        await anext(answer)
        waiting = asyncio.create_task(_rest(answer))
        await asyncio.sleep(0.1)
        await speaker.close()
        with pytest.raises(RunError, match="being shut down"):
            await asyncio.wait_for(waiting, 5)
        with pytest.raises(RunError, match="being shut down"):
            await whole(speaker, question, GREEDY)

    remotely(ears, engine_of(nano, pause=0.3), work)


async def _rest(answer):
    return [delta async for delta in answer]


# Failing


def _event(number):
    return event([number + 100])


BROKEN = {
    "an error midway": ([_event(0), b'data: {"error": {"message": "CUDA error", "code": 500}}\n\n', DONE],
                        "failed midway: .*CUDA error"),
    "an end too soon": ([_event(0), DONE], "ended the stream before the answer"),
    "nothing": ([b""], "ended the stream before the answer"),
    "an abort": ([event([1], "abort"), DONE], "ended the answer by 'abort'"),
    "no ids": ([b'data: {"choices": [{"text": "Hi", "finish_reason": null}]}\n\n'], "since 0.10.2"),
    "a page": ([b"data: <html>busy</html>\n\n"], "no event of an answer: <html>busy</html>"),
    "strange ids": ([event([2**40])], "no event of an answer"),
    "an endless line": ([b"data: " + b"x" * (2 << 20)], "longer than 1048576 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_stream_is_an_error(nano, ears, case, caplog):
    lines, message = BROKEN[case]
    question = question_of(ears, [{"role": "user", "content": "Loud?"}])

    async def work(speaker):
        with pytest.raises(RunError, match=message):
            await whole(speaker, question, GREEDY)

    remotely(ears, engine_of(nano, hook=lambda *_: lines), work)
    assert "the LLM at http://127.0.0.1" in caplog.text, "who asks is not told, so it is logged"


REFUSALS = {
    400: "enable-prompt-embeds",
    401: "is the API key right",
    404: "does it still serve that LLM",
    413: "smaller requests only",
    500: "its log says why",
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_says_what_to_do(nano, ears, status):
    def refuse(*_):
        raise Refusal(status, "because")

    question = question_of(ears, ask(serving.samples(), "Loud?"))

    async def work(speaker):
        with pytest.raises(RunError, match=f"status {status}: .*because.*{REFUSALS[status]}"):
            await whole(speaker, question, GREEDY)

    remotely(ears, engine_of(nano, hook=refuse), work)


@pytest.mark.parametrize("status", [429, 503])
def test_an_engine_without_room_sends_clients_away_for_as_long_as_it_says(nano, ears, status):
    def refuse(*_):
        raise Refusal(status, "later", retry_after="7")

    question = question_of(ears, [{"role": "user", "content": "Loud?"}])

    async def work(speaker):
        with pytest.raises(Overloaded, match="no room for another question") as found:
            await whole(speaker, question, GREEDY)
        return found.value.retry_after

    assert remotely(ears, engine_of(nano, hook=refuse), work) == 7


def test_an_engine_that_went_away_is_named(nano, ears):
    question = question_of(ears, [{"role": "user", "content": "Loud?"}])
    with engine_of(nano).running() as url:
        engine = find_engine(url)

    async def main():
        speaker = RemoteSpeaker(ears, engine)
        with pytest.raises(RunError, match=r"cannot be reached: .*is it running"):
            await whole(speaker, question, GREEDY)
        await speaker.close()

    asyncio.run(main())


def test_an_engine_that_dies_midway_is_an_error(nano, ears):
    def die(*_):
        yield _event(0)
        raise ConnectionAbortedError

    question = question_of(ears, [{"role": "user", "content": "Loud?"}])

    async def work(speaker):
        with pytest.raises(RunError, match="broke the connection off"):
            await whole(speaker, question, GREEDY)

    remotely(ears, engine_of(nano, hook=die), work)


def test_silence_is_given_up(nano, ears):
    def hang(*_):
        yield _event(0)
        time.sleep(2)

    question = question_of(ears, [{"role": "user", "content": "Loud?"}])

    async def work(speaker):
        with pytest.raises(RunError, match=r"said nothing for 0\.3 s"):
            await whole(speaker, question, GREEDY)

    remotely(ears, engine_of(nano, hook=hang), work, silence=0.3)


# Before anything is asked


def test_an_engine_is_asked_what_it_serves(nano, ears, caplog):
    with engine_of(nano, name="llm", context=700).running() as url:
        engine = find_engine(url)
        with pytest.raises(InputError, match="it has no 'other'"):
            find_engine(url, "other")
    check_engine(engine, ears)
    assert (engine.url, engine.served) == (url, ServedModel("llm", "/models/llm", 700))
    assert "an adapter is of use with its own LLM only" not in caplog.text
    with engine_of(nano, name="Mistral-7B").running() as url:
        check_engine(find_engine(url), ears)
    assert "its LLM is /models/Mistral-7B, and the adapter was trained with nano/llm" in caplog.text


def test_a_generation_config_that_no_engine_follows_is_refused_at_once(nano, ears, monkeypatch):
    monkeypatch.setattr(ears.llm.generation_config, "no_repeat_ngram_size", 3)
    with engine_of(nano).running() as url, pytest.raises(ConfigError, match="by NoRepeatNGram"):
        check_engine(find_engine(url), ears)
