"""What the data of a run promises: the losses of live features, any set, nothing cut, nothing hidden."""

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from desta2.errors import AudioError, ConfigError
from desta2.train import data as data_module
from desta2.train.collate import Collator
from desta2.train.data import features, open_data
from desta2.train.fit import AdapterTrainer
from desta2.train.pairset import find_pairs
from desta2.train.processes import join
from desta2.train.trainer import build_model, train


@pytest.fixture
def batches(monkeypatch):
    """Ids of the pairs of each batch that is collated."""
    seen, call = [], Collator.__call__

    def spy(self, rows):
        seen.append([example.id for example, _ in rows])
        return call(self, rows)

    monkeypatch.setattr(Collator, "__call__", spy)
    return seen


def losses(run):
    return [json.loads(line)["loss"] for line in (run.run.output / "log.jsonl").read_text().splitlines()]


def opened(run, folder, model=None):
    """The data of a run, in a process of its own."""
    model = model or build_model(run.model)
    return open_data(run, find_pairs(run.data, folder), model, join(sharded=False))


def test_the_cache_changes_no_loss(config, batches):
    """But for the rounding of taps to half precision."""
    found = []
    for name, cache_taps in (("cached", True), ("live", False)):
        run = config(name, data={"cache_taps": cache_taps})
        train(run)
        found.append((list(batches), losses(run)))
        batches.clear()
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-3)
    assert found[0][1] != found[1][1]


def test_taps_of_the_first_epoch_are_those_of_the_later_ones(config, batches):
    ahead, coming = (
        config("ahead", data={"cache_taps": True}),
        config("coming", data={"cache_taps": "first_epoch"}),
    )
    train(ahead)
    first = list(batches)
    batches.clear()
    train(coming)
    assert batches == first
    assert losses(coming) == pytest.approx(losses(ahead), rel=1e-3)


