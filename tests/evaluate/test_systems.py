"""Systems: a tiny model in this process, and a real server on this machine that is sent real audio."""

import base64

import numpy as np
import pytest
from loopback_llm import LoopbackLLM, Raw, chat
from superb import wav

from desta2.data import pacing
from desta2.data.audio import load_audio
from desta2.data.backends import Failure
from desta2.errors import CheckpointError, InputError
from desta2.evaluate.spoken import openai_messages
from desta2.evaluate.systems import EndpointSystem, ModelSystem, Question, open_system, weights_of


def question(number, *audios, text="What do you hear?"):
    parts = [{"type": "audio", "audio": audio} for audio in audios]
    return Question(f"q{number}", [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}])


def answers(system, questions):
    return {asked.id: outcome for asked, outcome in system.answer(questions)}


# A model in this process


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_model_answers_as_it_does_alone(model, clips, batch_size):
    questions = [
        question(0, clips[0]),
        question(1, clips[1], text="Is the voice loud?"),
        question(2, *clips),
        question(3, wav(300)),
        question(4, text="Hello"),
    ]
    found = answers(ModelSystem(model, "tiny", batch_size=batch_size, max_new_tokens=6), iter(questions))
    alone = {q.id: model.chat(q.messages, max_new_tokens=6, do_sample=False).text for q in questions}
    assert found == alone
    assert len(set(found.values())) > 2


def test_vectors_are_left_out_where_a_question_says_so(model, clips):
    def worded(number, words, vectors):
        part = {"type": "audio", "audio": clips[number % 2]} | ({"text": words} if words else {})
        content = [part, {"type": "text", "text": "Who?"}]
        return Question(f"q{number}", [{"role": "user", "content": content}], {}, vectors)

    questions = [worded(0, "", True), worded(1, "", False), worded(2, "fox", True), worded(3, "fox", False)]
    found = answers(ModelSystem(model, "tiny", max_new_tokens=6), questions)
    alone = {
        q.id: model.chat(q.messages, max_new_tokens=6, do_sample=False, use_audio=q.vectors).text
        for q in questions
    }
    assert found == alone
    heard = model.chat(questions[1].messages, max_new_tokens=6, do_sample=False).text
    assert found["q1"] != heard, "the test needs a clip whose vectors change the answer"


def test_no_question_about_vectors_goes_by_url(clips):
    asked = Question("q", question(0, clips[0]).messages, {}, vectors=True)
    with LoopbackLLM(lambda body, number: chat("yes")) as server:
        with pytest.raises(InputError) as caught:
            list(EndpointSystem(server.url).answer([asked]))
        assert not server.bodies
    assert str(caught.value).startswith(
        "this benchmark takes the adapter's vectors and the transcript apart, "
    )
    assert str(caught.value).endswith(f"give its folder or hub id, not the URL {server.url}")


def test_what_cannot_be_answered_fails_alone(model, clips, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"<html>")
    questions = [question(i, clips[i % 2]) for i in range(5)]
    questions[3] = question(3, str(tmp_path / "broken.wav"))
    questions.append(question(5, text="word " * 600))
    found = answers(ModelSystem(model, "tiny", max_new_tokens=3), questions)
    assert list(found) == [f"q{i}" for i in range(6)]
    assert (
        isinstance(found["q3"], Failure) and "broken.wav: not audio that desta2 reads" in found["q3"].reason
    )
    assert isinstance(found["q5"], Failure) and "tokens" in found["q5"].reason
    assert all(isinstance(found[f"q{i}"], str) for i in (0, 1, 2, 4))


def test_batches_shrink_with_the_memory(model, clips, monkeypatch):
    import torch

    sizes, real = [], type(model).chat

    def scarce(self, conversations, **options):
        sizes.append(len(conversations))
        if len(conversations) > 2:
            raise torch.OutOfMemoryError("no memory")
        return real(self, conversations, **options)

    monkeypatch.setattr(type(model), "chat", scarce)
    found = answers(
        ModelSystem(model, "tiny", batch_size=8, max_new_tokens=2), (question(i, clips[0]) for i in range(12))
    )
    assert len(found) == 12 and not any(isinstance(text, Failure) for text in found.values())
    assert sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2]


def test_facts_of_a_model(model, make_model, bases):
    import torch

    facts = ModelSystem(model, "some/folder", max_new_tokens=7).facts
    assert (facts["kind"], facts["id"]) == ("model", "some/folder")
    assert facts["sampling"] == {"temperature": 0, "top_p": 1.0, "max_new_tokens": 7, "seed": 0}
    assert facts["dtype"] == "float32"
    assert facts["identity"] == weights_of(model)
    other = make_model(bases)
    with torch.no_grad():
        other.adapter.projection.weight.add_(0.1)
    assert ModelSystem(other, "some/folder").facts["identity"] != facts["identity"]
    with pytest.raises(InputError, match="given batch_size=0, expected 1 or more"):
        ModelSystem(model, "x", batch_size=0)


