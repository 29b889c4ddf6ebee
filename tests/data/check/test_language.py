"""Languages: what is expected passes, quotations do not count, a prompt may ask for another one."""

import pytest

from desta2.errors import ConfigError

ENGLISH = "The speaker is a woman who talks slowly and calmly about the weather of the last few days."
GERMAN = "Die Sprecherin ist eine Frau, die langsam und ruhig über das Wetter der letzten Tage spricht."
CHINESE = "说话者是一位女性，她语速缓慢，语气平静，谈论最近几天的天气情况。背景非常安静，没有任何噪音，录音质量很好，声音清晰可辨，听起来像是在室内录制的，房间没有明显的回声。"


@pytest.mark.parametrize(("answer", "code"), [(GERMAN, "de"), (CHINESE, "zh"), (GERMAN.upper(), "de")])
def test_another_language(find, answer, code):
    assert find("language", answer).reason.startswith(f"the answer is in '{code}' (")
    assert find("language", answer).reason.endswith("), expected en")


@pytest.mark.parametrize(
    "answer",
    [
        ENGLISH, ENGLISH.upper(), "Ja, gut.", f'{ENGLISH} She says: "{GERMAN}"', f"She says “{CHINESE}”.",
        "", "123 456 " * 30, "\x00" * 100, '{"gender": "female", "emotion": "sad", "pitch": "low", "volume": "loud"}',
    ],
)  # fmt: skip
def test_as_expected_or_not_to_be_told(find, answer):
    assert find("language", answer) is None


def test_the_prompt_may_ask_for_it(find):
    for prompt in ("Describe the audio in German.", "Translate what is said.", "Write it into German"):
        assert find("language", GERMAN, prompt=prompt) is None
    assert find("language", GERMAN, prompt="Is the German speaker male?") is not None


def test_other_expectations(a_filter, make_pair):
    from pathlib import Path

    from desta2.data.check.item import Item

    both = a_filter("language", language={"expected": ("de", "zh")})
    answers = [Item(make_pair(answer), Path("p")) for answer in (GERMAN, CHINESE, ENGLISH)]
    assert [both.find(item) is None for item in answers] == [True, True, False]


def test_an_unknown_code(a_filter):
    with pytest.raises(ConfigError) as error:
        a_filter("language", language={"expected": ("english",)})
    assert str(error.value) == (
        "language.expected: english cannot be identified; give ISO 639-1 codes, such as en, zh, de"
    )