def test_losses_do_not_depend_on_how_a_step_is_divided(config):
    """Grouped by length, with dropout of transcripts, several sets; only the adapter's dropout is off."""
    found = []
    for name, size, accumulation in (("whole", 4, 1), ("divided", 1, 4)):
        data = {"group_by_length": True, "transcript_dropout": 0.5, "cache_taps": True}
        run = config(
            name,
            model={"adapter_dropout": 0.0},
            data=data,
            batch_size=size,
            gradient_accumulation=accumulation,
            max_steps=5,
        )
        train(run)
        found.append(losses(run))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_run_that_fills_its_cache_and_is_killed_ends_as_one_that_was_not(config, monkeypatch):
    """At step 6 of 10, the last checkpoint at 4, with groups, dropout and mismatch."""
    options = {
        "data": {
            "cache_taps": "first_epoch", "group_by_length": True, "transcript_dropout": 0.3,
            "transcript_mismatch": 0.5,
        },
        "model": {"standardise_taps": False},
    }  # fmt: skip
    whole, killed = config("whole", **options), config("killed", **options)
    train(whole)
    prepared = AdapterTrainer._prepare_inputs
    steps = []

    def dies(self, inputs):
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return prepared(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(AdapterTrainer, "_prepare_inputs", dies)
        with pytest.raises(KeyboardInterrupt):
            train(killed)
    train(killed)
    one, other = (load_file(run.run.output / "model" / "adapter.safetensors") for run in (whole, killed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert losses(killed) == losses(whole)


def test_long_clips_and_loader_processes(config, tmp_path, pairs, make_pair, write_pairs, write_clip):
    """A clip of several windows whose words Whisper writes; decoded in another process, heard in this one."""
    write_clip(tmp_path / "long.wav", 3, seconds=4.5)
    rows = [make_pair("long", {"audio": "long.wav", "text": None})]
    sets = [pairs, write_pairs(tmp_path / "p.jsonl", rows)]
    found = {}
    for name, workers, cache in (("one", 0, "first_epoch"), ("two", 1, "first_epoch"), ("live", 1, False)):
        run = config(name, data={"train": sets, "cache_taps": cache}, workers=workers, max_steps=3)
        train(run)
        found[name] = losses(run)
    assert found["two"] == found["one"]
    assert found["live"] == pytest.approx(found["one"], rel=1e-3)


def test_weighted_sets_and_their_steps(config, tmp_path, pairs, make_pair, write_pairs, batches):
    audio = str(pairs.parent / "audio" / "0.wav")
    other = write_pairs(tmp_path / "other.jsonl", [make_pair(f"q{i}", audio) for i in range(4)])
    run = config(data={"train": [pairs, {"path": other, "weight": 2.5}]}, max_steps=None, epochs=1)
    train(run)
    seen = [name for own in batches for name in own]
    assert len(seen) == 8 + 10 and len(losses(run)) == 6, "a step is three pairs"
    assert [seen.count(f"p{i}") for i in range(8)] == [1] * 8
    assert sorted(seen.count(f"q{i}") for i in range(4)) == [2, 2, 3, 3]


def test_pairs_that_are_too_long_are_left_out_whole(config, tmp_path, pairs, make_pair, write_pairs, caplog):
    audio = str(pairs.parent / "audio" / "0.wav")
    rows = [
        make_pair("short", audio),
        make_pair("long", audio, response="loud " * 60),
        make_pair("last", audio),
    ]
    run = config(data={"train": [write_pairs(tmp_path / "p.jsonl", rows)], "max_tokens": 200})
    model = build_model(run.model)
    with caplog.at_level(logging.WARNING):
        data = opened(run, tmp_path, model)
    assert [data.train[i][0].id for i in range(len(data.train))] == ["short", "last"]
    assert "left out: pair 'long': " in caplog.text
    assert "left out: 1 pairs: longer than data.max_tokens=200" in caplog.text
    longest = max(len(data.train[i][0].input_ids) for i in range(2))
    exact = run.model_copy(update={"data": run.data.model_copy(update={"max_tokens": longest})})
    assert len(opened(exact, tmp_path, model).train) == 2
    less = run.model_copy(update={"data": run.data.model_copy(update={"max_tokens": 5})})
    wrong = r"all 3 pairs are longer than data\.max_tokens=5; the shortest has \d+"
    with pytest.raises(ConfigError, match=wrong):
        opened(less, tmp_path, model)


def test_what_is_held_out_is_not_disturbed(config, tmp_path, pairs):
    run = config(data={"validation": 0.5, "audio_root": pairs.parent, "transcript_dropout": 1.0})
    data = opened(run, tmp_path)
    held, learned = data.validation[0][0], data.train[0][0]
    tokenizer = data.ears._processor.tokenizer
    assert "fox<|eot_id|>" in tokenizer.decode(held.input_ids)
    assert "fox<|eot_id|>" not in tokenizer.decode(learned.input_ids)
    assert len(data.train) + len(data.validation) == 8


def test_features_ahead(config, monkeypatch):
    run = config(data={"cache_taps": True})
    first = features(run)
    assert (first["clips"], first["heard"], first["folder"]) == (8, 8, str(run.run.output / "taps"))
    assert first["bytes"] > 8 * 4 * 50 * 16 * 2
    assert features(run) == first | {"heard": 0}
    monkeypatch.setattr("desta2.model.modeling.Desta2Model.encode", lambda *_: pytest.fail("encoded"))
    train(run)
    with pytest.raises(ConfigError, match=r"data\.cache_taps is false, so this run keeps no taps"):
        features(config(data={"cache_taps": False}))


def test_processes_of_a_run_begin_at_different_places(config, monkeypatch):
    run = config(data={"cache_taps": True})
    found = find_pairs(run.data, run.run.output)
    begun = []
    monkeypatch.setattr(
        data_module,
        "prepare",
        lambda _, __, clips, **___: begun.append([clip.path[-5:] for clip, _ in clips]) or 0,
    )
    for rank in range(2):
        state = SimpleNamespace(process_index=rank, num_processes=2, is_main_process=rank == 0)
        data_module._make_ahead(run, None, None, found, None, state, taps=True)
    assert begun[1] == begun[0][4:] + begun[0][:4] and len(begun[0]) == 8


def test_limits_that_do_not_go_together(config, tmp_path):
    shared = config(data={"cache_taps": True, "cache_gb": 1e-6}, fsdp=True)
    small = (
        r"^data\.cache_gb=1e-06 is too small for all clips, and with run\.fsdp none can be encoded on the way"
    )
    with pytest.raises(ConfigError, match=small):
        opened(shared, tmp_path)


def test_the_loss_on_held_out_pairs_chooses_the_model(config, pairs):
    run = config(data={"validation": 0.5, "audio_root": pairs.parent}, save_steps=2, max_steps=6)
    output = train(run).parent
    log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    judged = {entry["step"]: entry["eval_loss"] for entry in log if "eval_loss" in entry}
    assert sorted(judged) == [2, 4, 6]
    best = min(judged, key=judged.get)
    assert f"- {best} steps from a fresh adapter" in (output / "model" / "README.md").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_audio_is_one_line_wherever_it_is_found(
    config, tmp_path, make_pair, write_pairs, write_clip, workers
):
    write_clip(tmp_path / "a.wav", 1)
    (tmp_path / "broken.wav").write_bytes(b"RIFF and nothing else")
    rows = [make_pair("a", "a.wav"), make_pair("b", "broken.wav")]
    data = {"train": [write_pairs(tmp_path / "p.jsonl", rows)], "cache_taps": False}
    run = config(model={"standardise_taps": False}, data=data, workers=workers)
    with pytest.raises(AudioError, match=r"^[^\n]*broken\.wav: [^\n]*$"):
        train(run)
    skipping = config(
        "skipping", model={"standardise_taps": False}, data={**data, "missing": "skip"}, workers=workers
    )
    output = train(skipping).parent
    [note] = [json.loads(line) for line in (output / "skipped.jsonl").read_text().splitlines()]
    assert note["skipped"] == f"pair 2 of {tmp_path}/p.jsonl" and "broken.wav" in note["reason"]
