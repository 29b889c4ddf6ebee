"""Likelihoods of answers: those of a plain forward pass, whatever stands beside them in the batch."""

import numpy as np
import pytest
import torch

from desta2.errors import InputError
from desta2.model.choose import log_likelihoods
from desta2.model.prompt import build_prompt, response_ids

ANSWERS = (["Yes.", "No, the voice is quiet and calm."], ["A fox."], ["hello", "The voice is loud.", ""])


def clip(seed):
    return 0.3 * np.random.default_rng(seed).standard_normal(16000).astype("float32")


def about(audio, question):
    return [
        {"role": "user", "content": [{"type": "audio", "audio": audio}, {"type": "text", "text": question}]}
    ]


@pytest.fixture
def conversations(model):
    heard = model.hear([clip(0), clip(1)])
    text = [{"role": "user", "content": "Is the voice loud or quiet?"}]
    return [about(heard[0], "Is it loud?"), text, about(heard[1], "Describe the speaker and the words.")]


@torch.no_grad()
def by_forward(model, conversation, answer):
    """The sum from one forward pass over one row, without padding, from the audio itself."""
    parts = conversation[0]["content"]
    heard = parts[0]["audio"] if isinstance(parts, list) else None
    words = [heard.texts] if heard else None
    prompt = build_prompt(conversation, model.processor.tokenizer, model.config, words)
    ids = response_ids(answer, model.processor.tokenizer)
    row = torch.tensor([prompt.input_ids + ids])
    embeds = heard.embeds if heard else None
    slots = torch.tensor([[0, start] for start, _ in prompt.audio_slots]) if heard else None
    logits = model.llm(inputs_embeds=model.embed(row, embeds, slots)).logits[0].log_softmax(-1)
    first = len(prompt.input_ids)
    return sum(float(logits[first + i - 1, token]) for i, token in enumerate(ids))


def test_they_are_those_of_forward_row_by_row(model, conversations):
    found = log_likelihoods(model, conversations, ANSWERS)
    assert [len(own) for own in found] == [2, 1, 3]
    for conversation, answers, own in zip(conversations, ANSWERS, found, strict=True):
        for answer, value in zip(answers, own, strict=True):
            assert value == pytest.approx(by_forward(model, conversation, answer), abs=1e-4), answer


def test_a_batch_is_its_rows(model, conversations):
    whole = log_likelihoods(model, conversations, ANSWERS)
    alone = [log_likelihoods(model, [one], [own])[0] for one, own in zip(conversations, ANSWERS, strict=True)]
    for one, other in zip(whole, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_a_clip_that_was_heard_is_not_heard_again(model, conversations, passes):
    before = len(passes)
    log_likelihoods(model, conversations, ANSWERS)
    assert len(passes) == before


def test_without_audio_only_the_transcript_counts(model, conversations):
    asked, answers = conversations[:1], ANSWERS[:1]
    assert log_likelihoods(model, asked, answers, use_audio=False) != log_likelihoods(model, asked, answers)


def test_answers_have_to_be_given(model, conversations):
    assert log_likelihoods(model, [], []) == []
    with pytest.raises(InputError, match="given 3 conversations and answers to 2; expected at least one"):
        log_likelihoods(model, conversations, [["a"], [], ["b"]])
