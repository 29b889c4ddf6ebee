"""The loop: evaluation, the best checkpoint, early stopping, what is shown and kept."""

import json
import re
import shutil
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from desta2.errors import ConfigError
from desta2.train import fit as fitting
from desta2.train import trainer
from desta2.train.checkpoints import best, newest, state_of
from desta2.train.data import open_data
from desta2.train.fit import _rounds, fit
from desta2.train.pairset import find_pairs
from desta2.train.processes import join
from desta2.train.stopping import is_out_of_patience
from desta2.train.trainer import train


@pytest.fixture
def parts(bases, make_model, make_config, tmp_path):
    """A fresh model, and data that is not cached."""
    model = make_model(bases)
    live = make_config(tmp_path / "parts", data={"cache_taps": False})
    return model, open_data(live, find_pairs(live.data, tmp_path), model, join(sharded=False))


def log_of(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def steps_of(output):
    return {path.name for path in (output / "checkpoints").iterdir()}


def scripted(values):
    """A benchmark that gives one value after another."""
    left = iter(values)
    return lambda model: {"nano_accuracy": next(left)}


def small(config, **options):
    return config(batch_size=2, max_steps=8, save_steps=1, **options).run


def test_the_validation_loss_is_a_mean_over_labels(parts, config):
    """In batches of three out of eight, none of them alike."""
    model, data = parts
    run = config(batch_size=3, max_steps=1, learning_rate=1e-12).run
    fit(model, replace(data, validation=data.train), run)
    model.eval()
    expected = model(**data.collator([data.train[i] for i in range(8)])).loss.item()
    [entry] = [entry for entry in log_of(run.output) if "eval_loss" in entry]
    assert entry["eval_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("examples", "size", "processes"), [(8, 3, 1), (8, 3, 2), (1, 4, 3), (13, 2, 3)])
def test_processes_divide_the_validation_among_them(examples, size, processes):
    shares = [list(_rounds(examples, size, process, processes)) for process in range(processes)]
    assert len({len(share) for share in shares}) == 1, "sharded models need all of them for every batch"
    counted = [row for share in shares for rows, counts in share if counts for row in rows]
    assert sorted(counted) == list(range(examples))
    assert all(rows for share in shares for rows, _ in share)


def test_evaluation_does_not_change_the_training(parts, bases, make_model, config):
    """Though the adapter has dropout, and batches are drawn: an evaluated run ends with the same bits."""
    _, data = parts
    ends = []
    for output, held_out in (("with", data.train), ("without", None)):
        run = small(config, output=output)
        end = fit(make_model(bases), replace(data, validation=held_out), run)
        ends.append(load_file(newest(run.output / "checkpoints") / "adapter.safetensors"))
        assert end.parent == run.output / "checkpoints"
    assert all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())


def test_the_best_and_the_newest_checkpoint_stay(parts, config):
    model, data = parts
    run = small(config)
    scores = [0.1, 0.2, 0.9, 0.3, 0.4, 0.5, 0.6, 0.7]
    chosen = fit(model, data, run, scripted(scores))
    assert chosen.name == "checkpoint-3"
    assert steps_of(run.output) == {"checkpoint-3", "checkpoint-8"}
    names = {path.name for path in chosen.iterdir()}
    assert "adapter.safetensors" in names
    assert not {"model.safetensors", "pytorch_model.bin", "training_args.bin"} & names
    logged = [entry["eval_nano_accuracy"] for entry in log_of(run.output) if "eval_nano_accuracy" in entry]
    assert logged == scores
    again = fit(model, data, run, scripted([]))
    assert again == chosen, "a finished run is not trained again"


def test_training_ends_when_nothing_gets_better(parts, config):
    model, data = parts
    run = small(config, early_stop=2)
    chosen = fit(model, data, run, scripted([0.1, 0.5, 0.4, 0.5]))
    assert chosen.name == "checkpoint-2"
    assert steps_of(run.output) == {"checkpoint-2", "checkpoint-4"}
    assert fit(model, data, run, scripted([])) == chosen
    patient = run.model_copy(update={"early_stop": 3})
    chosen = fit(model, data, patient, scripted([0.6, 0.1, 0.1, 0.1]))
    assert chosen.name == "checkpoint-5", "its patience counts what came before it was stopped"
    assert steps_of(run.output) == {"checkpoint-5", "checkpoint-8"}


def test_patience():
    log = [{"step": 1, "loss": 1.0}, *({"step": step, "eval_loss": 1.0} for step in (1, 2, 3))]
    state = {"best_global_step": 1, "log_history": log}
    assert [is_out_of_patience(state, patience) for patience in (1, 2, 3, None)] == [True, True, False, False]


def test_the_best_weights_become_the_model(config, monkeypatch):
    scores = scripted([0.1, 0.9, 0.2])
    monkeypatch.setattr(trainer, "_benchmark", lambda run: scores)
    output = train(config(max_steps=3, save_steps=1)).parent
    at = output / "checkpoints"
    assert best(at / "checkpoint-3") == at / "checkpoint-2"
    model = load_file(output / "model" / "adapter.safetensors")
    kept, last = (load_file(at / name / "adapter.safetensors") for name in ("checkpoint-2", "checkpoint-3"))
    assert all(torch.equal(weight, kept[name]) for name, weight in model.items())
    assert not all(torch.equal(weight, last[name]) for name, weight in model.items())
    assert "- 2 steps from a fresh adapter" in (output / "model" / "README.md").read_text()


def test_a_checkpoint_without_its_parts_does_not_count(config, whole, tmp_path):
    copy = shutil.copytree(whole / "checkpoints", tmp_path / "checkpoints")
    assert newest(copy).name == "checkpoint-10"
    (copy / "checkpoint-10" / "optimizer.pt").unlink()
    assert newest(copy).name == "checkpoint-8"
    assert state_of(copy / "checkpoint-8")["global_step"] == 8


def test_progress_tells_loss_and_speed(config, capsys, monkeypatch):
    monkeypatch.setattr(fitting.Progress.__init__, "__kwdefaults__", {"line_every": 0.0, "done": 0})
    train(config(max_steps=3))
    err = capsys.readouterr().err
    assert re.search(
        r"training the adapter: 2/3 \(66 %\), about 0:0\d left, loss \d+\.\d{3}, [\d,]+ tokens/s", err
    ), err


def events_of(folder):
    """(step, name, value) of every scalar in event files: records of length, checksum, content, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += length + 16
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield event.step, value.tag, value.simple_value


def test_figures_for_tensorboard(config):
    output = train(config(report_to=["tensorboard"], max_steps=4, save_steps=2)).parent
    events = list(events_of(output / "tensorboard"))
    losses = [(step, value) for step, name, value in events if name == "train/loss"]
    assert losses == [(entry["step"], pytest.approx(entry["loss"])) for entry in log_of(output)]
    assert all(value > 0 for _, name, value in events if name == "train/tokens_per_second")
    passes = [value for _, name, value in events if name == "train/epoch"][:4]
    assert passes == pytest.approx([3 / 8, 6 / 8, 9 / 8, 12 / 8])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"early_stop": 2}, r"^run\.early_stop needs figures to go by: set data\.validation or run\.evaluate$"),
        ({"fsdp": True, "evaluate": "nano"}, r"^run\.evaluate needs a whole model on each GPU, and run\.fsdp shares it; leave one"),
        ({"fsdp": True, "data": {"cache_taps": "first_epoch"}}, r"^data\.cache_taps=first_epoch encodes clips between steps, where run\.fsdp has no whole encoder; give data\.cache_taps=true$"),
        ({"report_to": ["wandb"]}, r"^run\.report_to names wandb, which is not installed: pip install 'desta2\[wandb\]'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_weights_load(config, monkeypatch, options, message):
    monkeypatch.setattr(trainer, "build_model", lambda _: pytest.fail("weights were loaded"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=message):
        train(config(**options))
