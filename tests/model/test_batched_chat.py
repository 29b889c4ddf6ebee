"""Many conversations at once answer as one by one; a clip that was heard is heard no more."""

import random

import pytest
import torch

from desta2.errors import AudioError, InputError
from desta2.model.batching import LeftPadded
from desta2.model.hearing import Heard
from desta2.model.memory import Memory

GREEDY = {"max_new_tokens": 8, "do_sample": False}
QUESTIONS = ("Loud?", "What can you hear from the audio? Describe the speaker and the words.", "Who is it?")


def ask(*audios, question="Is the voice loud?"):
    parts = [{"type": "audio", "audio": audio} for audio in audios]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def draw_conversation(rng, clips):
    """No, one or two clips; one turn or two; perhaps a system turn or a transcript that is given."""
    audios = [{"type": "audio", "audio": rng.choice(clips)} for _ in range(rng.randrange(3))]
    if audios and rng.random() < 0.3:
        audios[0]["text"] = "quick fox"
    turns = [{"role": "user", "content": [*audios, {"type": "text", "text": rng.choice(QUESTIONS)}]}]
    if rng.random() < 0.4:
        turns += [{"role": "assistant", "content": "A fox."}, *ask(*rng.choices(clips, k=rng.randrange(2)))]
    if rng.random() < 0.3:
        turns.insert(0, {"role": "system", "content": "You are calm."})
    return turns


@pytest.fixture(scope="module", params=[("desta2", 0), ("desta2.5", 1), ("desta2", 2)], ids=str)
def some_model(request, bases, make_model, save_llm, tmp_path_factory):
    """Models with other layouts and LLMs."""
    layout, seed = request.param
    if seed == 0:
        return make_model(bases, layout=layout)
    folder = tmp_path_factory.mktemp("other")
    save_llm(folder / "llm", seed=seed)
    (folder / "whisper").symlink_to(bases / "whisper")
    return make_model(folder, layout=layout)


def test_a_batch_answers_as_its_conversations(some_model, clips):
    for seed in range(2):
        rng = random.Random(seed)
        some_model.memory = Memory(0)  # alone a conversation shall owe nothing to the batch
        conversations = [draw_conversation(rng, clips) for _ in range(7)]
        together = some_model.chat(conversations, **GREEDY)
        assert together == [some_model.chat(one, **GREEDY) for one in conversations]
        assert len({answer.text for answer in together}) > 2, "answers that are all alike would hide a mix-up"
        assert len({len(answer.transcripts) for answer in together}) > 1


def test_answers_that_end_early_end_where_they_would_alone(model, clips, monkeypatch):
    conversations = [ask(clip, question=question) for clip in clips for question in QUESTIONS]
    free = [answer.token_ids for answer in model.chat(conversations, **GREEDY)]
    # Tokens that some answers write shall end them, besides those that did.
    ends = [free[0][2], free[1][4], *model.llm.generation_config.eos_token_id]
    monkeypatch.setattr(model.llm.generation_config, "eos_token_id", ends)
    together = model.chat(conversations, **GREEDY)
    assert together == [model.chat(one, **GREEDY) for one in conversations]
    for answer, whole in zip(together, free, strict=True):
        stop = next((i + 1 for i, token in enumerate(whole) if token in ends), len(whole))
        assert answer.token_ids == whole[:stop]
    assert len({len(answer.token_ids) for answer in together}) > 1


def test_the_cascade_in_a_batch(model, clips):
    conversations = [ask(clips[0]), ask(), ask(*clips, question="Who?")]
    together = model.chat(conversations, use_audio=False, **GREEDY)
    assert together == [model.chat(one, use_audio=False, **GREEDY) for one in conversations]
    assert [len(answer.transcripts) for answer in together] == [1, 0, 2]


def test_all_clips_of_a_batch_share_one_encoder_pass(model, clips, passes):
    model.chat([ask(clips[0]), ask(), ask(*clips)], **GREEDY)
    assert passes == [2], "two different clips, three times"


def test_transcripts_beside_a_batch(model, clips):
    conversations = [ask(clips[0]), ask(*clips)]
    answers = model.chat(conversations, transcripts=[["fox"], [None, "calm"]], **GREEDY)
    alone = model.chat(conversations[1], transcripts=[None, "calm"], **GREEDY)
    assert answers[0].transcripts == ["fox"]
    assert answers[1] == alone
    with pytest.raises(InputError, match="1 transcripts for 2 clips"):
        model.chat(conversations, transcripts=[["fox"], ["fox"]], **GREEDY)


def test_with_a_seed_every_conversation_starts_from_it(model, clips):
    sampled = {"max_new_tokens": 6, "do_sample": True, "temperature": 5.0, "top_p": 1.0, "seed": 3}
    conversations = [ask(clips[0]), ask(clips[1])]
    assert model.chat(conversations, **sampled) == [model.chat(one, **sampled) for one in conversations]


def test_one_bad_conversation_is_named(model, clips):
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        model.chat([ask(clips[0]), ask("gone.wav")], **GREEDY)
    with pytest.raises(InputError, match="messages must be a non-empty list"):
        model.chat([ask(clips[0]), []], **GREEDY)
    with pytest.raises(InputError, match="messages must be a non-empty list"):
        model.chat([], **GREEDY)


