"""How many pairs and tokens: those of training, whatever the pairs are and whatever is left out of them."""

import pytest
from published import AQA5M, DESTA2, write
from tiny import SMALL_ADAPTER

from desta2.errors import ConfigError
from desta2.train.dataset import make_example
from desta2.train.plan import plan


def lengths_of(run, model, found):
    """Tokens of each pair, as training makes them; what Whisper would write is left empty."""
    listed = found(*run.data.train).train
    examples = (
        make_example(pair, [clip for clip, _ in clips], [text or "" for _, text in clips], model.processor)
        for pair, clips in (listed[number] for number in range(len(listed)))
    )
    return [len(example.input_ids) for example in examples]


def test_tokens_are_those_of_training(plain, bases, make_model, found):
    run = plain(epochs=3, gradient_accumulation=2)
    planned = plan(run, devices=2)
    lengths = lengths_of(run, make_model(bases, **SMALL_ADAPTER), found)
    assert (planned.pairs, planned.clips, planned.validation_pairs, planned.tokens_from) == (
        8,
        8,
        0,
        "tokenizer",
    )
    assert planned.tokens_per_epoch == sum(lengths)
    assert planned.tokens == 3 * sum(lengths)  # two steps of twelve
    assert planned.longest_pair == max(lengths)
    assert planned.tokens_per_pair == pytest.approx(sum(lengths) / 8, abs=0.05)
    assert planned.pairs_per_step == 12
    untold = "2 clips of 8 pairs have no transcript: Whisper will write it, and its tokens are not counted"
    assert planned.notes == [untold]


def test_without_a_tokenizer_tokens_are_estimated(plain, bases, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text((bases / "llm" / "config.json").read_text())
    found = plan(plain(model={"llm": str(tmp_path / "bare")}))
    assert found.tokens_from == "characters"
    assert found.longest_pair > 3
    assert any("is not at hand: tokens are estimated, 4 characters each" in note for note in found.notes)


@pytest.fixture
def rows(make_pair, write_clip, tmp_path):
    """40 pairs about 20 clips, which are not there, of growing length."""
    return [make_pair(f"p{i}", f"{i // 2}.wav", response="x" * i) for i in range(40)]


def test_many_pairs_are_sampled(plain, rows, write_pairs, tmp_path, monkeypatch):
    run = plain(data={"train": [write_pairs(tmp_path / "pairs.jsonl", rows)]}, epochs=1)
    whole = plan(run)
    assert (whole.pairs, whole.clips) == (40, 20)
    monkeypatch.setattr("desta2.train.lengths.SAMPLE", 5)
    some = plan(run)
    assert (some.pairs, some.clips, some.steps) == (40, 20, whole.steps)
    assert some.tokens_per_pair == pytest.approx(whole.tokens_per_pair, rel=0.05)
    assert some.tokens_per_pair != whole.tokens_per_pair
    assert "lengths are those of 10 of the pairs" in some.notes
    assert not any("lengths are those" in note for note in whole.notes)


def test_pairs_without_their_audio(plain, rows, write_pairs, tmp_path):
    """A plan needs none: it may be made on another machine."""
    file = write_pairs(tmp_path / "pairs.jsonl", rows)
    found = plan(plain(data={"train": [file]}))
    assert found.pairs == 40
    assert "the audio of 40 pairs is not here: a run would stop at it (data.missing=error)" in found.notes
    with pytest.raises(ConfigError, match=r"^data\.train names no pairs: .*pairs\.jsonl$"):
        plan(plain(data={"train": [file], "missing": "skip"}))


def test_pairs_that_a_run_leaves_out_or_sees_more_often(plain, rows, write_pairs, tmp_path):
    file = write_pairs(tmp_path / "pairs.jsonl", rows)
    whole = plan(plain(data={"train": [file]}, epochs=1))
    half = int(whole.tokens_per_pair)
    fitting = plan(plain(data={"train": [file], "max_tokens": half}, epochs=1))
    assert 0 < fitting.pairs < 40 and fitting.longest_pair <= half and fitting.steps == -(-fitting.pairs // 3)
    left_out = "pairs are left out: no audio, longer than data.max_tokens, or split in two"
    assert f"{40 - fitting.pairs} {left_out}" in fitting.notes
    with pytest.raises(
        ConfigError, match=r"^all 40 pairs that were measured are longer than data\.max_tokens=4"
    ):
        plan(plain(data={"train": [file], "max_tokens": 4}))
    often = plan(plain(data={"train": [{"path": file, "weight": 2.5}]}, epochs=1))
    assert (often.pairs, often.steps, often.tokens_per_epoch) == (40, 34, round(2.5 * whole.tokens_per_epoch))
    judged = plan(plain(data={"train": [file], "validation": 0.4}, epochs=1))
    assert judged.pairs + judged.validation_pairs == 40 and judged.validation_pairs > 4
    assert judged.clips == 20 and judged.steps == -(-judged.pairs // 3)


def test_pairs_that_are_none(plain, write_pairs, tmp_path):
    with pytest.raises(ConfigError, match=r"^data\.train names no pairs: .*none\.jsonl$"):
        plan(plain(data={"train": [write_pairs(tmp_path / "none.jsonl", [])]}))
    found = plan(plain(data={"validation": "gone.jsonl"}))
    assert found.notes[0] == "data.validation: gone.jsonl is not there, so pairs and tokens are not known"


def test_long_clips_are_several_windows(plain, make_pair, write_clip, write_pairs, tmp_path):
    """Of a second here: more positions, taps and memory. A part of a clip has its own length."""
    files = []
    for name, entry in (
        ("short", "0.wav"),
        ("long", "1.wav"),
        ("part", {"audio": "1.wav", "text": "fox", "start": 1.5, "end": 2.0}),
    ):
        files.append(write_pairs(tmp_path / name / "pairs.jsonl", [make_pair(name, entry)]))
        write_clip(tmp_path / name / "0.wav", 0)
        write_clip(tmp_path / name / "1.wav", 1, seconds=2.5)
    short, long, part = (plan(plain(data={"train": [file]})) for file in files)
    assert long.longest_pair == short.longest_pair + 2 * 3
    assert (short.tap_cache_bytes_per_clip, long.tap_cache_bytes_per_clip) == (6400, 3 * 6400)
    assert long.memory["encoder_pass"] == 3 * short.memory["encoder_pass"]
    assert long.memory["activations"] > short.memory["activations"]
    assert part.longest_pair == short.longest_pair and part.tap_cache_bytes_per_clip == 6400


@pytest.mark.parametrize("name", ["set.jsonl", "set.jsonl.gz", "set.parquet"])
@pytest.mark.parametrize("row", [DESTA2, AQA5M])
def test_published_sets_are_measured_as_they_are_trained_on(
    plain, bases, make_model, found, tmp_path, name, row
):
    """DeSTA2's columns and AQA-5M's messages, and nothing is unpacked for it."""
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").touch()
    run = plain(data={"train": [write(tmp_path / name, [row])]}, epochs=1)
    planned = plan(run)
    assert not (tmp_path / "out").exists()
    lengths = lengths_of(run, make_model(bases, **SMALL_ADAPTER), found)
    assert (planned.pairs, planned.clips, planned.tokens_per_epoch) == (1, 1, sum(lengths))
