"""Several processes, and batches divided otherwise: the same losses, gradients and weights."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from launched import finish, said, start, together, wait_for, write_config
from safetensors.torch import load_file

from desta2.errors import ConfigError
from desta2.train import trainer
from desta2.train.checkpoints import newest
from desta2.train.trainer import train


@pytest.fixture(scope="module")
def uneven(tmp_path_factory, write_clip, make_pair, write_pairs):
    """Eleven pairs whose responses have one to eleven words, some with two clips."""
    folder = tmp_path_factory.mktemp("uneven")
    rows = []
    for i in range(11):
        write_clip(folder / f"{i}.wav", i)
        clips = [f"{i}.wav", "0.wav"] if i % 4 == 3 else [f"{i}.wav"]
        rows.append(make_pair(f"p{i}", *clips, response=" ".join(["loud"] * (i + 1))))
    return write_pairs(folder / "pairs.jsonl", rows)


@pytest.fixture(scope="module")
def run(make_config, uneven, tmp_path_factory):
    """`run(batch, accumulation, processes, **run)`: trains four examples a step; → what is logged, and gradients.

    Adam's first moment after the first step is the gradient, but for a factor.
    """

    def make(
        batch,
        accumulation=1,
        processes=1,
        steps=1,
        prepare=None,
        model=None,
        data=None,
        output=None,
        **options,
    ):
        output = output or tmp_path_factory.mktemp("run") / "out"
        options = {"save_steps": 100, **options}
        config = make_config(
            output, model={"adapter_dropout": 0.0, **(model or {})},
            data={"train": [uneven], "cache_taps": False, **(data or {})},
            max_steps=steps, batch_size=batch, gradient_accumulation=accumulation, **options,
        )  # fmt: skip
        file = write_config(config, output.parent)
        if processes > 1:
            assert finish(*together(file, processes, prepare)) == [0] * processes, said(file)
        else:
            train(config)
        log = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        state = torch.load(newest(output / "checkpoints") / "optimizer.pt", weights_only=True)["state"]
        return output, log, {name: values["exp_avg"] for name, values in state.items()}

    return make


def assert_alike(one, other, tolerance):
    (_, log, gradients), (_, other_log, other_gradients) = one, other
    for entry, same in zip(log, other_log, strict=True):
        assert entry["loss"] == pytest.approx(same["loss"], rel=tolerance)
        assert entry["grad_norm"] == pytest.approx(same["grad_norm"], rel=10 * tolerance)
    assert gradients.keys() == other_gradients.keys() != set()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, other_gradients[name], rtol=0, atol=1e-6, msg=name)


@pytest.fixture(scope="module")
def one_batch(run):
    return run(4)


@pytest.mark.parametrize(("batch", "accumulation", "processes"), [(2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2)])
def test_a_step_learns_the_same_however_it_is_divided(run, one_batch, batch, accumulation, processes):
    """Responses differ elevenfold in length: a mean of means would be far off."""
    assert_alike(run(batch, accumulation, processes), one_batch, 1e-6)


def test_a_run_of_two_processes_follows_that_of_one(run):
    """Over the end of a pass, too: eleven pairs are no whole number of steps. Weights are the same at the end."""
    options = {"steps": 6, "learning_rate": 1e-3}
    (one, log, _), (two, other_log, _) = run(4, **options), run(2, processes=2, **options)
    assert [entry["loss"] for entry in log] == pytest.approx([entry["loss"] for entry in other_log], rel=1e-4)
    assert log[0]["loss"] > 1.01 * log[-1]["loss"]
    weights, others = (load_file(output / "model" / "adapter.safetensors") for output in (one, two))
    for name, weight in weights.items():
        if not name.endswith("key.bias"):  # attention does not depend on these: noise, which Adam scales up
            torch.testing.assert_close(weight, others[name], rtol=0, atol=2e-5, msg=name)
    names = {path.name for path in newest(two / "checkpoints").iterdir()}
    assert {"adapter.safetensors", "rng_state_0.pth", "rng_state_1.pth", "optimizer.pt"} <= names
    assert not {"model.safetensors", "pytorch_model.bin"} & names
    assert "4 × 1 pairs a step" in (one / "model" / "README.md").read_text()
    assert "2 × 1 × 2 pairs a step" in (two / "model" / "README.md").read_text()


@pytest.mark.parametrize("cache_taps", ["first_epoch", pytest.param(True, marks=pytest.mark.slow)])
def test_processes_share_a_cache(run, pairs, cache_taps):
    """With words that Whisper writes, groups by length, a set that counts double, and pairs held out."""
    sets = [{"path": str(pairs), "weight": 2.0}]
    data = {
        "train": sets, "audio_root": pairs.parent, "validation": 0.5, "cache_taps": cache_taps,
        "group_by_length": True, "max_tokens": 500, "transcript_dropout": 0.3,
    }  # fmt: skip
    options = {"steps": 4, "learning_rate": 1e-3, "save_steps": 2, "data": data}
    (one, log, _), (two, other_log, _) = run(4, **options), run(2, processes=2, **options)
    for key in ("loss", "eval_loss"):
        figures = [[entry[key] for entry in own if key in entry] for own in (log, other_log)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-4) and figures[0], key
    kept = [
        {json.loads(line)["key"] for file in (output / "taps").rglob("*.index.jsonl") for line in file.open()}
        for output in (one, two)
    ]
    assert kept[0] == kept[1] and len(kept[0]) == 8
    assert said(two.parent / "run.yaml").count("NOT SELF-GENERATED") == 1, "one process speaks for all"


@pytest.mark.slow
def test_features_are_made_by_several_processes(make_config, pairs, tmp_path):
    file = write_config(make_config(tmp_path / "out", data={"audio_root": pairs.parent}), tmp_path)
    assert finish(*together(file, verb="features")) == [0, 0], said(file)
    assert said(file, ".out").startswith(f"{tmp_path / 'out' / 'taps'}: 8 clips, ")
    assert said(file, ".out").count("\n") == 1, "one process speaks for all"
    assert finish(start(file, verb="features")) == [0]
    assert said(file, ".out").splitlines()[1].startswith(f"{tmp_path / 'out' / 'taps'}: 8 clips, 0 heard now")


def test_a_signal_to_one_process_stops_all_after_the_same_step(make_config, uneven, tmp_path):
    """And what was begun by two goes on with one, where it stood."""
    options = {"data": {"train": [uneven], "cache_taps": False}, "save_steps": 1000, "max_steps": 40}
    file = write_config(make_config(tmp_path / "out", batch_size=1, **options), tmp_path)
    first, second = together(file)
    log = tmp_path / "out" / "log.jsonl"
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) >= 3, second)
    os.kill(second.pid, signal.SIGTERM)
    assert finish(first, second) == [143, 143], said(file)
    step = int(newest(tmp_path / "out" / "checkpoints").name.rpartition("-")[2])
    lines = log.read_text().splitlines()
    assert len(lines) == step < 40
    longer = make_config(tmp_path / "out", batch_size=2, **{**options, "max_steps": step + 2})
    assert finish(start(write_config(longer, tmp_path))) == [0], said(file)
    assert log.read_text().splitlines()[:step] == lines and len(log.read_text().splitlines()) == step + 2


def test_fsdp_needs_several_gpus(config, make_config, tmp_path):
    one = (
        r"^run\.fsdp shares the frozen models among processes, and there is one; start several with 'torchrun"
    )
    with pytest.raises(ConfigError, match=one):
        train(config(fsdp=True))
    file = write_config(make_config(tmp_path / "out", fsdp=True), tmp_path)
    assert finish(*together(file)) == [2, 2]
    assert "error: run.fsdp needs GPUs: accelerate does not shard on CPUs; leave run.fsdp out" in said(file)


def pretend_devices():
    """Has accelerate take CPU processes for devices of their own, so that it shards among them over gloo."""
    import torch.distributed as dist
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType
    from torch.distributed.tensor import DTensor

    from desta2.train import checkpoints

    gather = checkpoints.gather_weights

    def gather_shards(model):
        for name, tensor in model.state_dict(keep_vars=True).items():
            if isinstance(tensor, torch.nn.Parameter):
                assert isinstance(tensor, DTensor) and tensor.placements[0].is_shard(), name
        sys.stderr.write("gathered from shards\n")
        return gather(model)

    checkpoints.gather_weights = gather_shards

    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_XPU)
    dist.init_process_group("gloo")


@pytest.mark.parametrize("lora", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_sharded_training_is_that_of_one_process(run, lora):
    """FSDP proper runs on GPUs only; here its code runs on two CPUs."""
    model = {}
    if lora:
        pytest.importorskip("peft")
        model = {"lora": {"r": 2}}
    one = run(4, model=model)
    sharded = run(2, processes=2, prepare=pretend_devices, fsdp=True, model=model)
    assert said(sharded[0].parent / "run.yaml").count("gathered from shards") == 2
    assert_alike(one, sharded, 1e-5)
    assert any("lora_" in name for name in sharded[2]) == lora
    names = {path.name for path in newest(sharded[0] / "checkpoints").iterdir()}
    assert "adapter.safetensors" in names and ("lora" in names) == lora
    assert not any("fsdp" in name or name.startswith(("model", "pytorch_model")) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("first", ["one", "sharded"])
def test_a_run_may_become_sharded_and_back(run, make_config, uneven, first):
    """Half of it in one process, half sharded: as if it had been one process all along."""
    kinds = {
        "one": {"batch": 4},
        "sharded": {"batch": 2, "processes": 2, "prepare": pretend_devices, "fsdp": True},
    }
    second = "sharded" if first == "one" else "one"
    options = {"steps": 6, "learning_rate": 1e-3}
    whole = run(**kinds["one"], **options)[1]
    output = run(**kinds[first], save_steps=3, **options)[0]
    shutil.rmtree(output / "checkpoints" / "checkpoint-6")
    shutil.rmtree(output / "model")
    mixed = run(**kinds[second], output=output, **options)[1]
    assert [entry["loss"] for entry in mixed] == pytest.approx([entry["loss"] for entry in whole], rel=1e-4)
    assert [e["learning_rate"] for e in mixed] == [e["learning_rate"] for e in whole]


def validating():
    """Has the pairs of training measured as if they were kept for validation."""
    whole = trainer.fit
    trainer.fit = lambda model, data, *rest: whole(model, replace(data, validation=data.train), *rest)


def validating_on_devices():
    pretend_devices()
    validating()


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [validating, validating_on_devices])
def test_processes_measure_the_validation_loss_of_one(run, monkeypatch, prepare):
    """Eleven pairs in batches of two for two processes: the last round has one for the first, none for the other."""
    several = run(2, processes=2, prepare=prepare, fsdp=prepare is validating_on_devices)
    monkeypatch.setattr(trainer, "fit", trainer.fit)  # put back afterwards
    validating()
    one = run(4)
    losses = [[entry["eval_loss"] for entry in log if "eval_loss" in entry] for _, log, _ in (one, several)]
    assert len(losses[0]) == 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow
def test_torchrun_starts_it(run, make_config, uneven, tmp_path):
    """As a user would: two processes, started by torchrun."""
    config = make_config(
        tmp_path / "out", model={"adapter_dropout": 0.0}, data={"train": [uneven], "cache_taps": False},
        max_steps=1, batch_size=2, save_steps=100,
    )  # fmt: skip
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "desta2",
        "train", str(write_config(config, tmp_path)),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained adapter") == 1
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    [entry], [same] = log, run(4)[1]
    assert entry["loss"] == pytest.approx(same["loss"], rel=1e-6)
