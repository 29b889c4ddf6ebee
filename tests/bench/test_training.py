"""The benchmark of training, at a size that says nothing about speed."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "training.py"


@pytest.fixture
def bench(monkeypatch):
    """`bench(name)`: a module of the folder of benchmarks."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return importlib.import_module


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_measures_steps_and_their_parts(tmp_path):
    argv = ["--sizes", "smoke", "--frames", "speech", "--repeats", "1", "--threads", "1", "--json"]
    ran = subprocess.run([sys.executable, SCRIPT, *argv], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    first, cached = json.loads(ran.stdout)["cases"]
    assert (first["cached"], cached["cached"]) == (False, True)
    parts = {"q_former", "llm", "backward_llm", "backward_q_former", "optimizer"}
    alone = {"step", "floor", "one float32 encoder pass"}
    assert first["seconds"].keys() == {"encoder"} | parts | alone
    assert cached["seconds"].keys() == parts | alone, "cached steps do not run the encoder"
    for case in (first, cached):
        seconds = case["seconds"]
        assert all(found > 0 for found in seconds.values())
        assert sum(seconds.get(part, 0) for part in parts | {"encoder"}) <= seconds["step"]
        assert 0 < case["imports_gb"] < case["peak_gb"] < 4
        assert 0 < case["utilisation"] < 1
        assert case["met"] == {}, "nothing is wanted of this size"


def test_rows_are_those_of_the_issue(bench):
    settings, sizes = bench("training_setting"), bench("random_models").SIZES
    batch = settings.batch_of(settings.Setting(sizes["smoke"], cached=True, frames="speech"))
    assert batch["input_ids"].shape == (4, 249)
    assert (batch["labels"] != -100).sum(1).tolist() == [96] * 4
    assert batch["taps"].shape == (2, 4, 250, 16), "both layers, 5 s"
    whole = settings.batch_of(settings.Setting(sizes["smoke"], cached=True))
    assert whole["taps"].shape[2] == 1500


def test_operations_of_the_floor_are_those_that_torch_counts(bench, tmp_path):
    from torch.utils.flop_counter import FlopCounterMode

    step, settings = bench("training_step"), bench("training_setting")
    setting = settings.Setting(bench("random_models").SIZES["smoke"], cached=True, batch=2)
    settings.write_bases(setting.size, tmp_path)
    model = settings.made(setting, tmp_path)
    model.llm.set_attn_implementation("eager")  # whose products the counter knows
    with FlopCounterMode(display=False) as counter:
        step._floor(model, settings.batch_of(setting), setting)()
    assert step._floor_flops(model, setting) == pytest.approx(counter.get_total_flops(), rel=0.01)


def case(size="small", cached=True, step=2.0, encoder_pass=2.16, peak_gb=3.0, **more):
    seconds = {"step": step, "floor": 1.6, "one float32 encoder pass": encoder_pass}
    made = {"size": size, "cached": cached, "frames": "speech", "batch": 4, "encoder_dtype": "float32"}
    rates = {"floor_flops": 1e11, "matmul_flops_per_s": 1e11}
    return {**made, "seconds": seconds, "peak_gb": peak_gb, "imports_gb": 0.3, **rates, **more}


def test_published_figures_are_carried_by_the_encoder_pass(bench):
    found = bench("training").judged(case(encoder_pass=4.32))
    assert found["published_here"] == pytest.approx(2 * 18.92)
    assert found["times_as_fast"] == pytest.approx(18.92)
    assert found["of_published_memory"] == pytest.approx(3.0 / 7.4)
    assert found["of_floor"] == pytest.approx(1.25)
    assert found["utilisation"] == pytest.approx(0.5)
    assert found["samples_per_s"] == pytest.approx(2)


@pytest.mark.parametrize(
    ("given", "met"),
    [
        ({"step": 3.15}, {"times_as_fast": True, "of_published_memory": True}),
        ({"step": 3.16, "peak_gb": 3.8}, {"times_as_fast": False, "of_published_memory": False}),
        ({"cached": False, "step": 11.82}, {"times_as_fast": True}),
        ({"cached": False, "step": 11.83}, {"times_as_fast": False}),
        ({"cached": False, "step": 7.6, "encoder_dtype": "bfloat16"}, {"times_as_fast": False}),
        ({"size": "tiny", "cached": False, "step": 3.0, "encoder_pass": 0.285}, {"times_as_fast": True}),
        ({"batch": 8}, {}),
        ({"size": "llama3-8b", "step": 1.9}, {"utilisation": True}),
        ({"size": "llama3-8b", "step": 2.1}, {"utilisation": False}),
    ],
)
def test_what_is_wanted(bench, given, met):
    assert bench("training").judged(case(**given))["met"] == met


def test_the_table_shows_what_was_missed(bench):
    training = bench("training")
    cases = [training.judged(case(step=4.0)), training.judged(case(size="smoke", cached=False))]
    result = {"machine": {"CPU": "Z80", "threads": 2}, "repeats": 5, "cases": cases}
    head, _, _, _, known, smoke = training.table(result).splitlines()
    assert head == "CPU Z80, threads 2; medians of 5 steps"
    assert known.startswith("| small, cached, speech, 4 | 4.00 | 0.00 +")
    assert (
        "| 18.92 | 4.73 (missed) | 1.60 | 2.50 | 3.00 (0.30 imports) | 41% (as wanted) | 1.00 | 25% |"
        in known
    )
    assert smoke.startswith("| smoke, first, speech, 4 | 2.00 |")


def test_the_sweep_varies_one_thing_at_a_time_and_draws_it(bench, monkeypatch, tmp_path):
    sweep = bench("training_sweep")
    calls = []

    def measured(setting, repeats, threads):
        calls.append(setting)
        return {"seconds": {"step": 2.0 + setting.layers, "floor": 1.0}}

    monkeypatch.setattr(bench("training_step"), "measure_apart", measured)
    points = sweep.measured("small", 1, 1)
    assert len(calls) == len(set(calls)) < len(points), "what panels share is measured once"
    assert {setting.size.llm_width for setting in calls} == {192, 576, 768, 960}
    for panel, (_, values) in sweep.PANELS.items():
        own = [point for point in points if point["panel"] == panel]
        assert [point["value"] for point in own if point["frames"] == "all"] == list(values)
        assert len(own) == 2 * len(values)
    sweep.plot(points, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    assert "| Q-Former layers | 2 | speech | 4.00 | 1.00 |" in sweep.table({"points": points})


def test_llms_of_the_sweep_can_be_built(bench):
    sweep, models = bench("training_sweep"), bench("random_models")
    for width, layers in sweep.LLMS.values():
        config = models.llm_config(sweep._with_llm(models.SIZES["small"], width, layers))
        assert config.hidden_size % config.num_attention_heads == 0
        assert config.num_attention_heads % config.num_key_value_heads == 0
    known = sweep._with_llm(models.SIZES["small"], *sweep.LLMS["576 × 12"])
    assert known == models.SIZES["small"], "the LLM of the other measurements"
