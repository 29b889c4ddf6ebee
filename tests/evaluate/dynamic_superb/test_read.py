"""Reading tasks as they lie on disks: Parquet, saved datasets, tables, single tasks."""

import json
import logging
from pathlib import Path

import pytest
from superb import row, wav, write_benchmark, write_task

from desta2.errors import Desta2Error, InputError, RecordError
from desta2.evaluate.dynamic_superb.read import read_questions
from desta2.evaluate.dynamic_superb.table import load_table

TABLE = load_table()


def parts(question):
    [message] = question.messages
    assert message["role"] == "user"
    return message["content"]


def test_parquet_as_the_hub_has_it(tmp_path, caplog):
    (tmp_path / "README.md").write_text("not a task")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "Unknown_Task").mkdir()
    with caplog.at_level(logging.WARNING, "desta2"):
        questions = list(read_questions(write_benchmark(tmp_path, 2), TABLE))
    assert [question.id for question in questions] == [
        "SpeechDetection_LJSpeech/00001",
        "SpeechDetection_LJSpeech/00002",
        "NoiseDetection_VCTK_MUSAN-Gaussian/00001",
        "NoiseDetection_VCTK_MUSAN-Gaussian/00002",
        "SpeakerVerification_VCTK/00001",
        "SpeakerVerification_VCTK/00002",
        "BirdSoundDetection_Warblrb10k/00001",
        "BirdSoundDetection_Warblrb10k/00002",
    ], "in the order of the table, under its names"
    one, text, two = questions[0], questions[3], questions[5]
    assert parts(one) == [{"type": "audio", "audio": wav(200)}, {"type": "text", "text": "Is it loud?"}]
    assert [part.get("audio") for part in parts(two)] == [wav(301), wav(401), None]
    assert parts(text)[-1]["text"] == "Is it loud?\nhello 1"
    fields = dict(one.fields)
    assert len(fields.pop("clip")) == 16
    assert fields.pop("row").endswith("SpeechDetection_LJSpeech:row 1")
    assert fields == {
        "task": "SpeechDetection_LJSpeech", "instruction": "Is it loud?", "label": "yes", "audio": "200.wav",
    }  # fmt: skip
    said = [record.getMessage() for record in caplog.records]
    assert (
        f"{tmp_path}/Unknown_Task is no task of the table and is left out (--names says what it is)" in said
    )
    assert f"{tmp_path} lacks 45 tasks, such as LanguageIdentification_VoxForge" in said


def test_equal_clips_are_known_by_content_not_name(tmp_path):
    rows = [row(200, "yes"), row(201, "yes"), row(200, "yes")]
    for each in rows:
        each["audio"]["path"] = "audio.wav"
    write_task(tmp_path, "SpeechDetection_LJSpeech", rows)
    first, second, third = [question.fields["clip"] for question in read_questions(tmp_path, TABLE)]
    assert first == third != second


def test_saved_and_with_features(tmp_path):
    datasets = pytest.importorskip("datasets")
    names = ["no", "yes"]
    made = datasets.Dataset.from_list([row(200, 1, file="a/1.wav"), row(201, 0, file="a/2.wav")])
    made = made.cast_column("label", datasets.ClassLabel(names=names)).cast_column("audio", datasets.Audio())
    other = datasets.DatasetDict({"train": made.select([0]), "test": made})
    other.save_to_disk(tmp_path / "saved" / "SpeechDetection_LJSpeech")
    made.to_parquet(tmp_path / "files" / "SpeechDetection_LJSpeech.parquet")
    for data in (tmp_path / "saved", tmp_path / "files"):
        questions = list(read_questions(data, TABLE))
        assert [question.fields["label"] for question in questions] == ["yes", "no"], data
        assert [question.fields["audio"] for question in questions] == ["a/1.wav", "a/2.wav"]
        assert parts(questions[0])[0]["audio"] == wav(200)


