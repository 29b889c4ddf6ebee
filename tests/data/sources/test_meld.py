"""MELD: quoted rows, clocks of two kinds, characters of a wrong encoding, clips that the corpus lost."""

import pytest

HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
)
TRAIN = HEADER + (
    '1,"Oh my God, he\x92s lost it.  He’s totally lost it.",Phoebe,sadness,negative,0,0,4,7,"00:20:57,256","00:21:00,049"\n'
    '2,What?,Monica,surprise,negative,0,1,4,7,"0:21:01,927","0:21:03,261"\n'
    '3,Push!,Joey,joy,positive,1,0,1,23,"0:10:46,146","0:10:46,833"\n'
    '4,Gone.,Joey,neutral,neutral,125,3,1,23,"0:10:46,146","0:10:46,833"\n'
)
DEV = (
    HEADER
    + '1,Lost.,Ross,neutral,neutral,110,7,1,1,"00:00:01,000","00:00:02,000"\n2,Hi.,Ross,fear,negative,110,8,1,1,,\n'
)


@pytest.fixture
def meld(tree):
    tree.text("MELD.Raw/train/train_sent_emo.csv", TRAIN)
    tree.text("MELD.Raw/dev_sent_emo.csv", DEV)
    tree.text("MELD.Raw/test_sent_emo.csv", HEADER)
    folder = "MELD.Raw/train/train_splits"
    tree.audio(*(f"{folder}/dia{d}_utt{u}.mp4" for d, u in ((0, 0), (0, 1), (1, 0))), seconds=1.0)
    tree.bytes(f"{folder}/dia125_utt3.mp4", b"\x00\x00\x00\x20ftypisom")
    tree.bytes(f"{folder}/._dia0_utt0.mp4", b"\x00\x05\x16\x07")
    tree.audio("MELD.Raw/dev_splits_complete/dia110_utt8.wav")
    return tree


def test_utterances(meld, clips):
    found = clips("meld")
    assert list(found) == [
        "meld-train-dia0_utt0",
        "meld-train-dia0_utt1",
        "meld-train-dia1_utt0",
        "meld-dev-dia110_utt8",
    ]
    clip = found["meld-train-dia0_utt0"]
    assert clip.audio == str(meld.root / "MELD.Raw/train/train_splits/dia0_utt0.mp4")
    assert clip.text == "Oh my God, he’s lost it. He’s totally lost it."
    assert (clip.speaker, clip.attributes) == ("Phoebe", {"emotion": "Sad", "sentiment": "Negative"})
    assert clip.model_extra == {
        "split": "train", "season": "4", "episode": "7", "episode_start": 1257.256, "episode_end": 1260.049,
    }  # fmt: skip
    assert found["meld-train-dia0_utt1"].model_extra["episode_start"] == 1261.927
    assert found["meld-train-dia1_utt0"].attributes["emotion"] == "Happy"
    assert found["meld-dev-dia110_utt8"].audio.endswith("dia110_utt8.wav")  # sound that a user took out


def test_clips_that_the_corpus_lost_are_counted(meld, read):
    _, reading = read("meld")
    assert reading.left_out == {"clips that are broken in the corpus itself": 2}


def test_dialogues(meld, clips):
    found = clips("meld", dialogues=True, split="train")
    assert list(found) == ["meld-train-dia0-0-1", "meld-train-dia1-0-0"]
    first = found["meld-train-dia0-0-1"]
    assert [segment.speaker for segment in first.segments] == ["Phoebe", "Monica"]
    assert first.segments[1].start == first.segments[0].end > 0.9
    assert first.segments[1].end == first.duration


def test_mistakes(meld, tree, read, refused):
    meld.text(
        "MELD.Raw/train/train_sent_emo.csv", HEADER + "1,Hi.,Joey,joy,positive,x,0,1,1,a,b\n2,Hi.,Joey\n"
    )
    _, reading = read("meld", skip_bad=True, split="train")
    file = meld.root / "MELD.Raw/train/train_sent_emo.csv"
    assert reading.bad_examples == [
        f"{file}:2: Dialogue_ID 'x' and Utterance_ID '0' are no numbers",
        f"{file}:3: has 3 fields, the first line names 11",
    ]
    assert refused("meld", split="test") == "there is no split 'test' here; choose from train, dev"
    assert "does not look like MELD: there is no train_sent_emo.csv, " in refused(
        "meld", meld.root / "MELD.Raw/train/train_splits"
    )
