import json

import pytest
from air_bench import TASKS, answered, rows, write_benchmark, write_lines

from desta2.errors import AudioError, InputError, RecordError
from desta2.evaluate.air_bench_chat.items import questions, read_answers, read_items
from desta2.records import Prediction


@pytest.fixture
def data(tmp_path):
    return write_benchmark(tmp_path / "Chat", rows())


def test_items_are_read_from_the_folder_the_one_above_or_the_file(data):
    items = read_items(data)
    assert items == read_items(data.parent) == read_items(data / "Chat_meta.json")
    assert [item.id for item in items] == [str(number) for number in range(16)]
    first = items[0]
    assert (first.task, first.dataset, first.path) == ("speech_QA", "data-speech_QA", "clip0.wav")
    assert (first.question, first.reference) == ("What is speech_QA 0?", "Reference speech_QA 0.")
    assert first.description == "['Description of speech_QA 0.']"
    assert {item.clip for item in items if item.task.startswith("sound")} == {
        "clotho/clip0.wav",
        "clotho/clip1.wav",
    }


def test_a_description_that_is_no_text_is_written_as_one(tmp_path):
    row = rows(1)[0] | {"meta_info": [{"speaker": "é"}]}
    (item,) = read_items(write_benchmark(tmp_path, [row]))
    assert item.description == '[{"speaker": "é"}]'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", r"Chat_meta\.json is not valid JSON"),
        ("{}", r"Chat_meta\.json holds no items; expected a list of objects"),
        ("[3]", r"Chat_meta\.json, item 0: 'task_name' or 'task' should be a text, given nothing"),
        (
            json.dumps([rows(1)[0] | {"question": " "}]),
            r"item 0: 'question' or 'instruction' should be a text, given ' '",
        ),
        (json.dumps(rows(1)[:1] * 2), r"item 1: the uniq_id 0 occurs twice"),
    ],
)
def test_a_meta_file_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / "Chat_meta.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_items(tmp_path)


def test_questions_carry_the_whole_item(data, tmp_path):
    asked = list(questions(data))
    assert [question.id for question in asked] == [str(number) for number in range(16)]
    audio = str(data / "speech_QA_data-speech_QA" / "clip0.wav")
    (message,) = asked[0].messages
    assert message["content"][0] == {"type": "audio", "audio": audio}
    assert message["content"][1] == {"type": "text", "text": "What is speech_QA 0?"}
    predictions = [
        Prediction.model_validate({"id": question.id, "response": "Mine.", **question.fields}).to_dict()
        for question in asked
    ]
    alone = read_answers([write_lines(tmp_path / "own.jsonl", predictions)])
    assert [answer.item for answer in alone] == read_items(data)
    assert {answer.response for answer in alone} == {"Mine."}
    assert predictions[0]["clip"] == "data-speech_QA/clip0.wav"


def test_a_part_of_the_benchmark_can_be_asked(data, caplog):
    for folder in data.glob("m*"):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert {question.fields["task"] for question in questions(data)} == {t for t in TASKS if t[0] != "m"}
    assert "left out, since their folders are not in" in caplog.text
    assert "music_QA_data-music_QA, music_generation_analysis_QA_data" in caplog.text
    next(data.glob("sound_QA*/clip1.wav")).unlink()
    with pytest.raises(AudioError, match=r"item 5: no audio file at .*clip1\.wav; is the download whole\?"):
        list(questions(data))


def test_no_audio_at_all_is_an_error(tmp_path):
    (tmp_path / "Chat_meta.json").write_text(json.dumps(rows()))
    with pytest.raises(
        InputError, match="holds none of the audio folders; expected speech_QA_data-speech_QA"
    ):
        list(questions(tmp_path))
    with pytest.raises(InputError, match=r"holds no Chat_meta\.json; expected the folder Chat of AIR-Bench"):
        list(questions(tmp_path / "x"))


def test_lines_of_the_benchmarks_own_script(data, tmp_path):
    file = write_lines(tmp_path / "own.jsonl", answered(rows()))
    answers = read_answers([file])
    assert [answer.item for answer in answers] == read_items(data)
    assert answers[3].response == "Mine. 3"
    assert read_answers([file], read_items(data)) == answers


def test_lines_that_say_less_need_the_benchmark(data, tmp_path):
    items = read_items(data)
    place = {"task_name": "music_QA", "dataset_name": "data-music_QA", "path": "clip1.wav"}
    lines = [
        {"uniq_id": 3, "response": "a"},
        {"id": "2", "response": None},
        {"id": "mine", **place, "question": "What is music_QA 1?", "response": "b"},
        {"uniq_id": 3, **place, "path": "clip0.wav", "question": "What is music_QA 0?", "response": "c"},
    ]
    file = write_lines(tmp_path / "own.jsonl", lines)
    answers = read_answers([file], items)
    assert [answer.item for answer in answers] == [items[3], items[2], items[9], items[8]]
    assert [answer.response for answer in answers] == ["a", None, "b", "c"]
    with pytest.raises(
        RecordError,
        match=r"own\.jsonl:1: 'task_name' or 'task' should be a text, given nothing; where lines do not carry the items, give the benchmark's folder with --data",
    ):
        read_answers([file])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"uniq_id": 99, "response": "a"}, r"own\.jsonl:2: no item has this id, and none this task_name"),
        (
            {"uniq_id": 1, "question": "Else?", "response": "a"},
            r":2: uniq_id 1 asks another question, and none",
        ),
        ({"uniq_id": 1, "response": 5}, r":2: given response=5, expected a text"),
        ({"uniq_id": 0, "response": "a"}, r":2: item 0 is answered a second time; keep one answer to each"),
    ],
)
def test_lines_that_cannot_be_used(data, tmp_path, line, message):
    file = write_lines(tmp_path / "own.jsonl", [{"uniq_id": 0, "response": "a"}, line])
    with pytest.raises(RecordError, match=message):
        read_answers([file], read_items(data))


def test_an_empty_file(tmp_path):
    with pytest.raises(InputError, match=r"own\.jsonl: no answers; expected one JSON object a line"):
        read_answers([write_lines(tmp_path / "own.jsonl", [])])