def test_open_system(tmp_path):
    with pytest.raises(CheckpointError):
        open_system(str(tmp_path))


# By URL


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)


def heard(body):
    """The clips that a request holds, as samples."""
    found = []
    for message in body["messages"]:
        if isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] == "input_audio":
                    assert part["input_audio"]["format"] == "wav"
                    found.append(load_audio(base64.b64decode(part["input_audio"]["data"])))
    return found


def frequency(samples):
    return round(np.argmax(np.abs(np.fft.rfft(samples))) * 16_000 / len(samples))


def test_a_server_is_sent_the_clips_and_each_question_gets_its_own_answer(monkeypatch, caplog):
    def listen(body, number):
        return chat(" and ".join(f"{frequency(clip)} Hz" for clip in heard(body)) or "nothing")

    questions = [question(i, wav(200 + 50 * i)) for i in range(8)]
    questions += [question(8, wav(200), wav(900)), question(9, text="Hi")]
    questions[0].messages.insert(0, {"role": "system", "content": "Listen."})
    monkeypatch.setenv("MY_KEY", "secret")
    with LoopbackLLM(listen) as server:
        system = open_system(server.url, concurrency=4, max_new_tokens=9, api_key_env="MY_KEY")
        found = answers(system, questions)
    assert found == {
        **{f"q{i}": f"{200 + 50 * i} Hz" for i in range(8)},
        "q8": "200 Hz and 900 Hz",
        "q9": "nothing",
    }
    assert not caplog.records, "no warning: nobody is to be trained"
    assert 1 < server.most <= 4
    body = next(body for body in server.bodies if body["messages"][0]["role"] == "system")
    assert body["messages"][0] == {"role": "system", "content": "Listen."}
    assert [part["type"] for part in body["messages"][1]["content"]] == ["input_audio", "text"]
    assert body["messages"][1]["content"][1]["text"] == "What do you hear?"
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0, 9, "tiny")
    assert next(body for body in server.bodies if not heard(body))["messages"][-1]["content"] == "Hi"
    assert {headers["Authorization"] for headers in server.headers} == {"Bearer secret"}
    assert system.facts["kind"] == "endpoint"
    assert (system.facts["id"], system.facts["identity"]) == ("tiny", "tiny")
    assert system.facts["url"] == server.url


def test_failures_by_url(tmp_path):
    def answer(body, number):
        text = body["messages"][0]["content"][-1]["text"]
        if text == "refuse":
            return Raw(400, b"too long")
        if text == "cut":
            return chat("half an ans", "length")
        return Raw(503, b"busy") if number == 0 else chat("fine")

    questions = [
        question(0, wav(200), text="first"),
        question(1, wav(200), text="refuse"),
        question(2, wav(200), text="cut"),
        question(3, str(tmp_path / "none.wav"), text="gone"),
    ]
    with LoopbackLLM(answer) as server:
        found = answers(EndpointSystem(server.url, concurrency=1), questions)
    assert found["q0"] == "fine", "what passes is tried again"
    assert found["q1"] == Failure("refused with status 400: too long")
    assert found["q2"] == "half an ans", "an answer that was cut is an answer"
    assert found["q3"] == Failure(f"{tmp_path}/none.wav: no such file; check the path")


def test_a_server_with_several_models():
    with LoopbackLLM(lambda body, number: chat(body["model"]), {"a": "org/a", "b": "b"}) as server:
        with pytest.raises(InputError, match="serves these models: a, b; give a name with --llm-name"):
            open_system(server.url)
        system = open_system(server.url, served_name="a")
        assert answers(system, [question(0, text="Hi")]) == {"q0": "a"}
    assert (system.facts["id"], system.facts["identity"]) == ("a", "org/a")


def test_nobody_there():
    with pytest.raises(InputError, match=r"nobody answers at http://127.0.0.1:9/v1/models"):
        open_system("http://127.0.0.1:9/v1")


def test_messages_of_every_form():
    clip = wav(440)
    forms = [
        [{"role": "user", "content": [{"type": "audio", "audio": clip}, {"type": "text", "text": "Q"}]}],
        [{"role": "audio", "content": clip}, {"role": "user", "content": "Q"}],
        [{"role": "user", "content": "<|AUDIO|>\nQ", "audios": [{"audio": clip, "text": None}]}],
    ]
    sent = [openai_messages(form) for form in forms]
    assert sent[0] == sent[1] == sent[2]
    [message] = sent[0]
    assert [part["type"] for part in message["content"]] == ["input_audio", "text"]
    assert message["content"][1]["text"] == "Q"
    [clip_only] = heard({"messages": sent[0]})
    assert np.abs(clip_only - load_audio(clip)).max() < 1e-4
    samples = [{"role": "user", "content": [{"type": "audio", "audio": load_audio(clip)}]}]
    assert openai_messages(samples)[0]["content"] == message["content"][:1]
    given = [{"role": "user", "content": [{"type": "audio", "audio": None, "text": "so said"}]}]
    assert openai_messages(given) == [{"role": "user", "content": [{"type": "text", "text": "so said"}]}]
