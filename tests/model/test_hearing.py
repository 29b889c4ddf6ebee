"""Clips of any length and content: windows, silence, what is given, what is remembered."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from desta2.data import vad
from desta2.data.audio import load_audio
from desta2.errors import InputError, RunError
from desta2.model.hearing import WINDOWS_AT_ONCE, Heard
from desta2.model.memory import Memory
from desta2.model.windows import split

RATE = 16_000
WINDOW = 2 * RATE  # of the tiny Whisper
GREEDY = {"max_new_tokens": 6, "do_sample": False}
EXAMPLES = Path(__file__).parents[2] / "examples"


def sound(seconds, hz=700, seed=0):
    """Bursts of three notes; its windows differ in what the tiny Whisper writes of them."""
    t = np.arange(int(RATE * seconds)) / RATE
    pitch = hz + np.array([0, 200, 1700])[(t // 1.1).astype(int) % 3]
    rough = np.random.default_rng(seed).standard_normal(len(t))
    return ((t % 1.1 < 0.6) * (0.3 * np.sin(2 * np.pi * pitch * t) + 0.02 * rough)).astype(np.float32)


def ask(*audios, question="Is the voice loud?"):
    parts = [{"type": "audio", "audio": audio} for audio in audios]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


@pytest.fixture(scope="module")
def strict(bases, make_model):
    """A model that looks for speech."""
    return make_model(bases, detect_speech=True)


@pytest.fixture(scope="module")
def speech():
    """A sentence of less than a window."""
    return load_audio(EXAMPLES / "caribbean.wav")


# Long clips


def test_a_long_clip_is_heard_window_by_window(forgetful):
    model, clip = forgetful, sound(7.3)
    parts = split(clip, WINDOW)
    assert len(parts) > 3
    [whole] = model.hear([clip])
    alone = [model.hear([part])[0] for part in parts]
    assert whole.texts == tuple(part.transcript for part in alone)
    assert whole.transcript == " ".join(part.transcript for part in alone)
    assert len(set(whole.texts)) > 1, "texts that are all alike would hide a mix-up"
    torch.testing.assert_close(whole.embeds, torch.cat([part.embeds for part in alone]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("texts", "transcript"),
    [
        (("a fox", "", "runs"), "a fox runs"),
        (("", "a fox"), "a fox"),
        ((" A fox", " runs."), " A fox runs."),  # as Whisper writes, where white space is kept
        ((" A fox",), " A fox"),
        (("", ""), ""),
    ],
)
def test_the_transcript_of_all_windows(texts, transcript):
    assert Heard(torch.zeros(len(texts), 1, 1), texts).transcript == transcript


@pytest.mark.parametrize("layout", ["desta2", "desta2.5"])
def test_every_window_has_its_place_in_the_prompt(bases, make_model, layout, monkeypatch):
    model = make_model(bases, layout=layout, detect_speech=False)
    [heard] = model.hear([sound(5)])
    seen = {}
    embed = model.embed

    def spy(input_ids, audio_embeds, audio_slots):
        seen.update(ids=input_ids[0].tolist(), embeds=audio_embeds, slots=audio_slots.tolist())
        return embed(input_ids, audio_embeds, audio_slots)

    monkeypatch.setattr(model, "embed", spy)
    output = model.chat(ask(heard), **GREEDY)
    assert output.transcripts == [heard.transcript], "one per clip"
    assert torch.equal(seen["embeds"], heard.embeds)
    n, decode = model.config.n_queries, model.processor.tokenizer.decode
    starts = [start for _, start in seen["slots"]]
    assert len(starts) == len(heard.texts) > 2
    for (start, text), after in zip(zip(starts, heard.texts, strict=True), [*starts[1:], None], strict=True):
        assert decode(seen["ids"][start + n : after]).startswith(text), "its words follow its audio"
        assert after is None or decode(seen["ids"][start + n : after]) == text
    turn = decode(seen["ids"])
    assert turn.count("<|start_header_id|>audio") == (1 if layout == "desta2" else 0)
    assert turn.count("<start_audio>") == turn.count("<end_audio>") == (0 if layout == "desta2" else 1)


def test_all_windows_of_a_batch_share_encoder_passes(model, passes):
    clips = [sound(5, hz=500 + 10 * i) for i in range(7)]
    n_windows = sum(len(split(clip, WINDOW)) for clip in clips)
    assert n_windows > WINDOWS_AT_ONCE
    model.chat([ask(*clips[:3]), ask(*clips[3:])], transcripts=[[None] * 3, [None] * 4], **GREEDY)
    assert passes == [WINDOWS_AT_ONCE, n_windows - WINDOWS_AT_ONCE]


def test_more_windows_than_a_pass_takes_stay_in_order(forgetful, monkeypatch):
    clips = [sound(1 + i % 3, hz=500 + 40 * i, seed=i) for i in range(5)]
    at_once = forgetful.hear(clips)
    monkeypatch.setattr("desta2.model.hearing.WINDOWS_AT_ONCE", 2)
    for one, other in zip(at_once, forgetful.hear(clips), strict=True):
        assert one.texts == other.texts
        torch.testing.assert_close(one.embeds, other.embeds, rtol=0, atol=1e-5)


def test_a_given_transcript_of_a_long_clip_follows_all_its_audio(model):
    clip = sound(5)
    [heard] = model.hear([clip], ["the quick fox"])
    assert heard.texts == ("",) * (len(heard.texts) - 1) + ("the quick fox",)
    assert len(heard.texts) == len(split(clip, WINDOW)) > 1
    assert model.chat(ask(clip), transcripts=["the fox"], **GREEDY).transcripts == ["the fox"]
    [own] = model.hear([clip])
    assert model.chat(ask(own), transcripts=["the fox"], **GREEDY) == model.chat(
        ask(clip), transcripts=["the fox"], **GREEDY
    )


def test_the_cascade_reads_the_words_of_all_windows(model):
    clip = sound(5)
    transcript = model.hear([clip])[0].transcript
    output = model.chat(ask(clip), use_audio=False, **GREEDY)
    assert output.transcripts == [transcript]
    assert output == model.chat(ask(clip), use_audio=False, transcripts=[transcript], **GREEDY)


def test_the_limit_is_stated_and_nothing_is_cut_at_it(bases, make_model):
    model = make_model(bases, max_clip_seconds=3)
    assert model.hear([sound(3)])[0].embeds.shape[0] == 2
    with pytest.raises(
        InputError,
        match=r"the clip lasts 3\.01 s, but this model takes clips of at most 3 s \(max_clip_seconds in its",
    ):
        model.chat(ask(sound(3.01)), **GREEDY)


def test_a_conversation_longer_than_the_llm_reads_is_refused(bases, make_model):
    model = make_model(bases, n_queries=100)
    with pytest.raises(
        InputError, match=r"the conversation takes \d{3} tokens, but this LLM reads at most 512"
    ):
        model.chat(ask(sound(9)), **GREEDY)


# Speech or none


def test_without_speech_the_transcript_is_empty(strict, speech):
    silence = np.zeros(RATE, np.float32)
    heard = strict.hear([silence, speech, sound(1)])
    assert [clip.transcript for clip in heard] == ["", heard[1].transcript, ""]
    assert heard[1].transcript
    assert all(clip.embeds.shape == heard[1].embeds.shape for clip in heard), "the sound itself is heard"
    assert strict.chat(ask(silence, speech), **GREEDY).transcripts == ["", heard[1].transcript]


def test_each_window_is_looked_at(strict, speech):
    silence = np.zeros(WINDOW - len(speech) // 2, np.float32)
    [heard] = strict.hear([np.concatenate([speech, silence, silence])])
    assert heard.texts[0]
    assert heard.texts[-1] == ""


def test_what_the_user_gives_is_kept_where_nobody_speaks(strict):
    silence = np.zeros(RATE, np.float32)
    assert strict.chat(ask(silence), transcripts=["given"], **GREEDY).transcripts == ["given"]
    within = [{"role": "user", "content": [{"type": "audio", "audio": silence, "text": "within"}]}]
    assert strict.chat(within, **GREEDY).transcripts == ["within"]


def test_whisper_writes_everything_where_speech_is_not_looked_for(model):
    assert model.config.detect_speech is False
    assert model.hear([np.zeros(RATE, np.float32)])[0].transcript


@pytest.fixture
def no_silero(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "silero_vad" else find_spec(name)
    )
    vad._session.cache_clear()


def test_without_the_library_the_option_is_an_error_and_nothing_else(strict, forgetful, no_silero):
    strict.memory.clear()
    with pytest.raises(RunError, match=r"not installed: pip install 'silero-vad.*detect_speech is true"):
        strict.hear([sound(1)])
    assert strict.hear([sound(1)], ["given"])[0].transcript == "given"
    assert forgetful.hear([sound(5)])[0].transcript, "a long clip is cut at its quietest places"


# Languages


def test_the_language_goes_to_whisper(model, monkeypatch, passes):
    asked = []
    generate = model.whisper.generate
    monkeypatch.setattr(model.whisper, "generate", lambda **o: asked.append(o["language"]) or generate(**o))
    model.chat(ask(sound(1)), language="german", **GREEDY)
    model.chat(ask(sound(1)), language="en", **GREEDY)
    model.chat(ask(sound(1)), language="de", **GREEDY)
    assert asked == [["<|de|>"], ["<|en|>"]], "what was heard as German is remembered"
    with pytest.raises(InputError, match="language is 'klingon'"):
        model.chat(ask(sound(1)), language="klingon", **GREEDY)


# Memory


def test_a_second_turn_with_the_clip_itself_costs_no_pass(model, clips, passes):
    history = ask(clips[0])
    answers = [model.chat(history, **GREEDY)]
    history += [{"role": "assistant", "content": answers[0].text}, *ask(clips[1], question="And this?")]
    second = model.chat(history, **GREEDY)
    assert passes == [1, 1], "the first clip once, and then the new one"
    assert second.transcripts[0] == answers[0].transcripts[0]
    model.memory.clear()
    assert model.chat(history, **GREEDY) == second
    with open(clips[0], "rb") as file:
        model.chat(ask(file.read()), **GREEDY)
    assert passes == [1, 1, 2], "known by its content, whatever form it comes in"


def test_another_transcript_or_language_is_another_memory(model, clips, passes):
    for words in (None, "fox", None, "hound", "fox"):
        transcript = model.chat(ask(clips[0]), transcripts=[words], **GREEDY).transcripts[0]
        assert words in (None, transcript)
    assert passes == [1, 1, 1]


def test_memory_is_bounded(model, clips, passes, monkeypatch):
    one = model.hear(clips[:1])[0].embeds
    monkeypatch.setattr(model, "memory", Memory(one.nelement() * one.element_size()))
    passes.clear()
    for clip in (clips[0], clips[0], clips[1], clips[0]):
        model.hear([clip])
    assert passes == [1, 1, 1]
    assert len(model.memory) == 1


def test_what_was_heard_with_other_weights_is_forgotten(bases, make_model, clips):
    model = make_model(bases)
    before = model.hear(clips[:1])[0]
    assert model.hear(clips[:1])[0] is before
    with torch.no_grad():
        model.adapter.projection.bias.add_(1.0)
    after = model.hear(clips[:1])[0]
    torch.testing.assert_close(after.embeds, before.embeds + 1.0)
    model.adapter.load_state_dict({k: v + 1 for k, v in model.adapter.state_dict().items()})
    assert not torch.allclose(model.hear(clips[:1])[0].embeds, after.embeds)
    model.config.max_transcript_tokens = 2
    assert len(model.hear(clips[:1])[0].transcript) < len(before.transcript)


def test_in_training_mode_nothing_is_remembered(bases, make_model, clips):
    model = make_model(bases, adapter_dropout=0.5)
    still = model.hear(clips[:1])[0]
    model.train()
    first, second = (model.hear(clips[:1])[0].embeds for _ in range(2))
    assert not torch.allclose(first, second), "dropout"
    model.eval()
    assert model.hear(clips[:1])[0] is still


def test_hearing_keeps_no_gradients(model, clips, passes):
    assert not model.hear(clips[:1])[0].embeds.requires_grad
    assert model.get_audio_features(torch.randn(1, 20, 100)).requires_grad, "training needs them"
