"""VCTK 0.92 and 0.80: two microphones, missing texts, a speaker file that is aligned by eye."""

import pytest

SPEAKERS = """\
ID  AGE  GENDER  ACCENTS  REGION COMMENTS
p225  23  F    English    Southern  England
p280  25  F    Unknown    France (mic2 files unavailable)
p292  23  M    NorthernIrish Belfast
p315  18  M    American   New England (Text unavailable)
s5   24  F    Indian
"""


@pytest.fixture
def vctk(tree):
    tree.text("speaker-info.txt", SPEAKERS)
    audio = "wav48_silence_trimmed"
    tree.audio(*(f"{audio}/p225/p225_00{i}_mic{m}.flac" for i in (1, 2) for m in (1, 2)))
    tree.audio(*(f"{audio}/{s}/{s}_001_mic1.flac" for s in ("p280", "p292", "p315", "s5", "p999")))
    tree.audio(f"{audio}/p292/p292_001_mic2.flac")
    for name in ("p225/p225_001", "p225/p225_002", "p280/p280_001", "p292/p292_001", "s5/s5_001"):
        tree.text(f"txt/{name}.txt", "Please call Stella.\n")
    return tree


def test_every_sentence_once_from_the_first_microphone(vctk, clips):
    found = clips("vctk")
    assert list(found) == [
        f"vctk-{n}"
        for n in ("p225_001", "p225_002", "p280_001", "p292_001", "p315_001", "p999_001", "s5_001")
    ]
    clip = found["vctk-p225_001"]
    assert clip.audio == str(vctk.root / "wav48_silence_trimmed/p225/p225_001_mic1.flac")
    assert (clip.text, clip.speaker, clip.language, clip.source) == (
        "Please call Stella.",
        "p225",
        "en",
        "vctk",
    )
    assert clip.attributes == {"gender": "Female", "age": "23", "accent": "English"}
    assert clip.model_extra == {"region": "Southern England"}


def test_what_is_not_known_is_left_out(vctk, clips):
    found = clips("vctk")
    assert found["vctk-p315_001"].text is None  # the corpus lost its texts
    assert found["vctk-p315_001"].attributes == {"gender": "Male", "age": "18", "accent": "American"}
    assert found["vctk-p280_001"].attributes == {"gender": "Female", "age": "25"}  # accent Unknown
    assert found["vctk-p280_001"].model_extra == {"region": "France"}  # without the comment
    assert found["vctk-p292_001"].attributes["accent"] == "Northern Irish"
    assert found["vctk-s5_001"].attributes["accent"] == "Indian"
    assert found["vctk-p999_001"].attributes == {}  # in no line of speaker-info.txt


def test_the_other_microphone(vctk, clips, refused):
    assert list(clips("vctk", mic="mic2")) == ["vctk-p225_001", "vctk-p225_002", "vctk-p292_001"]
    assert refused("vctk", mic="mic3") == "given --mic mic3, expected one of mic1, mic2"


def test_version_0_80(tree, clips):
    tree.text(
        "VCTK-Corpus/speaker-info.txt", "ID  AGE  GENDER  ACCENTS  REGION \n225  23  F    English    Surrey\n"
    )
    tree.text("VCTK-Corpus/txt/p225/p225_001.txt", "Ask her.")
    tree.audio("VCTK-Corpus/wav48/p225/p225_001.wav")
    clip = clips("vctk")["vctk-p225_001"]  # found in the folder that the archive makes
    assert clip.attributes == {"gender": "Female", "age": "23", "accent": "English"}
    assert clip.text == "Ask her."


def test_a_line_that_is_no_speaker(vctk, read, refused):
    vctk.text("speaker-info.txt", SPEAKERS + "p226 twenty M English\n")
    line = f"{vctk.root}/speaker-info.txt:7: given 'p226 twenty M English', expected ID AGE GENDER ACCENTS REGION"
    assert refused("vctk") == f"{line} (--skip-bad leaves such things out)"
    records, reading = read("vctk", skip_bad=True)
    assert len(records) == 7
    assert (reading.bad_count, reading.bad_examples) == (1, [line])


def test_a_text_that_cannot_be_read_is_reported(vctk, read):
    vctk.text("txt/p225/p225_001.txt", "caf\xe9", "latin-1")
    records, reading = read("vctk", skip_bad=True)
    assert (records[0].text, reading.bad_count) == (None, 1)
    assert "p225_001.txt: cannot be read as text in utf-8-sig" in reading.bad_examples[0]


def test_another_folder(tree, refused):
    tree.audio("a.wav")
    assert refused("vctk") == (
        f"{tree.root} does not look like VCTK: there is no speaker-info.txt; expected speaker-info.txt, "
        "txt/p225/p225_001.txt and wav48_silence_trimmed/p225/p225_001_mic1.flac (or wav48/p225/p225_001.wav). "
        "It comes from https://datashare.ed.ac.uk/handle/10283/3443"
    )
    tree.text("speaker-info.txt", SPEAKERS)
    assert "there is neither wav48_silence_trimmed nor wav48" in refused("vctk")
