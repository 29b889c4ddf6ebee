"""CREMA-D: everything in the file name, a table of actors, files that the authors say are broken."""

import pytest

ACTORS = (
    '"ActorID","Age","Sex","Race","Ethnicity"\n'
    '1001,51,"Male","Caucasian","Not Hispanic"\n'
    '1076,25,"Female","Unknown","Hispanic"\n'
)


@pytest.fixture
def cremad(tree):
    tree.text("VideoDemographics.csv", ACTORS)
    tree.audio("AudioWAV/1001_IEO_ANG_HI.wav", "AudioWAV/1076_TSI_NEU_XX.wav", "AudioWAV/1076_MTI_SAD_XX.wav")
    return tree


def test_clips(cremad, clips):
    found = clips("cremad")
    assert list(found) == ["cremad-1001_IEO_ANG_HI", "cremad-1076_TSI_NEU_XX"]
    man, woman = found.values()
    assert (man.text, man.speaker) == ("It's eleven o'clock", "1001")
    assert man.attributes == {"gender": "Male", "age": "51", "emotion": "Angry"}
    assert man.model_extra == {"intensity": "High", "race": "Caucasian", "ethnicity": "Not Hispanic"}
    assert woman.attributes == {"gender": "Female", "age": "25", "emotion": "Neutral"}
    assert woman.model_extra == {"ethnicity": "Hispanic"}  # race Unknown, intensity unspecified


def test_broken_files_are_counted(cremad, read):
    assert read("cremad")[1].left_out == {"clips that are broken in the corpus itself": 1}


def test_mp3_where_there_is_no_wav(tree, read):
    tree.text("CREMA-D/VideoDemographics.csv", ACTORS)
    tree.audio("CREMA-D/AudioMP3/1001_IEO_ANG_HI.mp3", "CREMA-D/AudioMP3/1076_MTI_NEU_XX.mp3")
    records, reading = read("cremad")
    assert [record.id for record in records] == ["cremad-1001_IEO_ANG_HI"]
    assert sum(reading.left_out.values()) == 1  # broken as mp3, fine as wav


def test_mistakes(cremad, tree, read, refused):
    tree.audio("AudioWAV/1001_XXX_ANG_HI.wav", "AudioWAV/9999_IEO_ANG_HI.wav", "AudioWAV/noise.wav")
    _, reading = read("cremad", skip_bad=True)
    assert reading.bad_count == 3
    assert reading.bad_examples[0] == (
        f"{tree.root}/AudioWAV/1001_XXX_ANG_HI.wav: its name is none of CREMA-D's, such as 1001_IEO_ANG_HI"
    )
    assert "there is no VideoDemographics.csv" in refused("cremad", tree.root / "AudioWAV")
