"""Contradictions and unsupported values: what counts as a claim, and what does not."""

import time

import pytest

from desta2.data.check.base import Finding, Unchecked

SEED = (
    '[00:00:00 - 00:00:05] "the food is really good" (Gender: Female, Age: 25, Accent: Scottish, Emotion: Happy, '
    "Pitch: Low, Volume: Quiet, Speaking speed: Slow, Noise level: Clean, Reverberation: Dry, Duration: 5s)"
)
BARE = '[00:00:00 - 00:00:05] "the food is really good"'

WRONG = {  # answer: what is found in it, given SEED
    "The gender is male.": "gender: the answer says 'male', the seed 'Female'",
    "I can hear a male speaker.": "gender: the answer says 'male', the seed 'Female'",
    "A man's voice says something.": "gender: the answer says 'man', the seed 'Female'",
    "The speaker appears to be a calm British man.": "gender: the answer says 'man', the seed 'Female'",
    "* **Gender:** Male": "gender: the answer says 'male', the seed 'Female'",
    "Gender: Male": "gender: the answer says 'male', the seed 'Female'",
    "The age of the speaker is in the sixties.": "age: the answer says 'sixties', the seed '25'",
    "The speaker is in her sixties.": "age: the answer says 'sixties', the seed '25'",
    "She has an American accent.": "accent: the answer says 'american', the seed 'Scottish'",
    "The accent is Indian.": "accent: the answer says 'indian', the seed 'Scottish'",
    "The speaker sounds very angry.": "emotion: the answer says 'angry', the seed 'Happy'",
    "She speaks in a sad tone.": "emotion: the answer says 'sad', the seed 'Happy'",
    "The pitch is high.": "pitch: the answer says 'high', the seed 'Low'",
    "A high-pitched voice speaks.": "pitch: the answer says 'high', the seed 'Low'",
    "The tone is furious.": "emotion: the answer says 'furious', the seed 'Happy'",
    "The volume of the speech is loud.": "volume: the answer says 'loud', the seed 'Quiet'",
    "The voice is loud.": "volume: the answer says 'loud', the seed 'Quiet'",
    "The pace is fast.": "speaking speed: the answer says 'fast', the seed 'Slow'",
    "She speaks quickly.": "speaking speed: the answer says 'quickly', the seed 'Slow'",
    "The speaker speaks at a rapid pace.": "speaking speed: the answer says 'rapid', the seed 'Slow'",
    "The background is noisy.": "noise: the answer says 'noisy', the seed 'Clean'",
    "There is a lot of background noise.": "noise: the answer says 'a lot of background noise', the seed 'Clean'",
    "The room sounds echoing.": "reverberation: the answer says 'echoing', the seed 'Dry'",
    "The audio lasts 9 seconds.": "duration: the answer says 9 s, the seed 5 s",
    "The duration of the clip is about twelve seconds.": "duration: the answer says 12 s, the seed 5 s",
    "This is a 10-second recording.": "duration: the answer says 10 s, the seed 5 s",
}
RIGHT = [
    "The gender is female. The accent is Scottish, the pitch low, the volume quiet.",
    "I hear a young woman with a British accent who sounds happy and excited.",  # wider words
    "The speaker has an English accent.",
    "The speaker is excited.",
    "The tone is calm and even.",
    "The speaker is in her twenties.",
    "The audio lasts about 5 seconds.",
    "The duration is five seconds.",
    "There is no background noise and no reverberation.",
]
NO_CLAIM = [
    "The speaker is not male.",
    "It isn't clear whether the speaker is male.",
    "The pitch is neither high nor low.",
    "The pitch is not clear.",
    "The speaker could be a man.",
    "Perhaps the speaker sounds angry.",
    "Is the speaker male?",
    "The speaker is male or female.",
    "The pitch goes from medium to high.",
    "The pitch is high or low, which I will not decide.",
    'The speaker says "The speaker is male and angry, the pitch is high".',
    "She says 'the gender is male' and laughs.",
    "The speaker is talking about a man.",
    "The speaker is addressing a man.",
    "The speaker is afraid that it rains.",
    "The speaker is angry about the food.",
    "A pause lasts 9 seconds.",
    "The audio lasts less than 9 seconds.",
    "The recording is 1 minute and 9 seconds long.",
    "It sounds as if the speaker is male.",
    "This is typical of a male voice.",
    "This is a rare emotion for a male speaker to express.",
    "A high pitch can sometimes mean that one is tired.",
    "The sound is calm, with a slightly high pitch.",
    "Such a tempo is consistent with a male speaker.",
    "The high pitch range of women is known.",
    "The voice is slightly high.",
    "The pitch is fairly high.",
    "The background is a high school.",
]


