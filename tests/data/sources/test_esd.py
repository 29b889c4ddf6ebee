"""ESD: a text file for each speaker, in the encoding that its author happened to use."""

import pytest

CHINESE = "0001_000001\t打远一看，它们的确很是美丽，\t中立\r\n0001_000351\t打远一看。\t生气\r\n"
ENGLISH = (
    "0011_000001\tThe nine the eggs, I keep.\tNeutral\n"
    "0011_000351\tHe’s angry with Neutral.\tAngry\n\n"
    "0011_000701 And I never had it Happy\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb2312"])
def test_texts_of_mandarin_speakers(tree, clips, encoding):
    tree.text("0001/0001.txt", CHINESE, encoding)
    tree.audio("0001/Neutral/train/0001_000001.wav", "0001/Angry/test/0001_000351.wav")
    found = clips("esd")
    assert found["esd-0001_000001"].text == "打远一看，它们的确很是美丽，"
    angry = found["esd-0001_000351"]
    assert (angry.text, angry.language, angry.speaker) == ("打远一看。", "zh", "0001")
    assert angry.attributes == {"gender": "Female", "emotion": "Angry"}
    assert angry.model_extra == {"split": "test"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_texts_of_english_speakers(tree, clips, encoding):
    inner = "Emotion Speech Dataset"
    tree.text(f"{inner}/0011/0011.txt", ENGLISH, encoding)
    for name in ("Neutral/0011_000001", "Angry/0011_000351", "Happy/0011_000701", "Surprise/0011_001401"):
        tree.audio(f"{inner}/0011/{name}.wav")
    found = clips("esd")
    assert [found[f"esd-0011_{n}"].text for n in ("000001", "000351", "000701", "001401")] == [
        "The nine the eggs, I keep.", "He’s angry with Neutral.", "And I never had it", None,
    ]  # fmt: skip
    last = found["esd-0011_001401"]
    assert (last.language, last.attributes) == ("en", {"gender": "Male", "emotion": "Surprised"})
    assert last.model_extra == {}


def test_splits_and_mistakes(tree, clips, read, refused):
    tree.text("0011/0011.txt", "0011_000001\tA b.\tNeutral\nnonsense\n")
    tree.audio(
        "0011/Neutral/train/0011_000001.wav",
        "0011/Neutral/test/0011_000002.wav",
        "0011/Calm/train/0011_000003.wav",
    )
    tree.audio("0012/Neutral/train/0012_000001.wav", "0099/Neutral/train/0099_000001.wav")
    records, reading = read("esd", skip_bad=True, split="train")
    assert [record.id for record in records] == ["esd-0011_000001", "esd-0012_000001"]
    assert reading.bad_examples == [
        f"{tree.root}/0011/0011.txt:2: given 'nonsense', expected ID, text and emotion between tabs",
        f"{tree.root}/0011/Calm/train/0011_000003.wav: lies in no folder of an emotion (Angry, Happy, Neutral, Sad, Surprise)",
        f"{tree.root}/0012/0012.txt: the texts of this speaker are not there",
        f"{tree.root}/0099: is no speaker of ESD; expected 0001 to 0020",
    ]
    assert "there is no folder 0001 to 0020" in refused("esd", tree.root / "0011")
