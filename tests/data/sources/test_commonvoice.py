"""Common Voice: columns of several versions, quotation marks that quote nothing, fields that are empty."""

import pytest

NEW = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment\n"
OLD = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\n"


@pytest.fixture
def english(tree):
    tree.text(
        "en/train.tsv",
        NEW
        + 'a1\tcommon_voice_en_1.mp3\ts1\t"Well, yes," he said.\t\t2\t0\ttwenties\tmale_masculine\tUnited States English\t\ten\t\n'
        + "b2\tcommon_voice_en_2.mp3\ts2\tNo.\t\t2\t0\t\t\t\t\ten\t\n"
        + "c3\tcommon_voice_en_3.mp3\ts3\tMaybe.\t\t2\t0\tfourties\tnon-binary\t\t\ten\t\n",
    )
    tree.text("en/test.tsv", OLD + "d4\tcommon_voice_en_4\tOld.\t2\t0\tsixties\tfemale\tus\n")
    tree.text("en/validated.tsv", NEW + "a1\tcommon_voice_en_1.mp3\ts1\tx\t\t2\t0\t\t\t\t\ten\t\n")
    tree.audio(*(f"en/clips/common_voice_en_{i}.mp3" for i in range(1, 5)))
    return tree


def test_official_splits(english, clips):
    found = clips("commonvoice", english.root / "en")
    assert list(found) == [f"commonvoice-common_voice_en_{i}" for i in range(1, 5)]
    first, second, third, old = found.values()
    assert first.text == '"Well, yes," he said.'
    assert first.attributes == {"gender": "Male", "age": "Twenties", "accent": "United States English"}
    assert (first.speaker, first.language, first.model_extra) == ("a1", "en", {"split": "train"})
    assert second.attributes == {}
    assert third.attributes == {"age": "Forties"}  # spelt as English spells it; no gender that could be heard
    assert old.attributes == {"gender": "Female", "age": "Sixties", "accent": "us"}
    assert (old.language, old.audio) == ("en", str(english.root / "en/clips/common_voice_en_4.mp3"))


def test_splits_that_repeat_others(english, clips, refused):
    assert len(clips("commonvoice", english.root / "en", split="validated")) == 1
    expected = "--split train,validated: validated.tsv repeats the others; choose either"
    assert refused("commonvoice", english.root / "en", split="train,validated") == expected


def test_mistakes(english, tree, read, refused):
    assert refused("commonvoice") == f"{tree.root} holds several languages: give one of its folders (en)"
    tree.text("en/train.tsv", NEW + "a1\t\ts1\tHello\t\t2\t0\t\t\t\t\ten\t\n")
    _, reading = read("commonvoice", tree.root / "en", split="train", skip_bad=True)
    assert reading.bad_examples == [f"{tree.root}/en/train.tsv:2: has no path"]
    assert "there is no folder clips; expected the folder of one language" in refused(
        "commonvoice", tree.root / "en/clips"
    )
