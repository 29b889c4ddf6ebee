"""The server through the official client, and by bare HTTP where that would not send such a thing."""

import functools
import gc
import http.server
import json
import threading
import time
import tracemalloc

import httpx2
import numpy as np
import openai
import pytest
import serving
from serving import about, client_of, clip_part, samples, served

from desta2.model.messages import ask
from desta2.serve.fetch import FetchRules
from desta2.serve.keys import Keys, new_key
from desta2.serve.settings import Limits

DESCRIBE = "What can you hear from the audio?"
LOUD = "How loud is the speech?"


def create(client, messages, **options):
    return client.chat.completions.create(model="nano", messages=messages, **{"temperature": 0, **options})


def test_an_answer_is_that_of_chat(client, nano):
    answer = create(client, about(DESCRIBE, clip_part()))
    expected = nano.chat(ask(samples(), DESCRIBE), do_sample=False)
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", expected.text)
    assert (answer.object, answer.model, choice.finish_reason) == ("chat.completion", "nano", "stop")
    assert answer.usage.completion_tokens == len(expected.token_ids)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.audio_tokens == nano.config.n_queries


def test_a_stream_joins_to_the_same_answer_and_tells_usage(client):
    whole = create(client, about(DESCRIBE, clip_part()))
    chunks = list(
        create(client, about(DESCRIBE, clip_part()), stream=True, stream_options={"include_usage": True})
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert sum(map(bool, pieces)) > 10, "it came in pieces"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1
    without = list(create(client, about(LOUD, clip_part()), stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in without)


def test_several_clips_turns_and_system_prompts(client, nano):
    messages = [
        {"role": "system", "content": "Focus on the audio clips and instructions."},
        *about(LOUD, clip_part(0), clip_part(1)),
        {"role": "assistant", "content": "The volume is loud."},
        {"role": "user", "content": "And the pitch?"},
    ]
    parts = [{"type": "audio", "audio": samples(number)} for number in (0, 1)]
    ours = [messages[0], {"role": "user", "content": [*parts, {"type": "text", "text": LOUD}]}, *messages[2:]]
    assert create(client, messages).choices[0].message.content == nano.chat(ours, do_sample=False).text
    as_developer = [{**messages[0], "role": "developer"}, *messages[1:]]
    assert create(client, as_developer).choices == create(client, messages).choices


def test_the_answer_of_the_official_client_can_be_sent_back(client):
    first = create(client, about(LOUD, clip_part())).choices[0].message
    messages = [*about(LOUD, clip_part()), first, {"role": "user", "content": "And the pitch?"}]
    assert create(client, messages).choices[0].message.content


def test_text_alone_is_answered_by_the_llm_alone(client, nano):
    messages = [{"role": "user", "content": "What is the pitch?"}]
    assert create(client, messages).choices[0].message.content == nano.chat(messages, do_sample=False).text


def test_options_of_sampling(client, nano):
    drawn = {"temperature": 1.5, "top_p": 0.9, "seed": 3}
    expected = nano.chat(ask(samples(), DESCRIBE), do_sample=True, **drawn).text
    for _ in range(2):
        assert create(client, about(DESCRIBE, clip_part()), **drawn).choices[0].message.content == expected
    for limit in ({"max_tokens": 4}, {"max_completion_tokens": 4}):
        answer = create(client, about(DESCRIBE, clip_part()), **limit)
        assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (4, "length")
    full = create(client, about(DESCRIBE, clip_part())).choices[0].message.content
    for stop in (" The", ["xyz", " The"]):
        answer = create(client, about(DESCRIBE, clip_part()), stop=stop).choices[0]
        assert (answer.message.content, answer.finish_reason) == (full.partition(" The")[0], "stop")


def test_options_that_ask_for_nothing_are_taken(client):
    nothing = {
        "n": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "logprobs": False,
        "tools": [],
        "user": "u",
    }
    nothing |= {
        "response_format": {"type": "text"},
        "metadata": {"a": "b"},
        "store": False,
        "modalities": ["text"],
    }
    assert create(client, about(LOUD, clip_part()), **nothing).choices[0].message.content


@pytest.mark.parametrize(
    ("options", "param", "message"),
    [
        ({"n": 2}, "n", "n=2 is not supported here; only 1 is"),
        ({"response_format": {"type": "json_object"}}, "response_format", "nothing here can force the LLM"),
        ({"logprobs": True}, "logprobs", "is not supported here"),
        ({"tools": [{"type": "function"}]}, "tools", "is not supported here"),
        ({"presence_penalty": 0.5}, "presence_penalty", "is not supported here"),
        ({"audio": {"voice": "x", "format": "wav"}}, "audio", "is not supported here; leave it out"),
        ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
        ({"temperature": "hot"}, "temperature", "valid number"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 10**6}, "max_tokens", "this server writes at most 1024"),
        ({"stop": ["a"] * 5}, "stop", "stop has 5 texts; at most 4"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "Field required"),
        ({"stop": ""}, "stop", "at least 1 character"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "needs stream=true"),
        ({"extra_body": {"temprature": 1}}, "temprature", "Unrecognized request argument supplied: temprature"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": [{"role": "audio", "content": "/etc/passwd"}]}, "messages.0", "'audio' found using 'role'"),
        ({"messages": [{"role": "user", "content": "hi", "audios": []}]}, "messages.0.audios", "Unrecognized request argument"),
        (
            {"messages": about(LOUD, {"type": "audio", "audio": "/etc/passwd"})}, None, "does not match any of",
        ),
        (
            {"messages": about(LOUD, {"type": "audio_url", "audio_url": {"url": "http://a.com/a.wav"}})},
            "messages.0.content.0", "fetches no clips by URL; send the clip itself",
        ),
        ({"messages": about(LOUD, clip_part(data=b"no audio"))}, "messages.0.content.0", "not audio that desta2 reads"),
        ({"messages": about(LOUD, clip_part(data=b""))}, "messages.0.content.0", "empty"),
        (
            {"messages": about(LOUD, {"type": "input_audio", "input_audio": {"data": "%%", "format": "wav"}})},
            "messages.0.content.0", "is not base64",
        ),
        ({"messages": about(LOUD, *[clip_part()] * 17)}, "messages", "17 clips; this server takes at most 16"),
        ({"messages": [{"role": "user", "content": "hi"}] * 300}, "messages", "300 messages; this server takes at most 256"),
        ({"messages": [{"role": "user", "content": "word " * 4000}]}, None, "this LLM reads at most"),
    ],
)  # fmt: skip
def test_what_is_refused(options, param, message, client):
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        create(client, **{"messages": about(LOUD, clip_part()), **options})
    assert caught.value.type == "invalid_request_error"
    if param:
        assert caught.value.param == param


def test_an_error_before_the_first_piece_of_a_stream_is_a_plain_error(client):
    with pytest.raises(openai.BadRequestError, match="not audio"):
        create(client, about(LOUD, clip_part(data=b"no audio")), stream=True)


def test_models(client):
    [model] = client.models.list().data
    assert (model.id, model.object) == ("nano", "model")
    assert client.models.retrieve("nano") == model
    for call in (
        lambda: client.models.retrieve("gpt"),
        lambda: client.chat.completions.create(model="gpt", messages=about(LOUD)),
    ):
        with pytest.raises(openai.NotFoundError, match="'gpt' does not exist; this server has 'nano'"):
            call()


def test_transcriptions(client, nano):
    expected = nano.hear([samples()])[0].transcript
    file = serving.CLIPS[0]
    assert client.audio.transcriptions.create(model="nano", file=file).text == expected
    as_text = client.audio.transcriptions.create(model="nano", file=file, response_format="text")
    assert as_text == expected + "\n"
    named = ("../../etc/passwd", file.read_bytes())
    assert client.audio.transcriptions.create(model="nano", file=named, language="en").text == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"response_format": "srt"}, "'srt'; here it is one of json, text: there are no times"),
        ({"temperature": 0.7}, "transcripts are not drawn here"),
        ({"stream": True}, "stream is not supported for transcriptions"),
        ({"extra_body": {"speed": 2}}, "Unrecognized request argument supplied: speed"),
        ({"file": ("a.wav", b"none")}, "not audio that desta2 reads"),
        ({"language": "xx"}, "xx"),
    ],
)
def test_transcriptions_that_are_refused(options, message, client):
    with pytest.raises(openai.BadRequestError, match=message):
        client.audio.transcriptions.create(**{"model": "nano", "file": serving.CLIPS[0], **options})


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "the body is not JSON"),
        (
            {"content": b"[" * 100_000, "headers": {"content-type": "application/json"}},
            400,
            "the body is not JSON",
        ),
        (
            {"content": b"\xff\xfe", "headers": {"content-type": "application/json"}},
            400,
            "the body is not JSON",
        ),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "must be application/json"),
        ({"json": []}, 400, "body: Input should be an object"),
        ({"json": {"model": "nano"}}, 400, "messages: Field required"),
    ],
)
def test_bodies_that_are_no_requests(request_, status, message, address):
    answer = httpx2.post(f"{address}/v1/chat/completions", **request_)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_other_routes_and_methods_fail_in_the_same_shape(address):
    for answer, status in (
        (httpx2.get(f"{address}/v1/nothing"), 404),
        (httpx2.get(f"{address}/v1/chat/completions"), 405),
        (httpx2.post(f"{address}/v1/audio/transcriptions", content=b"x"), 400),
        (httpx2.post(f"{address}/v1/audio/transcriptions", files={"file": b"x"}), 404),
        (httpx2.get(f"{address}/docs"), 404),
    ):
        assert (answer.status_code, set(answer.json()["error"])) == (
            status,
            {"message", "type", "param", "code"},
        )


