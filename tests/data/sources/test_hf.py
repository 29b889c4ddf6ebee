"""Hugging Face datasets on the disk: saved, as Parquet, as JSON; audio never decoded by the library."""

import json
from pathlib import Path

import pytest

datasets = pytest.importorskip("datasets")


@pytest.fixture
def dataset(encode):
    """Two splits with audio as bytes, a class label, and a column that is no field."""

    def split(numbers):
        rows = [
            {
                "speech": {"bytes": encode("flac", 16_000, 1, 0.05 * (n + 1)), "path": f"{n}.flac"},
                "sentence": f"Sentence {n}.",
                "emotion": -1 if n == 2 else n % 2,
                "speaker": n,
                "votes": 1,
            }
            for n in numbers
        ]
        made = datasets.Dataset.from_list(rows).cast_column(
            "emotion", datasets.ClassLabel(names=["joy", "neutral"])
        )
        return made.cast_column(
            "speech", datasets.Audio(sampling_rate=16_000)
        )  # as on the hub: to be decoded

    return datasets.DatasetDict({"train": split((0, 1)), "test": split((2,))})


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_the_same_clips_however_it_lies_on_the_disk(dataset, read, encode, tmp_path, kind):
    src = tmp_path / "mine"
    if kind == "saved":
        dataset.save_to_disk(src)
    else:
        for name, split in dataset.items():
            split.to_parquet(src / "data" / f"{name}-00000-of-00001.parquet")
    records, reading = read("hf", src, columns={"sentence": "text"})
    assert [clip.id for clip in records] == ["mine-train-0000000", "mine-train-0000001", "mine-test-0000000"]
    assert [clip.attributes for clip in records] == [{"emotion": "Happy"}, {"emotion": "Neutral"}, {}]
    first = records[0]
    assert (first.text, first.speaker, first.model_extra) == ("Sentence 0.", "0", {"split": "train"})
    assert first.audio.startswith(str(tmp_path / "kept")) and first.audio.endswith(".flac")
    assert Path(first.audio).read_bytes() == encode("flac", 16_000, 1, 0.05)
    assert reading.unused_columns == ("votes",)


def test_a_single_split(dataset, clips, refused, tmp_path):
    dataset.save_to_disk(tmp_path / "d")
    assert list(clips("hf", tmp_path / "d", split="test")) == ["d-test-0000000"]
    assert (
        refused("hf", tmp_path / "d", split="dev") == "there is no split 'dev' here; choose from train, test"
    )
    dataset["train"].save_to_disk(tmp_path / "one")
    assert list(clips("hf", tmp_path / "one")) == ["one-train-0000000", "one-train-0000001"]


def test_paths_in_json_and_an_id_column(tree, clips):
    tree.audio("audio/a.wav")
    tree.text("train.jsonl", json.dumps({"name": "n1", "file": "audio/a.wav", "text": "Hi"}) + "\n")
    (clip,) = clips("hf", columns={"file": "audio", "name": "id"}).values()
    assert (clip.id, clip.audio, clip.text) == ("n1", str(tree.root / "audio/a.wav"), "Hi")


def test_files_elsewhere_are_fetched(tree, read, encode, tmp_path):
    wav = tree.bytes("far/a.wav", encode("wav", 16_000, 1, 0.05))
    rows = [{"audio": {"bytes": None, "path": f"file://{p}"}} for p in (wav, tmp_path / "none.wav")]
    tree.text("d/train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    (clip,), reading = read("hf", tree.root / "d", skip_bad=True)
    assert Path(clip.audio).read_bytes() == wav.read_bytes()
    assert len(reading.bad_examples) == 1
    assert reading.bad_examples[0].startswith(f"train:row 2: file://{tmp_path}/none.wav: cannot be fetched: ")


def test_bytes_that_are_no_audio(dataset, read, tmp_path):
    rows = [{"audio": {"bytes": b"<html>", "path": "a.wav"}}]
    datasets.Dataset.from_list(rows).save_to_disk(tmp_path / "d")
    _, reading = read("hf", tmp_path / "d", skip_bad=True)
    assert reading.bad_examples == [
        "train:row 1: the bytes are no audio that desta2 reads, they look like HTML or XML (a saved error page?)"
    ]


def test_mistakes(tree, dataset, refused, tmp_path):
    assert refused("hf", "no such/place") == (
        "no such/place does not exist; expected a folder on the disk, or a hub id such as owner/name"
    )
    dataset.save_to_disk(tmp_path / "d")
    assert "was saved by save_to_disk: it has neither --config nor --revision" in refused(
        "hf", tmp_path / "d", config="en"
    )
    tree.text("readme.txt", "")
    tree.root.joinpath("empty").mkdir()
    assert refused("hf", tree.root / "empty").startswith(f"{tree.root}/empty: cannot be read as a dataset: ")


def test_the_hub_is_not_reached_from_tests(read):
    from desta2.errors import Desta2Error

    with pytest.raises(Desta2Error, match="owner/name-that-is-nowhere"):  # HF_HUB_OFFLINE is set
        read("hf", "owner/name-that-is-nowhere")
