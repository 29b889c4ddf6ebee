"""Refusals, denials of hearing and leaks of the seed: what each finds, and what it must leave alone."""

import time

import pytest

from desta2.data.check.base import Finding

FOUND = {
    "denial": [
        "As a text-based AI model, I work with words.",
        "As a large language model, I have no ears.",
        "I'm just a language model.",
        "I can't hear the audio, but the text says so.",
        "I cannot listen to audio files.",
        "I am unable to process audio.",
        "I'm not able to access the recording.",
        "I don't have the ability to hear the audio.",
        "I can’t directly hear audio.",
        "I don't see any audio attached.",
        "No audio was provided.",
        "I apologize, but there is no audio provided, and therefore I am unable to say more.",
        "Please provide the audio file.",
        "I can only read the text.",
        "It is a man.\nI cannot actually hear the recording.",
    ],
    "refusal": [
        "I'm sorry, but I can't help with that.",
        "Sorry, I cannot answer this question.",
        "I apologize, but I cannot write that.",
        "I can't assist with that request.",
        "I cannot create content of this kind.",
        "That is against my guidelines.",
        "I must decline.",
    ],
    "markup": [
        "From [00:00:00 - 00:00:05] a man speaks.",
        "[00:00-00:05] a man speaks.",
        "At [00:12] he stops.",
        "A man speaks (Gender: Male, Emotion: Happy).",
        "[Emotion: Sad]",
        "(duration: 5s)",
        "According to the metadata, a man speaks.",
        "Based on the labels, a man speaks.",
        "The transcript says that he left.",
        "The provided transcription indicates a man.",
        "A man, as stated in the transcript.",
        "Based on the provided text, it is a man.",
        "The seed transcript is short.",
        "The values in parentheses tell more.",
    ],
}
LEFT_ALONE = {
    "denial": [
        "I can hear a man.",
        "I can't hear any background noise.",
        "I cannot hear any audio distortion.",
        "There is no audio distortion.",
        'The speaker says "As a language model, I cannot hear the audio".',
        "The speaker cannot hear the audio of his partner.",
        "The speaker asks: 'Please provide the recording.'",
        "He works with a language model.",
        "I don't see any reason for doubt.",
        "The audio was provided by a friend.",
    ],
    "refusal": [
        "The speaker says \"I'm sorry, but I can't help you\".",
        "The speaker apologizes and says that he cannot come.",
        "A man speaks. He is calm. The wind blows. I cannot create this again, he thinks.",  # later: a story
        "I can't help but smile at this cheerful voice.",
        "I am sorry to hear such a sad voice.",
        "I cannot tell the accent from so little speech.",
    ],
    "markup": [
        "The speaker gives her gender, then her name.",
        'The transcript is "hello there".',
        "Here is the transcription of the audio: hello.",
        "Based on the tone of the voice, she is happy.",
        "According to the speaker, it rained.",
        "The meeting is at 10:30.",
        "A man (about thirty) speaks.",
        "The text message made him laugh.",
        'She says "according to the metadata, nothing is wrong".',
        "The meta level of this talk.",
        "An array: [12, 30]",
    ],
}


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, all_ in FOUND.items() for answer in all_]
)
def test_found(find, name, answer):
    found = find(name, answer)
    assert isinstance(found, Finding), answer
    assert found.reason.startswith("the answer ")
    assert found.excerpt


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, all_ in LEFT_ALONE.items() for answer in all_]
)
def test_left_alone(find, name, answer):
    assert find(name, answer) is None


def test_the_reason_quotes_what_was_found(find):
    found = find("markup", "A man speaks (Gender: Male). He is old.")
    assert found.reason == "the answer holds '(Gender: Male)', as only the seed has it"
    found = find("denial", "Well. As a language model, I have no ears.")
    assert found.reason == "the answer denies hearing: 'as a language model'"
    assert found.excerpt == "as a language model, i have no ears."


def test_brackets_that_are_spoken_are_no_leak(find):
    seed = '[00:00:00 - 00:00:05] "see [00:12] for more" (Gender: Male)'
    assert find("markup", "He says see [00:12] for more.", seed) is None
    assert find("markup", "He says see [00:13] for more.", seed) is not None


@pytest.mark.parametrize(
    "unit", ["[00:00", "(gender: ", "i cannot hear the ", "as a text ", "according to the ", "("]
)
def test_huge_answers_take_a_moment(find, unit):
    begin = time.process_time()
    for name in FOUND:
        find(name, unit * (60_000 // len(unit)))
    assert time.process_time() - begin < 5