def test_operators_see_health_and_numbers(address, client):
    create(client, about(LOUD, clip_part()))
    assert httpx2.get(f"{address}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{address}/readyz").status_code == 200
    text = httpx2.get(f"{address}/metrics").text
    assert 'desta2_requests_total{route="/v1/chat/completions",status="200"}' in text
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(numbers['desta2_tokens_total{kind="answer"}']) > 0
    assert float(numbers["desta2_first_token_seconds_count"]) > 0
    assert float(numbers["desta2_answering"]) == 0


def test_nothing_that_was_said_is_in_the_log(client, caplog):
    for logger in (None, "desta2"):  # a command run in this process may have made ours quieter
        caplog.set_level("DEBUG", logger)
    heard = create(client, about("My secret question", clip_part()), max_tokens=5).choices[0].message.content
    client.audio.transcriptions.create(model="nano", file=serving.CLIPS[0])
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("desta2", "uvicorn"))]
    assert any("POST /v1/chat/completions 200" in line for line in said)
    assert not any("secret" in line or heard in line for line in said)


# Servers with other settings


def test_keys_are_asked_for(nano, tmp_path):
    key, line = new_key("anna")
    file = tmp_path / "keys"
    file.write_text(line)
    with served(nano, keys=Keys.read(file)) as address:
        assert create(client_of(address, key), about(LOUD, clip_part())).choices
        for wrong in ("-", key + "x"):
            with pytest.raises(openai.AuthenticationError, match="is not known here"):
                create(client_of(address, wrong), about(LOUD))
        assert httpx2.get(f"{address}/v1/models").status_code == 401
        assert httpx2.get(f"{address}/metrics").status_code == 401
        assert httpx2.get(f"{address}/healthz").status_code == 200
        big = httpx2.post(f"{address}/v1/chat/completions", content=b"x" * 1000)
        assert (big.status_code, big.headers["www-authenticate"]) == (401, "Bearer")