def test_the_splits_of_a_saved_dataset(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list([row(200, "yes")])
    task = tmp_path / "SpeechDetection_LJSpeech"
    datasets.DatasetDict({"train": made, "dev": made}).save_to_disk(task)
    with pytest.raises(InputError) as caught:
        list(read_questions(tmp_path, TABLE))
    assert str(caught.value) == f"{task} has the splits train, dev; expected 'test', or a single one"


@pytest.mark.parametrize("layout", ["folder", "file"])
def test_tables_with_paths(tmp_path, layout):
    task = tmp_path / "SpeechDetection_LJSpeech"
    folder = task if layout == "folder" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "a.wav").write_bytes(wav(200))
    line = json.dumps({"audio": "a.wav", "instruction": "Loud?", "label": True}) + "\n"
    (folder / ("test.jsonl" if layout == "folder" else f"{task.name}.jsonl")).write_text(line)
    [question] = read_questions(tmp_path, TABLE)
    assert parts(question)[0] == {"type": "audio", "audio": str(folder / "a.wav")}
    assert question.fields["label"] == "True"
    assert question.fields["audio"] == "a.wav"


def test_a_single_task(tmp_path):
    write_task(tmp_path, "SpeechDetection_LJSpeech", [row(200, "yes")])
    [question] = read_questions(tmp_path / "SpeechDetection_LJSpeech", TABLE)
    assert question.id == "SpeechDetection_LJSpeech/00001"


def test_only_the_test_files(tmp_path):
    path = write_task(tmp_path, "SpeechDetection_LJSpeech", [row(200, "yes")])
    path.with_name("train-00000-of-00001.parquet").write_bytes(b"not even read")
    assert len(list(read_questions(tmp_path, TABLE))) == 1


def test_mistakes(tmp_path):
    with pytest.raises(InputError) as caught:
        read_questions(tmp_path, TABLE)
    assert str(caught.value) == (
        f"{tmp_path} holds no task of Dynamic-SUPERB: expected folders or tables named like "
        "LanguageIdentification_VoxForge; what is called otherwise can be named in a file for --names"
    )
    with pytest.raises(InputError, match="is no folder; expected one with the tasks of Dynamic-SUPERB"):
        read_questions(tmp_path / "none", TABLE)
    for name in ("SpeechDetection_LJSpeech", "speechdetection-ljspeech"):
        write_task(tmp_path, name, [row(200, "yes")])
    with pytest.raises(InputError, match="are both SpeechDetection_LJSpeech: move one of them away"):
        read_questions(tmp_path, TABLE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"label": None},
            ":row 1: given label=None, expected a text; the columns: audio, instruction, label",
        ),
        ({"instruction": " "}, ":row 1: given instruction=' ', expected a text"),
        ({"audio": None}, ":row 1: has no audio; its columns: audio, instruction, label"),
        (
            {"audio": {"bytes": b"", "path": ""}},
            ":row 1: its audio is '', expected a path or the bytes of a file",
        ),
    ],
)
def test_bad_rows(tmp_path, change, message):
    write_task(tmp_path, "SpeechDetection_LJSpeech", [{**row(200, "yes"), **change}])
    with pytest.raises(RecordError) as caught:
        list(read_questions(tmp_path, TABLE))
    assert message in str(caught.value)


def test_an_owner_is_asked_for_each_spelling(tmp_path):
    """A folder stands for the owner: what comes behind is `datasets` either way."""
    datasets = pytest.importorskip("datasets")
    (tmp_path / "t.yaml").write_text(
        "dimensions: {one: [NoiseDetection_VCTK_MUSAN-Gaussian], two: [StressDetection_MIRSD]}"
    )
    table = load_table(tmp_path / "t.yaml")
    made = datasets.DatasetDict({"test": datasets.Dataset.from_list([row(200, "yes")])})
    made.save_to_disk(tmp_path / "NoiseDetection_VCTK-MUSAN-Gaussian")
    questions = read_questions(Path(f"hf:{tmp_path}"), table)
    assert next(questions).id == "NoiseDetection_VCTK_MUSAN-Gaussian/00001"
    with pytest.raises(
        InputError, match=r"StressDetection_MIRSD does not exist; expected a folder on the disk"
    ):
        next(questions)


def test_the_hub_is_not_reached_from_tests():
    with pytest.raises(Desta2Error, match="Owner/LanguageIdentification_VoxForge"):  # HF_HUB_OFFLINE is set
        list(read_questions(Path("hf:Owner"), TABLE))