@pytest.mark.parametrize(("answer", "reason"), WRONG.items())
def test_contradictions(find, answer, reason):
    found = find("contradiction", answer, SEED)
    assert (found and found.reason) == reason
    if found:
        assert found.excerpt in answer.replace("*", "").lower().strip()


@pytest.mark.parametrize("answer", [*RIGHT, *NO_CLAIM])
def test_no_contradictions(find, answer):
    assert find("contradiction", answer, SEED) is None


@pytest.mark.parametrize(
    "answer", [answer for answer, reason in WRONG.items() if reason and "duration" not in reason]
)
def test_what_the_seed_lacks(find, answer):
    found = find("unsupported", answer, BARE)
    assert isinstance(found, Finding)
    assert found.reason.endswith("the seed nothing")
    assert find("contradiction", answer, BARE) is None  # nothing to contradict


@pytest.mark.parametrize("answer", [*NO_CLAIM, "The audio lasts 5 seconds."])
def test_nothing_is_unsupported(find, answer):
    assert find("unsupported", answer, BARE) is None
    assert find("unsupported", answer, SEED) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I am so angry with you", "The speaker is angry."),  # it may be about the words
        ("he is a male nurse and very sad", "He talks: the speaker is a male nurse."),
        ("the answer is nine", "The audio lasts nine seconds."),
    ],
)
def test_words_that_are_spoken_are_no_claims(find, text, answer):
    seed = f'[00:00:00 - 00:00:05] "{text}" (Gender: Female, Emotion: Happy)'
    assert find("contradiction", answer, seed) is None


@pytest.mark.parametrize(
    ("attributes", "answer"),
    [
        ("Emotion: Bittersweet", "The emotion is happy."),  # a value that the lexicon does not know
        ("SNR: 23.4dB", "The background is noisy."),
        ("Pitch: Low", "The volume is loud."),
        ("Emotion: Happy/Surprised", "The emotion is surprised."),
        ("Age: 20-29", "The speaker is young."),
        ("Duration: 1min", "The audio lasts 9 seconds."),
    ],
)
def test_what_cannot_be_compared_is_no_contradiction(find, attributes, answer):
    assert find("contradiction", answer, f'[00:00:00 - 00:00:05] "hello there" ({attributes})') is None


def test_several_speakers(find):
    seed = (
        '[00:00:00 - 00:00:02] "hello there" (Gender: Female)\n'
        '[00:00:02 - 00:00:05] "oh hello" (Gender: Male, Emotion: Sad)'
    )
    answer = "A female speaker greets a male speaker. The audio lasts 5 seconds. The emotion is sad."
    assert find("contradiction", answer, seed) is None
    assert find("contradiction", "The emotion is happy.", seed).reason == (
        "emotion: the answer says 'happy', the seed 'Sad'"
    )


@pytest.mark.parametrize("seed", ["", "no times", "[00:00 - ", "\x00"])
@pytest.mark.parametrize("name", ["contradiction", "unsupported"])
def test_without_a_seed(find, name, seed):
    assert find(name, "The gender is male.", seed) == Unchecked("no seed that can be read")


def test_some_attributes_only(a_filter, make_pair):
    from pathlib import Path

    from desta2.data.check.item import Item

    item = Item(make_pair("The gender is male. The audio lasts 9 seconds.", SEED), Path("pairs"))
    looking = {
        names: a_filter("contradiction", contradiction={"attributes": names}).find(item)
        for names in [("gender",), ("pitch",), ("duration",)]
    }
    assert [found and found.reason.split(":")[0] for found in looking.values()] == [
        "gender",
        None,
        "duration",
    ]
    assert (
        a_filter("contradiction", contradiction={"attributes": ("duration",), "duration_seconds": 5}).find(
            item
        )
        is None
    )


@pytest.mark.parametrize(
    "unit", ["the speaker is a ", "the speaker is male ", "emotion of the ", "pitch is ", "no "]
)
def test_huge_answers_take_a_moment(find, unit):
    begin = time.process_time()
    find("contradiction", unit * (60_000 // len(unit)), SEED)
    assert time.process_time() - begin < 5
