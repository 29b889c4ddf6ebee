"""IEMOCAP: evaluation files with judges' lines, marks in transcripts, labels that are none, dialogues."""

import pytest

from desta2.data.seed import seed_clip

EVALUATION = """\
% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[7.5712 - 10.4750]\tSes01F_impro01_M000\txxx\t[2.5000, 3.0000, 2.5000]
C-E2:\tFrustration;\t()

[30.0000 - 38.0000]\tSes01F_impro01_F001\texc\t[4.0000, 3.5000, 3.0000]
C-E2:\tExcited;\t()

[38.5000 - 40.0000]\tSes01F_impro01_M001\toth\t[2.0000, 2.0000, 2.0000]
"""
TRANSCRIPTION = """\
Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
Ses01F_impro01_M000 [007.5712-010.4750]: [BREATHING] Do you have your forms?
M: Uh-huh.
Ses01F_impro01_F001 [030.0000-038.0000]: Yeah [LAUGHTER] right.
Ses01F_impro01_M001 [038.5000-040.0000]: [LAUGHTER]
Ses01F_impro01_MXX0 [041.0000-042.0000]: Okay.
"""
NAMES = ("F000", "M000", "F001", "M001")


@pytest.fixture
def iemocap(tree):
    dialog = "Session1/dialog"
    tree.text(f"{dialog}/EmoEvaluation/Ses01F_impro01.txt", EVALUATION)
    tree.bytes(f"{dialog}/EmoEvaluation/._Ses01F_impro01.txt", b"\x00\x05\x16\x07")
    tree.text(f"{dialog}/transcriptions/Ses01F_impro01.txt", TRANSCRIPTION)
    tree.audio(*(f"Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_{name}.wav" for name in NAMES))
    tree.audio(f"{dialog}/wav/Ses01F_impro01.wav", seconds=45.0)
    return tree


def test_turns_with_their_labels(iemocap, clips):
    found = clips("iemocap")
    assert list(found) == [f"iemocap-Ses01F_impro01_{name}" for name in NAMES]
    clip = found["iemocap-Ses01F_impro01_F000"]
    assert clip.audio.endswith("Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    assert (clip.text, clip.speaker) == ("Excuse me.", "Ses01F")
    assert clip.attributes == {"gender": "Female", "emotion": "Neutral"}
    assert clip.measured == {"valence_of_5": 2.5, "activation_of_5": 2.5, "dominance_of_5": 2.5}
    assert clip.model_extra == {"split": "Session1"}


def test_labels_that_are_none_and_marks_that_are_no_words(iemocap, clips):
    found = clips("iemocap")
    man = found["iemocap-Ses01F_impro01_M000"]
    assert (man.speaker, man.attributes) == ("Ses01M", {"gender": "Male"})  # xxx: the judges disagreed
    assert man.text == "Do you have your forms?"
    assert found["iemocap-Ses01F_impro01_F001"].text == "Yeah right."
    last = found["iemocap-Ses01F_impro01_M001"]
    assert (last.text, last.attributes) == (None, {"gender": "Male"})  # only laughter; oth


def test_dialogues_are_cut_between_turns(iemocap, clips):
    found = clips("iemocap", dialogues=True, max_seconds=20)
    assert list(found) == ["iemocap-Ses01F_impro01-6.29-10.47", "iemocap-Ses01F_impro01-30.00-40.00"]
    first, second = found.values()
    assert first.audio == str(iemocap.root / "Session1/dialog/wav/Ses01F_impro01.wav")
    assert (first.start, first.end, first.duration) == (6.2901, 10.475, 4.185)
    assert [(s.start, s.end, s.speaker, s.text) for s in first.segments] == [
        (0.0, 1.946, "Ses01F", "Excuse me."),
        (1.281, 4.185, "Ses01M", "Do you have your forms?"),  # they overlap
    ]
    assert second.segments[0].attributes == {"gender": "Female", "emotion": "Excited"}
    assert (
        seed_clip(first).seed.splitlines()[0].startswith('[00:00:00 - 00:00:02] "Excuse me." (Gender: Female')
    )


def test_sessions_are_splits(iemocap, clips, refused):
    assert len(clips("iemocap", split="Session1")) == 4
    assert refused("iemocap", split="Session2") == "there is no split 'Session2' here; choose from Session1"


def test_bad_lines_and_missing_transcripts_are_named(iemocap, read):
    file = iemocap.text(
        "Session1/dialog/EmoEvaluation/Ses01F_impro02.txt",
        "[1.0 - 2.0]\tSes01F_impro02_F000\tmad\t[1, 2, 3]\n",
    )
    records, reading = read("iemocap", skip_bad=True)
    assert len(records) == 4
    assert reading.bad_examples == [
        f"{iemocap.root}/Session1/dialog/transcriptions/Ses01F_impro02.txt: there is no transcription of this dialogue",
        f"{file}:1: given '[1.0 - 2.0]\\tSes01F_impro02_F000\\tmad\\t[1, 2, 3]', expected [START - END] TURN EMOTION …",
    ]


def test_another_folder(tree, refused):
    tree.audio("Session1/a.wav")
    assert "does not look like IEMOCAP: there is no Session1/dialog/EmoEvaluation; expected" in refused(
        "iemocap"
    )
