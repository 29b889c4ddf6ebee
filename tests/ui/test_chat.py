"""What the page does, without a browser."""

import itertools
import threading

import pytest
import serving

import desta2
from desta2.errors import AudioError, InputError
from desta2.inspection import scheme_of
from desta2.model.messages import ask
from desta2.ui.chat import Chat, messages_of

LOUD = "How loud is the speech?"


@pytest.fixture(scope="module")
def nano():
    return desta2.load("nano")


@pytest.fixture(scope="module")
def chat(nano):
    return Chat(nano, scheme_of("nano"))


def asked(text, *clips):
    return {"text": text, "files": [str(clip) for clip in clips]}


def history_of(*turns):
    """As gradio hands it over."""
    return [{"role": role, "content": content, "metadata": None, "options": None} for role, content in turns]


def test_an_answer_grows_to_that_of_chat(chat, nano):
    pieces = list(chat.answer([], asked(LOUD, serving.CLIPS[0]), 0, 64))
    assert len(pieces) > 2
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(pieces))
    assert pieces[-1] == nano.chat(ask(serving.samples(), LOUD), do_sample=False).text


def test_later_questions_are_about_the_same_clips(chat, nano):
    first = [{"type": "file", "file": {"path": str(serving.CLIPS[0])}}, {"type": "text", "text": LOUD}]
    history = history_of(("user", first), ("assistant", [{"type": "text", "text": "The volume is loud."}]))
    [*_, answer] = chat.answer(history, asked("And the pitch?"), 0, 64)
    messages = [
        *ask(serving.samples(), LOUD),
        {"role": "assistant", "content": "The volume is loud."},
        {"role": "user", "content": "And the pitch?"},
    ]
    assert answer == nano.chat(messages, do_sample=False).text


def test_the_settings_count(chat):
    [*_, short] = chat.answer([], asked(LOUD, serving.CLIPS[0]), 0, 2)
    assert len(short.split()) <= 2
    drawn = {list(chat.answer([], asked("What can you hear from the audio?"), 1.5, 40))[-1] for _ in range(6)}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("text", "clips", "error", "message"),
    [
        (" ", [serving.CLIPS[0]], InputError, "Please write a question"),
        (LOUD, [__file__], AudioError, "not audio that desta2 reads"),
    ],
)
def test_mistakes(text, clips, error, message, chat):
    with pytest.raises(error, match=message):
        list(chat.answer([], asked(text, *clips), 0, 8))
    assert list(chat.answer([], asked(LOUD), 0, 8)), "the next one is answered"


def test_a_visitor_who_leaves_gives_the_turn_back(chat):
    answer = chat.answer([], asked(LOUD, serving.CLIPS[0]), 0, 64)
    next(answer)
    others = []
    thread = threading.Thread(target=lambda: others.extend(chat.answer([], asked(LOUD), 0, 8)))
    thread.start()
    answer.close()
    thread.join(30)
    assert others


def test_with_and_without_the_adapter(chat, nano):
    both = chat.both(str(serving.CLIPS[0]), LOUD)
    assert both.heard == nano.chat(ask(serving.samples(), LOUD), do_sample=False).text
    assert both.read == nano.chat(ask(serving.samples(), LOUD), use_audio=False, do_sample=False).text
    assert both.heard != both.read
    with pytest.raises(InputError, match="Please write a question about the clip"):
        chat.both(str(serving.CLIPS[0]), "")


def test_history_of_several_clips():
    content = [{"type": "file", "file": {"path": path}} for path in ("a.wav", "b.wav")]
    assert messages_of(
        history_of(("user", [*content, {"type": "text", "text": "Hi"}]), ("user", "Plain"))
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "audio", "audio": "a.wav"},
                {"type": "audio", "audio": "b.wav"},
                {"type": "text", "text": "Hi"},
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "Plain"}]},
    ]
