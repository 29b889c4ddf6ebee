"""Labels in our words: what means the same is exchanged, everything else stays."""

import pytest

from desta2.data.attributes import load_scheme
from desta2.data.sources.labels import canonical, emotion, gender, labels, level


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("F", "Female"), ("m", "Male"), (" female ", "Female"), ("male_masculine", "Male"), ("other", None),
        ("non-binary", None), ("do_not_wish_to_say", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_gender(word, ours):
    assert gender(word) == ours


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("joy", "Happy"), ("Happiness", "Happy"), ("anger", "Angry"), ("Surprise", "Surprised"), ("fear", "Fearful"),
        ("disgust", "Disgusted"), ("neutral", "Neutral"), ("cheerful", "Cheerful"), ("no emotion", "No emotion"),
        ("unknown", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_emotion(word, ours):
    assert emotion(word) == ours


@pytest.mark.parametrize("key", ["pitch", "volume", "speaking_speed"])
def test_levels_are_words_of_the_scheme(key):
    words = next(a.words for a in load_scheme().attributes if a.key == key)
    found = [level(key, word) for word in ("low" if key != "speaking_speed" else "slow", "normal", "high")]
    assert set(found) <= set(words) and len(set(found)) == 3
    assert all(level(key, word.upper()) == word for word in words)
    assert level(key, "unheard of") == "Unheard of"
    assert level(key, None) is None


def test_labels_of_unknown_origin():
    assert canonical("gender", "f") == "Female"
    assert canonical("gender", "Nonbinary") == "Nonbinary"  # the user's own word
    assert canonical("emotion", "joy") == "Happy"
    assert canonical("volume", "low") == level("volume", "low")
    assert canonical("accent", " indian ") == "indian"
    assert canonical("accent", "Unknown") is None


def test_unknown_labels_are_left_out():
    assert labels(gender="Male", age=None, accent="") == {"gender": "Male"}
