"""Reading multiple choice, and the orders in which options are shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desta2.errors import InputError, RecordError
from desta2.evaluate.multiple_choice.items import Item, orders, question_of, read_items

ROW = {
    "id": "m1",
    "audio_id": "./audio/a.wav",
    "question": "What is it?",
    "choices": ["dog", "cat", "bird"],
    "answer": "cat",
    "task": "sound",
    "category": "Perception",
    "sub-category": "Animals",
    "difficulty": "easy",
}


def write(tmp_path, *rows, name="mmau.json"):
    path = tmp_path / name
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["mmau.json", "mmau.jsonl"])
def test_an_item(tmp_path, name):
    path = write(tmp_path, ROW, {**ROW, "id": None, "task": "", "difficulty": None}, name=name)
    first, second = read_items(path)
    groups = {"category": "Perception", "subcategory": "Animals"}
    assert first == Item(
        "m1", f"{tmp_path}/audio/a.wav", "./audio/a.wav", "What is it?", ("dog", "cat", "bird"), 1, "sound",
        groups | {"difficulty": "easy"},
    )  # fmt: skip
    assert (second.id, second.task, second.groups) == ("2", "multiple-choice", groups)
    assert read_items(tmp_path) == [first, second]


@pytest.mark.parametrize(
    ("choices", "answer", "options", "right"),
    [
        (["dog", "cat"], "B", ("dog", "cat"), 1),
        (["dog", "cat"], "(A)", ("dog", "cat"), 0),
        (["(A) dog", "(B) cat"], "(B) cat", ("dog", "cat"), 1),
        (["A. dog", "B. cat"], "dog", ("dog", "cat"), 0),
        (["A. dog", "C. cat"], "C. cat", ("A. dog", "C. cat"), 1),
        (["B", "A"], "A", ("B", "A"), 1),
        (["+3", "-3"], "-3", ("+3", "-3"), 1),
        (["Dog.", "Cat."], "cat", ("Dog.", "Cat."), 1),
    ],
)
def test_forms_of_choices_and_answers(tmp_path, choices, answer, options, right):
    (item,) = read_items(write(tmp_path, {**ROW, "choices": choices, "answer": answer}))
    assert (item.options, item.right) == (options, right)


@given(st.integers(2, 26), st.integers(1, 30), st.text(min_size=1))
def test_each_option_is_in_each_place_once(n_options, count, key):
    item = Item(key, "a", "a", "?", tuple(map(str, range(n_options))), 0, "t", {})
    found = orders(item, count)
    assert len(found) == min(count, n_options)
    assert all(sorted(order) == list(range(n_options)) for order in found)
    assert found[0] == orders(item, 1)[0]
    for place in range(n_options):
        assert len({order[place] for order in found}) == len(found)


def test_the_order_depends_on_the_id_and_is_told():
    def item(key):
        return Item(
            key, "a.wav", "a.wav", "What?", ("dog", "cat", "bird", "cow"), 2, "sound", {"category": "x"}
        )

    assert len({orders(item(str(key)), 1)[0] for key in range(40)}) > 10
    asked = question_of(item("k"), 1, (3, 2, 0, 1))
    assert asked.id == "k#2"
    clip, text = asked.messages[0]["content"]
    assert clip == {"type": "audio", "audio": "a.wav"}
    assert text["text"] == (
        "What?\n(A) cow\n(B) bird\n(C) dog\n(D) cat\nAnswer with the letter of the right option."
    )
    assert asked.fields == {
        "task": "sound", "instruction": text["text"], "label": "bird", "audio": "a.wav", "clip": "a.wav",
        "item": "k", "options": ["cow", "bird", "dog", "cat"], "order": [3, 2, 0, 1], "category": "x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"choices": "dog"}, "item 1: given choices='dog', expected a list of texts"),
        ({"choices": ["dog"]}, "item 1: given 1 choices, expected 2 to 26"),
        ({"choices": ["cat", "Cat"]}, "item 1: two choices are the same: cat, Cat"),
        ({"answer": "cow"}, "item 1: the answer 'cow' is none of the choices dog, cat, bird"),
        ({"answer": "D"}, "item 1: the answer 'D' is none of the choices dog, cat, bird"),
        ({"question": " "}, "item 1: given question=' ', expected a text"),
        ({"audio_id": None}, "item 1: given audio=None, expected a text"),
    ],
)
def test_items_that_are_none(tmp_path, change, reason):
    path = write(tmp_path, {**ROW, **change})
    with pytest.raises(RecordError) as caught:
        read_items(path)
    assert str(caught.value) == f"{path}: {reason}"


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"none.json does not exist; expected a .json or .jsonl file"):
        read_items(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"has these .json and .jsonl files: none; expected one"):
        read_items(tmp_path)
    with pytest.raises(InputError, match=r"mmau.json holds no items"):
        read_items(write(tmp_path))
    twice = write(tmp_path, ROW, ROW, name="b.jsonl")
    with pytest.raises(RecordError, match=r"b.jsonl:2: the id 'm1' is another item's already"):
        read_items(twice)
    with pytest.raises(InputError, match=r"files: b.jsonl, mmau.json; expected one, or name the file"):
        read_items(tmp_path)
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(InputError, match=r"c.json: given a dict, expected a list of objects"):
        read_items(tmp_path / "c.json")
    (tmp_path / "d.jsonl").write_text('{"id"\n')
    with pytest.raises(RecordError, match=r"d.jsonl:1: not valid JSON: "):
        read_items(tmp_path / "d.jsonl")
    (tmp_path / "e.json").write_text("[1]")
    with pytest.raises(RecordError, match=r"e.json: item 1: given a int, expected an object"):
        read_items(tmp_path / "e.json")