def test_large_requests_are_refused_announced_or_not(nano):
    with served(nano, limits=Limits(body_bytes=10_000)) as address:
        url, kind = f"{address}/v1/chat/completions", {"content-type": "application/json"}
        announced = httpx2.post(url, content=b" " * 20_000, headers=kind)
        chunked = httpx2.post(url, content=iter([b" " * 6000] * 4), headers=kind)
        for answer in (announced, chunked):
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        uploaded = httpx2.post(
            f"{address}/v1/audio/transcriptions", files={"file": b"x" * 20_000}, data={"model": "nano"}
        )
        assert uploaded.status_code == 413


def test_limits_of_clips(nano):
    with served(nano, limits=Limits(clip_seconds=4, total_seconds=5)) as address:
        client = client_of(address)
        assert create(client, about(LOUD, clip_part(2))).choices
        with pytest.raises(openai.BadRequestError, match="clips together last over 5 s"):
            create(client, about(LOUD, *[clip_part(2)] * 3))
    with (
        served(nano, limits=Limits(clip_seconds=1)) as address,
        pytest.raises(openai.BadRequestError, match="longer than the limit of 1 s"),
    ):
        create(client_of(address), about(LOUD, clip_part()))


def test_another_host_name_is_refused(nano):
    with served(nano, hosts=("127.0.0.1",)) as address:
        assert httpx2.get(f"{address}/healthz").status_code == 200
        answer = httpx2.get(f"{address}/healthz", headers={"Host": "evil.example:8000"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "wrong_host")


def test_no_other_web_page_may_ask(address):
    preflight = httpx2.options(
        f"{address}/v1/chat/completions",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )
    assert "access-control-allow-origin" not in preflight.headers


class Slow:
    """A speaker that says a word and then nothing until it is let."""

    def __init__(self):
        self.closed = 0

    async def speak(self, question, sampling):
        import asyncio

        from desta2.serve.speaking import Delta

        try:
            yield Delta("word", 1)
            await asyncio.sleep(60)
        finally:
            self.closed += 1

    async def close(self):
        pass


def test_who_comes_to_a_full_server_gets_429_and_when_to_come_again(nano):
    with served(nano, speaker=Slow, limits=Limits(answers_at_once=1, queue=0)) as address:
        client = client_of(address)
        first = create(client, about(LOUD), stream=True)
        next(first)
        with pytest.raises(openai.RateLimitError, match="answering 1 requests") as caught:
            create(client, about(LOUD))
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert httpx2.get(f"{address}/readyz").status_code == 503
        first.close()
        deadline = time.monotonic() + 10
        while httpx2.get(f"{address}/readyz").status_code != 200:
            assert time.monotonic() < deadline, "the place of a client that left is given back"
            time.sleep(0.05)


@pytest.mark.parametrize("stream", [True, False])
def test_work_for_a_client_that_left_is_stopped(stream, nano):
    slow = Slow()
    with served(nano, speaker=lambda: slow) as address:
        with pytest.raises((openai.APITimeoutError, httpx2.TimeoutException)):
            for _ in create(client_of(address).with_options(timeout=0.5), about(LOUD), stream=stream):
                pass
        deadline = time.monotonic() + 10
        while not slow.closed:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_answer_that_takes_too_long_is_given_up(nano):
    with served(nano, speaker=Slow, limits=Limits(seconds=0.3)) as address:
        client = client_of(address)
        with pytest.raises(openai.APIStatusError, match="longer than this server allows") as caught:
            create(client, about(LOUD))
        assert caught.value.status_code == 504
        with pytest.raises(openai.APIError, match="longer than this server allows"):
            list(create(client, about(LOUD), stream=True))


def test_many_at_once_are_all_answered(nano, client):
    expected = {
        question: create(client, about(question, clip_part())).choices[0].message.content
        for question in (LOUD, DESCRIBE)
    }
    answers = []

    def one(number):
        question = (LOUD, DESCRIBE)[number % 2]
        answer = create(client, about(question, clip_part()), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        answers.append(text == expected[question])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 24


def test_nothing_of_an_answered_request_stays(nano):
    """Without a collection of garbage: cycles that hold clips would let memory grow between two."""
    size = 16000 * 60
    clip = serving.clip_part(data=_wav(np.zeros(size, np.int16)))
    nano.memory.clear()
    with served(nano) as address:
        body = json.dumps({"model": "nano", "messages": about(LOUD, clip), "max_tokens": 2}).encode()
        bad = json.dumps({"model": "nano", "messages": about("<|AUDIO|>", clip), "max_tokens": 2}).encode()
        url, kind = f"{address}/v1/chat/completions", {"content-type": "application/json"}
        for content in (body, bad):
            httpx2.post(url, content=content, headers=kind, timeout=60)
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for content in (body, bad) * 3:
                httpx2.post(url, content=content, headers=kind, timeout=60)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
            gc.enable()
    assert grown < size, "less than one clip, of six"


def _wav(samples):
    import io

    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV")
    return file.getvalue()


class Broken(Slow):
    """A speaker whose engine fails, after a word or at once."""

    def __init__(self, words):
        super().__init__()
        self.words = words

    async def speak(self, question, sampling):
        from desta2.errors import RunError
        from desta2.serve.speaking import Delta

        for _ in range(self.words):
            yield Delta("word", 1)
        raise RunError("no connection to 10.0.0.5")


@pytest.mark.parametrize("words", [0, 1])
def test_a_failure_is_told_to_the_log_alone(words, nano, caplog):
    with served(nano, speaker=lambda: Broken(words)) as address:
        client = client_of(address)
        with pytest.raises(openai.InternalServerError, match="the server failed to answer") as caught:
            create(client, about(LOUD))
        assert "10.0.0.5" not in str(caught.value)
        with pytest.raises(openai.APIError, match="the server failed to answer"):
            list(create(client, about(LOUD), stream=True))
    assert caplog.text.count("a request failed: RunError: no connection to 10.0.0.5") == 2


def test_a_clip_by_url_is_heard_like_the_clip_itself(nano):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=serving.EXAMPLES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        host = f"localhost:{files.server_port}"
        part = {"type": "audio_url", "audio_url": {"url": f"http://{host}/{serving.CLIPS[0].name}"}}
        with served(nano, rules=FetchRules((host,), private=True)) as address:
            client = client_of(address)
            by_url = create(client, about(DESCRIBE, part)).choices[0].message.content
            assert by_url == create(client, about(DESCRIBE, clip_part())).choices[0].message.content
            missing = {"type": "audio_url", "audio_url": {"url": f"http://{host}/none.wav"}}
            with pytest.raises(openai.BadRequestError, match="answered 404 to the clip's URL"):
                create(client, about(DESCRIBE, missing))
        files.shutdown()


def test_the_schema_says_what_is_taken_without_references(address):
    paths = httpx2.get(f"{address}/openapi.json").json()["paths"]
    body = paths["/v1/chat/completions"]["post"]["requestBody"]
    assert "$ref" not in json.dumps(body)
    schema = body["content"]["application/json"]["schema"]
    assert schema["required"] == ["model", "messages"]
    assert schema["properties"]["model"] == {"enum": ["nano"]}
    assert schema["additionalProperties"] is False
