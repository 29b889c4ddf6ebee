"""AccentDB, VoxCeleb1, LibriSpeech, LibriTTS(-R) and PromptSpeech: trees with a table of speakers or none."""

import pytest

LIBRISPEECH = """\
; Some general information about the speakers
;ID  |SEX| SUBSET           |MINUTES| NAME
14   | F | train-clean-360  | 25.03 | Kristin LeMoine
60   | M | train-clean-100  | 20.18 | Simon | Kettle
"""


# AccentDB


def test_accentdb(tree, clips, refused, read):
    tree.audio("data/american/speaker_01/american_s01_001.wav", "data/telugu/speaker_02/telugu_s02_010.wav")
    found = clips("accentdb")
    assert list(found) == ["accentdb-american_s01_001", "accentdb-telugu_s02_010"]
    clip = found["accentdb-telugu_s02_010"]
    assert (clip.attributes, clip.speaker, clip.text) == ({"accent": "Telugu"}, "telugu_s02", None)
    tree.audio("data/martian/speaker_01/martian_s01_001.wav")
    assert refused("accentdb").startswith(
        f"{tree.root}/data/martian: is no accent of AccentDB; expected american, "
    )
    assert len(read("accentdb", skip_bad=True)[0]) == 2


def test_accentdb_is_not_there(tree, refused):
    tree.audio("a.wav")
    assert "does not look like AccentDB: there is no folder of an accent" in refused("accentdb")


# VoxCeleb1

VOX1 = (
    "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
    "id10001\tA.J._Buckley\tm\tIreland\tdev\n"
    "id10270\tEartha_Kitt\tf\tUSA\ttest\n"
)


@pytest.mark.parametrize("parts", [("wav", "wav"), ("dev/wav", "test/wav")])
def test_voxceleb1(tree, clips, parts):
    tree.text("vox1_meta.csv", VOX1)
    tree.audio(f"{parts[0]}/id10001/1zcIwhmdeo4/00001.wav", f"{parts[1]}/id10270/x6uYqmx31kE/00002.wav")
    found = clips("voxceleb1")
    assert list(found) == ["voxceleb1-id10001-1zcIwhmdeo4-00001", "voxceleb1-id10270-x6uYqmx31kE-00002"]
    man, woman = found.values()
    assert (man.attributes, woman.attributes) == ({"gender": "Male"}, {"gender": "Female"})
    assert man.model_extra == {"name": "A.J._Buckley", "nationality": "Ireland", "split": "dev"}
    assert (man.speaker, man.language) == ("id10001", None)
    assert list(clips("voxceleb1", split="test")) == [woman.id]


def test_voxceleb1_with_a_stranger(tree, read, refused):
    tree.text("vox1_meta.csv", VOX1)
    tree.audio("wav/id99999/a/00001.wav")
    assert f"{tree.root}/wav/id99999: {tree.root}/vox1_meta.csv has no speaker id99999" in refused(
        "voxceleb1"
    )
    assert read("voxceleb1", skip_bad=True)[1].bad_count == 1
    tree.text("vox1_meta.csv", "id,name\n1,2\n")
    assert "vox1_meta.csv: there is no column 'VoxCeleb1 ID'; its columns: id,name" in refused("voxceleb1")
    assert "there is no vox1_meta.csv" in refused("voxceleb1", tree.root / "wav")


# LibriSpeech


def test_librispeech(tree, clips):
    tree.text("LibriSpeech/SPEAKERS.TXT", LIBRISPEECH)
    tree.text(
        "LibriSpeech/train-clean-100/60/121/60-121.trans.txt",
        "60-121-0000 ALSO A POPULAR\n60-121-0001 HARANGUE\n",
    )
    tree.text("LibriSpeech/dev-clean/14/2/14-2.trans.txt", "14-2-0000 A\n")
    tree.audio("LibriSpeech/train-clean-100/60/121/60-121-0000.flac")
    found = clips("librispeech")
    assert list(found) == ["librispeech-60-121-0000", "librispeech-60-121-0001", "librispeech-14-2-0000"]
    clip = found["librispeech-60-121-0000"]
    assert clip.audio == str(tree.root / "LibriSpeech/train-clean-100/60/121/60-121-0000.flac")
    assert (clip.text, clip.speaker, clip.attributes) == ("ALSO A POPULAR", "60", {"gender": "Male"})
    assert clip.model_extra == {"split": "train-clean-100", "name": "Simon | Kettle"}
    assert list(clips("librispeech", split="dev-clean")) == ["librispeech-14-2-0000"]


