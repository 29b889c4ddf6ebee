"""Sets of pairs: of any kind, read at random places, split without leaks, nothing left out in silence."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published import AQA5M, DESTA2, write

from desta2.errors import AudioError, ConfigError, RecordError, RunError
from desta2.records import Pair, write_records
from desta2.train.pairfiles import PairFiles
from desta2.train.pairset import in_validation


@pytest.fixture
def touch(tmp_path):
    """`touch(*names)`: files that need only be there."""
    return lambda *names: [(tmp_path / name).touch() for name in names]


@pytest.mark.parametrize("name", ["set.jsonl", "set.jsonl.gz", "set.parquet"])
def test_all_kinds_of_pairs_train_unchanged(tmp_path, found, touch, make_pair, name):
    touch("a.wav", "b.wav", "c.wav")
    ours = tmp_path / ("ours-" + name)
    write_records(ours, [Pair.model_validate(make_pair("c", "c.wav"))])
    desta2 = write(tmp_path / ("desta2-" + name), [DESTA2])
    aqa5m = write(tmp_path / ("aqa5m-" + name), [AQA5M, AQA5M])
    rows = list(found(ours, desta2, aqa5m).train)
    assert [[(clip.path, text) for clip, text in clips] for _, clips in rows] == [
        [(str(tmp_path / "c.wav"), "fox")],
        [(str(tmp_path / "a.wav"), " fox")],  # the .wav of that name, as the authors' loader has it
        [(str(tmp_path / "b.wav"), None)],
    ]
    assert [pair.response for pair, _ in rows] == ["The voice is loud.", "A fox.", "A fox."]
    assert [pair.provenance.llm for pair, _ in rows][1:] == [
        "meta-llama/Meta-Llama-3-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct",
    ]  # fmt: skip
    assert list(found(ours, desta2, aqa5m).train) == rows, "what was unpacked is used again"


def test_a_folder_of_published_tables(tmp_path, found, touch):
    touch("a.wav")
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train-00000-of-00002.jsonl", [DESTA2])
    write(folder / "train-00001-of-00002.jsonl", [DESTA2 | {"target": "Another one."}])
    assert [pair.response for pair, _ in found(folder, audio_root=tmp_path).train] == [
        "A fox.",
        "Another one.",
    ]


def test_a_published_row_that_is_no_pair_is_named(tmp_path, found):
    path = write(tmp_path / "set.jsonl", [DESTA2, DESTA2 | {"target": None}])
    (tmp_path / "a.wav").touch()
    with pytest.raises(RecordError, match=r"set\.jsonl:2: column 'target': given 'None', expected a text"):
        found(path)


def test_ids_are_unique_in_a_set_and_free_across_sets(tmp_path, found, touch, make_pair):
    touch("a.wav", "b.wav")
    one = write(tmp_path / "one.jsonl", [make_pair("same", "a.wav", response="One.")])
    two = write(tmp_path / "two.jsonl", [make_pair("same", "b.wav", response="Two.")])
    rows = found(one, two).train
    assert [(pair.response, clip.path[-5:]) for pair, [(clip, _)] in rows] == [
        ("One.", "a.wav"), ("Two.", "b.wav"),
    ]  # fmt: skip
    write(tmp_path / "one.jsonl", [make_pair("same", "a.wav")] * 2)
    with pytest.raises(RecordError, match=r"one\.jsonl:2: the id 'same' is already used at .*one\.jsonl:1"):
        found(one)


def test_missing_audio_is_an_error_or_left_out_and_counted(tmp_path, found, touch, make_pair, caplog):
    touch("a.wav")
    path = write(
        tmp_path / "p.jsonl", [make_pair(str(i), "a.wav" if i % 3 else "gone.wav") for i in range(9)]
    )
    with pytest.raises(AudioError, match=r"clip '0': no audio file at .*gone\.wav; is the data root right\?"):
        found(path)
    with caplog.at_level(logging.WARNING):
        result = found(path, missing="skip")
    assert len(result.train) == 6 and sum(result.left_out.values()) == 3
    assert "left out: pair '3': clip '3': no audio file at" in caplog.text
    assert "left out: 3 pairs: their audio is missing" in caplog.text


def test_some_pairs_without_unpacking(tmp_path, make_pair):
    path = write(tmp_path / "p.jsonl.gz", [make_pair(str(i), "gone.wav") for i in range(7)])
    files = PairFiles(path, None)
    assert files.count() == 7
    assert [pair.id for pair in files.some(3)] == ["0", "3", "6"]
    assert [pair.id for _, pair, _ in files.scan()] == [str(i) for i in range(7)]
    assert [file.name for file in tmp_path.iterdir()] == ["p.jsonl.gz"]
    published = PairFiles(write(tmp_path / "set.jsonl", [DESTA2]), None)
    assert [pair.response for pair in published.some()] == [DESTA2["target"]]


def test_a_file_that_changes_under_a_run_is_told(tmp_path, found, touch, make_pair):
    touch("a.wav")
    path = write(tmp_path / "p.jsonl", [make_pair(str(i), "a.wav") for i in range(3)])
    listed = found(path).train
    write(path, [make_pair("0" * 50, "a.wav")])
    with pytest.raises(RunError, match=r"p\.jsonl was changed while it was in use"):
        listed[2]


def test_no_pairs(tmp_path, found):
    with pytest.raises(ConfigError, match=r"^data\.train names no pairs: .*empty\.jsonl$"):
        found(write(tmp_path / "empty.jsonl", []))


# Validation


def test_a_speaker_is_on_one_side(tmp_path, found, touch, make_pair):
    rows = []
    for i in range(200):
        touch(f"{i}.wav")
        pair = make_pair(str(i), f"{i}.wav")
        rows.append(pair | {"speaker": f"s{i % 40}"})
    result = found(write(tmp_path / "p.jsonl", rows), validation=0.25)
    sides = [{pair.speaker for pair, _ in side} for side in (result.train, result.validation)]
    assert not sides[0] & sides[1]
    assert 4 <= len(sides[1]) <= 18 and len(result.train) + len(result.validation) == 200
    fewer = found(write(tmp_path / "p.jsonl", rows[:100]), validation=0.25)
    assert {pair.speaker for pair, _ in fewer.validation} <= sides[1], "the side does not change with the set"


def test_without_speakers_a_file_is_on_one_side(tmp_path, found, touch, make_pair, caplog):
    touch(*(f"{i}.wav" for i in range(30)))
    rows = [
        make_pair(f"{i}-{part}", {"audio": f"{i}.wav", "start": part, "end": part + 1, "text": "fox"})
        for i in range(30)
        for part in range(2)
    ]
    result = found(write(tmp_path / "p.jsonl", rows), validation=0.3)
    files = [{clips[0][0].path for _, clips in side} for side in (result.train, result.validation)]
    assert files[0] and files[1] and not files[0] & files[1]
    both = [sorted(side)[0].rpartition("/")[2] for side in files]
    rows.append(make_pair("both", *both))
    assert len(found(write(tmp_path / "p.jsonl", rows), validation=0.3).train) == len(result.train)
    assert "left out: pair 'both': their clips are on both sides of the validation split" in caplog.text


def test_the_split_stays_when_a_corpus_moves(tmp_path, found, touch, make_pair):
    rows = [make_pair(str(i), f"{i}.wav") for i in range(30)]
    sides = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        touch(*(f"{name}/{i}.wav" for i in range(30)))
        result = found(write(tmp_path / "p.jsonl", rows), validation=0.3, audio_root=tmp_path / name)
        sides.append([pair.id for pair, _ in result.validation])
    assert sides[0] == sides[1] and 0 < len(sides[0]) < 30


def test_a_fraction_that_holds_out_nothing(tmp_path, found, touch, make_pair):
    touch("a.wav")
    path = write(tmp_path / "p.jsonl", [make_pair("a", "a.wav")])
    with pytest.raises(
        ConfigError, match=r"^data\.validation holds out none of 1 pairs; give a larger fraction"
    ):
        found(path, validation=1e-9)


@settings(max_examples=30)
@given(st.text(), st.floats(0.01, 0.99))
def test_who_is_held_out_stays_so_when_more_are(group, fraction):
    assert not in_validation(group, fraction) or in_validation(group, min(1.0, fraction + 0.01))


def test_validation_by_path(tmp_path, found, touch, make_pair):
    touch("a.wav", "b.wav")
    train = write(tmp_path / "t.jsonl", [make_pair("a", "a.wav")])
    held = write(tmp_path / "v.jsonl", [make_pair("b", "b.wav")])
    result = found(train, validation=held)
    assert [[pair.id for pair, _ in side] for side in (result.train, result.validation)] == [["a"], ["b"]]
    assert result.n_clips == 1 and [(pair.id, n) for pair, n in result.kinds] == [("a", 1)]
