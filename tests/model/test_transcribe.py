"""Languages and tasks of the transcript, all from one encoder pass."""

import logging

import pytest
import torch
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from desta2.errors import InputError
from desta2.model.transcribe import transcribe

LIMIT = 6


@pytest.fixture
def whisper(model):
    return model.whisper


@pytest.fixture
def tokenizer(model):
    return model.processor.whisper_tokenizer


@pytest.fixture(scope="module")
def encoded(model):
    """Three clips after the encoder, (3, T, d)."""
    generator = torch.Generator().manual_seed(3)
    return model.encode(torch.randn(3, 20, 100, generator=generator)).last_hidden_state


@pytest.fixture
def prompts(model):
    """What the decoder is given to begin with, as lists of token texts, one list per forward pass of a prompt."""
    seen = []

    def look(_, args, kwargs):
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        if ids[0, 0] == model.whisper.config.decoder_start_token_id:
            seen.append(
                [model.processor.whisper_tokenizer.convert_ids_to_tokens(row) for row in ids.tolist()]
            )

    hook = model.whisper.get_decoder().register_forward_pre_hook(look, with_kwargs=True)
    yield seen
    hook.remove()


def as_config(whisper, monkeypatch, **changes):
    """Give the Whisper another generation config; None takes a value away."""
    values = {**whisper.generation_config.to_dict(), **changes}
    config = GenerationConfig(**{name: value for name, value in values.items() if value is not None})
    monkeypatch.setattr(whisper, "generation_config", config)


def test_the_language_is_detected_and_the_task_is_to_transcribe(whisper, tokenizer, encoded, prompts, passes):
    transcribe(whisper, tokenizer, encoded, LIMIT)
    detecting, writing = prompts
    assert detecting == [["<|startoftranscript|>"]] * 3
    languages = [prompt[1] for prompt in writing]
    for clip, language in enumerate(languages):
        logits = whisper(
            encoder_outputs=(encoded[clip : clip + 1],),
            decoder_input_ids=torch.tensor([[whisper.config.decoder_start_token_id]]),
        ).logits[0, -1]
        known = whisper.generation_config.lang_to_id
        assert language == max(known, key=lambda token: logits[known[token]])
    assert writing == [
        ["<|startoftranscript|>", language, "<|transcribe|>", "<|notimestamps|>"] for language in languages
    ]
    assert passes == [], "the encoder is not run again"


@pytest.mark.parametrize("language", ["de", "German", "<|de|>", "DE"])
def test_a_given_language_is_taken(whisper, tokenizer, encoded, prompts, language):
    transcribe(whisper, tokenizer, encoded, LIMIT, language)
    assert prompts == [[["<|startoftranscript|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]] * 3]


def test_the_language_of_the_generation_config_is_taken(whisper, tokenizer, encoded, prompts, monkeypatch):
    as_config(whisper, monkeypatch, language="german", task="translate")
    transcribe(whisper, tokenizer, encoded, LIMIT)
    transcribe(whisper, tokenizer, encoded, LIMIT, "en")
    assert [prompt[0][1] for prompt in prompts] == ["<|de|>", "<|en|>"]
    assert all(prompt[0][2] == "<|transcribe|>" for prompt in prompts), "never translated"


def test_an_english_whisper_is_left_as_it_is(whisper, tokenizer, encoded, prompts, monkeypatch):
    as_config(whisper, monkeypatch, is_multilingual=False, lang_to_id=None, task_to_id=None)
    texts = transcribe(whisper, tokenizer, encoded, LIMIT)
    assert prompts == [[["<|startoftranscript|>", "<|notimestamps|>"]] * 3]
    assert transcribe(whisper, tokenizer, encoded, LIMIT, "english") == texts
    with pytest.raises(InputError, match="language is 'de', but this Whisper knows: en, as it is not"):
        transcribe(whisper, tokenizer, encoded, LIMIT, "de")


def test_an_unknown_language_is_refused(whisper, tokenizer, encoded):
    with pytest.raises(InputError, match=r"language is 'klingon', but this Whisper knows: de, en$"):
        transcribe(whisper, tokenizer, encoded, LIMIT, "klingon")
    with pytest.raises(InputError, match=r"language is 'french', but this Whisper knows: de, en$"):
        transcribe(whisper, tokenizer, encoded[:0], LIMIT, "french")


def test_each_clip_is_written_as_alone(whisper, tokenizer, encoded):
    together = transcribe(whisper, tokenizer, encoded, LIMIT)
    assert together == [transcribe(whisper, tokenizer, encoded[i : i + 1], LIMIT)[0] for i in range(3)]
    assert transcribe(whisper, tokenizer, encoded[:0], LIMIT) == []


def test_a_transcript_at_its_limit_is_in_the_log(whisper, tokenizer, encoded, caplog, monkeypatch):
    with caplog.at_level(logging.INFO, "desta2"):
        transcribe(whisper, tokenizer, encoded, LIMIT)
    assert "a transcript was cut at 6 Whisper tokens (max_transcript_tokens)" in caplog.text
    one = BaseModelOutput(last_hidden_state=encoded[:1])
    [[first]] = whisper.generate(encoder_outputs=one, max_new_tokens=1, language="de", task="transcribe")
    as_config(whisper, monkeypatch, eos_token_id=int(first))
    caplog.clear()
    with caplog.at_level(logging.INFO, "desta2"):
        assert transcribe(whisper, tokenizer, encoded[:1], LIMIT, "de") == [""]
    assert not caplog.records