def test_librispeech_with_mistakes(tree, refused, read):
    tree.audio("train-clean-100/60/121/60-121-0000.flac")
    assert "does not look like LibriSpeech: there is no SPEAKERS.TXT; expected SPEAKERS.TXT, " in refused(
        "librispeech"
    )
    tree.text("SPEAKERS.TXT", LIBRISPEECH + "61 | X\n")
    tree.text("train-clean-100/60/121/60-121.trans.txt", "60-121-0000\n")
    _, reading = read("librispeech", skip_bad=True)
    assert reading.bad_examples == [
        f"{tree.root}/SPEAKERS.TXT:5: given '61 | X', expected ID | SEX | SUBSET | MINUTES | NAME",
        f"{tree.root}/train-clean-100/60/121/60-121.trans.txt:1: given '60-121-0000', expected READER-CHAPTER-NUMBER TEXT",
    ]
    expected = "there is no split 'train' here; choose from train-clean-100"
    assert refused("librispeech", split="train") == expected


# LibriTTS


@pytest.fixture
def libritts(tree):
    folder = "LibriTTS_R/train-clean-360/14/212"
    tree.text(
        "LibriTTS_R/speakers.tsv", "READER\tGENDER\tSUBSET\tNAME\n14\tF\ttrain-clean-360\tKristin LeMoine\n"
    )
    tree.audio(f"{folder}/14_212_000001_000000.wav", f"{folder}/14_212_000002_000000.wav")
    tree.text(f"{folder}/14_212_000001_000000.normalized.txt", "Chapter two.")
    tree.text(f"{folder}/14_212_000001_000000.original.txt", "Chapter 2.")
    return tree


@pytest.mark.parametrize("name", ["libritts", "libritts-r", "LibriTTS"])
def test_libritts(libritts, clips, name):
    found = clips(name)
    assert list(found) == ["libritts-14_212_000001_000000", "libritts-14_212_000002_000000"]
    clip, bare = found.values()
    assert (clip.text, clip.speaker, clip.attributes) == ("Chapter two.", "14", {"gender": "Female"})
    assert clip.model_extra == {"split": "train-clean-360", "name": "Kristin LeMoine"}
    assert bare.text is None


def test_libritts_with_the_older_table(libritts, clips, refused):
    (libritts.root / "LibriTTS_R/speakers.tsv").unlink()
    assert "there is no speakers.tsv (it is in doc.tar.gz)" in refused("libritts")
    libritts.text("LibriTTS_R/SPEAKERS.txt", LIBRISPEECH)
    assert clips("libritts")["libritts-14_212_000001_000000"].attributes == {"gender": "Female"}


# PromptSpeech

PROMPTS = (
    "\ufeffitem_name,spk_id,gender,pitch,speaking_speed,energy,style_prompt\n"
    '14_212_000001_000000,14,F,low,normal,high,"A lady whispers, loudly"\n'
)


def test_promptspeech_finds_its_audio_in_libritts(libritts, clips, tmp_path):
    prompts = tmp_path / "promptspeech"
    prompts.mkdir()
    (prompts / "Real_training.csv").write_text(PROMPTS)
    found = clips("prompttts", prompts, data_root=libritts.root)
    clip = found["prompttts-14_212_000001_000000"]
    assert clip.audio == str(libritts.root / "LibriTTS_R/train-clean-360/14/212/14_212_000001_000000.wav")
    assert clip.text == "Chapter two."
    assert clip.attributes == {
        "gender": "Female",
        "pitch": "Low",
        "volume": "Loud",
        "speaking_speed": "Moderate",
    }
    assert clip.model_extra == {"split": "training", "style_prompt": "A lady whispers, loudly"}


def test_promptspeech_with_mistakes(libritts, read, refused, tmp_path):
    assert "neither Real_training.csv nor Real_test.csv" in refused("prompttts", tmp_path)
    file = tmp_path / "Real_test.csv"
    file.write_text(PROMPTS + "14_212_000009_000000,14,F,low,slow,low,x\nEMO_1,14,F,low,slow,low,x\n")
    assert refused("prompttts", tmp_path) == (
        f"the audio of PromptSpeech is that of LibriTTS, and {tmp_path} holds no part of it, such as "
        "LibriTTS/train-clean-100: put it there, or name its folder with --data-root"
    )
    records, reading = read("prompttts", tmp_path, data_root=libritts.root, skip_bad=True)
    assert len(records) == 1
    assert reading.bad_examples == [
        f"{file}:3: 14_212_000009_000000.wav is in no part of {libritts.root}/LibriTTS_R",
        f"{file}:4: item_name is 'EMO_1', expected a LibriTTS name such as 19_198_000000_000002",
    ]
