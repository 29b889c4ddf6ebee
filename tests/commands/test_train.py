"""The verb train, dry: words, JSON, and mistakes. The run itself is in test_model.py."""

import pytest


@pytest.fixture
def run_file(tmp_path, bases):
    (tmp_path / "run.yaml").write_text(
        f"model: {{llm: {bases / 'llm'}, encoder: {bases / 'whisper'}, n_queries: 3, adapter_intermediate: 32}}\n"
        "data: {train: [pairs.jsonl]}\n"
        f"run: {{output: {tmp_path / 'out'}, max_steps: 20, batch_size: 2}}\n"
    )
    return tmp_path / "run.yaml"


def test_dry_run(tmp_path, run_file, cli, result, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = result("train", run_file, "--dry-run", "--devices", 4, "run.gradient_accumulation=3")
    assert {
        "llm", "encoder", "trainable_parameters", "frozen_parameters", "parameters", "tap_layers", "devices",
        "pairs", "validation_pairs", "clips", "pairs_per_step", "steps_per_epoch", "epochs", "steps", "warmup_steps",
        "tokens_per_pair", "longest_pair", "tokens_per_step", "tokens_per_epoch", "tokens", "tokens_from",
        "memory_bytes", "memory", "tap_cache_bytes", "tap_cache_bytes_per_clip", "notes",
    } == found.keys()  # fmt: skip
    assert (found["devices"], found["pairs_per_step"], found["steps"]) == (4, 24, 20)
    code, out, _ = cli("train", run_file, "--dry-run")
    assert code == 0
    assert f"trainable parameters {found['trainable_parameters']:,} (adapter " in out
    assert "steps                20 in unknown epochs of unknown, 2 of them warm-up" in out
    assert "a step               2 pairs on 1 device, unknown tokens" in out
    assert (
        out.splitlines()[-2]
        == "note: data.train: pairs.jsonl is not there, so pairs and tokens are not known"
    )
    assert not (tmp_path / "out").exists()


def test_devices_of_the_launcher(run_file, result, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert result("train", run_file, "--dry-run")["devices"] == 8


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--dry-run", "model.tap_layers=[9]"], "model.tap_layers is [9]; it must name layers from -1"),
        (["--dry-run", "run.lerning_rate=1"], "did you mean 'run.learning_rate'?"),
        (["--devices", "2"], "--devices is for --dry-run"),
        (["--dry-run", "--devices", "0"], "Invalid value for '--devices'"),
    ],
)
def test_mistakes(run_file, mistake, argv, line):
    assert line in mistake("train", run_file, *argv)


def test_what_is_impossible_fails_before_a_weight_loads(run_file, mistake, monkeypatch):
    monkeypatch.setattr("desta2.train.trainer.build_model", lambda _: pytest.fail("weights were read"))
    assert "model.adapter_heads is 3; it must divide" in mistake("train", run_file, "model.adapter_heads=3")