# Clips that were heard before


def test_heard_clips_answer_as_the_clips_themselves(model, clips, passes):
    heard = model.hear(clips)
    assert passes == [2]
    passes.clear()
    model.memory.clear()
    conversations = [ask(heard[0]), ask(*heard), ask(heard[1], question="Who?")]
    answers = model.chat(conversations, **GREEDY)
    assert passes == [], "what was heard passes the encoder no more"
    assert answers == model.chat([ask(clips[0]), ask(*clips), ask(clips[1], question="Who?")], **GREEDY)
    assert answers[0].transcripts == [heard[0].transcript]


def test_heard_and_unheard_clips_side_by_side(model, clips, passes):
    [first] = model.hear(clips[:1])
    passes.clear()
    model.memory.clear()
    mixed = model.chat([ask(first, clips[1]), ask(clips[1], first)], **GREEDY)
    assert passes == [1], "a clip that stands twice is heard once"
    assert mixed == model.chat([ask(*clips), ask(*clips[::-1])], **GREEDY)


def test_every_form_of_message_takes_what_was_heard(model, clips):
    [heard] = model.hear(clips[:1])
    text = "<|AUDIO|>\nLoud?"
    forms = [
        [{"role": "audio", "content": heard}, {"role": "user", "content": "Loud?"}],
        ask(heard, question="Loud?"),
        [{"role": "user", "content": text, "audios": [{"audio": heard, "text": None}]}],
    ]
    answers = model.chat(forms, **GREEDY)
    assert answers[0] == answers[1] == answers[2] == model.chat(ask(clips[0], question="Loud?"), **GREEDY)


def test_a_second_turn_costs_no_encoder_pass(model, clips, passes):
    [heard] = model.hear(clips[:1])
    model.memory.clear()
    first = model.chat(ask(heard), **GREEDY)
    history = [*ask(heard), {"role": "assistant", "content": first.text}, {"role": "user", "content": "Who?"}]
    assert model.chat(history, **GREEDY).transcripts == [heard.transcript]
    assert passes == [1]


def test_the_order_and_number_of_clips_does_not_change_what_is_heard(forgetful, clips):
    model = forgetful
    together, alone = model.hear(clips), [model.hear([clip])[0] for clip in clips]
    for one, other in zip(together, alone, strict=True):
        assert one.transcript == other.transcript
        torch.testing.assert_close(one.embeds, other.embeds, rtol=0, atol=1e-5)
    assert together[0].embeds.shape == (1, model.config.n_queries, model.config.d_llm)
    assert not torch.allclose(together[0].embeds, together[1].embeds)


def test_nothing_to_hear(model, passes):
    assert model.hear([]) == []
    assert passes == []


def test_given_transcripts_win(model, clips):
    [written] = model.hear(clips[:1])
    heard = model.hear([clips[0], clips[0]], ["given", None])
    assert [clip.transcript for clip in heard] == ["given", written.transcript]
    assert model.hear(clips[:1], [""])[0].transcript == "", "an empty transcript is a transcript"
    torch.testing.assert_close(heard[0].embeds, written.embeds)
    assert model.chat(ask(heard[0]), **GREEDY).transcripts == ["given"]
    assert heard[0].texts == ("given",)
    assert model.chat(ask(heard[0]), transcripts=["beside"], **GREEDY).transcripts == ["beside"]
    within = [
        {"role": "user", "content": "<|AUDIO|>\nLoud?", "audios": [{"audio": heard[0], "text": "within"}]}
    ]
    assert model.chat(within, **GREEDY).transcripts == ["within"]


def test_whisper_is_not_asked_for_what_is_given(forgetful, clips, monkeypatch):
    model = forgetful
    monkeypatch.setattr(model.whisper, "generate", lambda *_, **__: pytest.fail("the decoder ran"))
    assert model.chat(ask(*clips), transcripts=["one", "two"], **GREEDY).transcripts == ["one", "two"]


def test_the_cascade_does_not_look_at_what_was_heard(model, clips, passes):
    [heard] = model.hear(clips[:1])
    deaf = Heard(torch.full_like(heard.embeds, float("nan")), heard.texts)
    passes.clear()
    model.memory.clear()
    answer = model.chat(ask(deaf), use_audio=False, **GREEDY)
    assert answer == model.chat(ask(heard), use_audio=False, **GREEDY)
    assert passes == []
    assert answer == model.chat(ask(clips[0]), use_audio=False, **GREEDY)
    assert model.chat(ask(clips[0]), use_audio=False, transcripts=["fox"], **GREEDY).transcripts == ["fox"]
    assert passes == [1], "with the transcript given there is nothing to be heard"


def test_clips_of_every_kind_in_one_batch(model, clips):
    import soundfile

    samples = soundfile.read(clips[0], dtype="float32")[0]
    with open(clips[0], "rb") as file:
        content = file.read()
    answers = model.chat([ask(clips[0]), ask(samples), ask(content), ask(*model.hear([samples]))], **GREEDY)
    assert answers[0] == answers[1] == answers[2] == answers[3]


def test_left_padding():
    batch = LeftPadded.of([[5, 6, 7], [8], [9, 10]])
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 8, 8], [9, 9, 10]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert batch.shifts == [0, 2, 1]
    assert batch.input_ids.dtype == torch.long
