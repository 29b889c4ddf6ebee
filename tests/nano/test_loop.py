import json
import math
import os
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from desta2.nano.loop import LoopRecipe, _optimizer, fit

STEPS = 20
EVERY_STEP = -1.0  # seconds between checkpoints
NEVER = 1e9


def make_model():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 1))


def batch_at(step):
    return torch.randn(8, 4, generator=torch.Generator().manual_seed(step))


def train(folder, stop=None, save_seconds=EVERY_STEP, model=None, before=None, **options):
    """Train for STEPS steps, or to an interruption at step `stop`. The loss draws random numbers."""
    model = model or make_model()

    def batch(step):
        if before is not None:
            before(step)
        if step == stop:
            raise KeyboardInterrupt
        return batch_at(step)

    def loss(rows, progress):
        target = rows.sum(1, keepdim=True) + progress
        return ((model(rows) - target) ** 2).mean() + 0.1 * torch.rand(()) * model[0].weight.square().sum()

    recipe = LoopRecipe(
        steps=STEPS,
        learning_rate=0.05,
        warmup=3,
        save_seconds=save_seconds,
        log_every=options.pop("log_every", 4),
    )
    fit(model, batch, loss, recipe, folder, "linear", **options)
    return model


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same_weights(one, two):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, two.state_dict()[name]), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its folder and its model."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


@pytest.mark.parametrize(
    ("stop", "save_seconds"), [(10, EVERY_STEP), (19, EVERY_STEP), (1, EVERY_STEP), (10, NEVER)]
)
def test_stopped_and_continued_gives_the_weights_of_an_uninterrupted_run(tmp_path, whole, stop, save_seconds):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop, save_seconds)
    assert (tmp_path / "state.pt").exists() == (save_seconds == EVERY_STEP)
    if save_seconds == EVERY_STEP:
        torch.manual_seed(99)  # another process has other random numbers, and other weights to start from
        continued = train(tmp_path, model=nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.3), nn.Linear(6, 1)))
    else:
        continued = train(tmp_path)
    assert_same_weights(continued, whole[1])
    assert [entry["step"] for entry in log(tmp_path)] == [4, 8, 12, 16, 20]


def test_it_learns_and_its_log_tells(whole):
    entries = log(whole[0])
    assert [entry["step"] for entry in entries] == [4, 8, 12, 16, 20]
    assert entries[-1]["loss"] < 0.5 * entries[0]["loss"]
    assert all(set(entry) == {"step", "loss", "lr", "seconds"} for entry in entries)
    rate = LoopRecipe(steps=STEPS, learning_rate=0.05, warmup=3).rate
    assert [entry["lr"] for entry in entries] == [rate(entry["step"] - 1) for entry in entries]


def test_steps_after_the_checkpoint_are_logged_once(tmp_path, whole):
    """Killed at step 15, with a checkpoint of step 7, while a line was being written."""
    state = tmp_path / "state.pt"

    def keep(step):
        if step == 7:
            shutil.copy(state, tmp_path / "old.pt")

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop=15, before=keep, log_every=1)
    os.replace(tmp_path / "old.pt", state)
    with (tmp_path / "log.jsonl").open("a") as lines:
        lines.write('{"step": 16, "lo')
    assert_same_weights(train(tmp_path, log_every=1), whole[1])
    assert [entry["step"] for entry in log(tmp_path)] == list(range(1, STEPS + 1))


def test_a_run_stopped_before_its_first_checkpoint_leaves_no_trace_in_the_log(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop=10, save_seconds=NEVER)
    assert [entry["step"] for entry in log(tmp_path)] == [4, 8]
    train(tmp_path)
    assert [entry["step"] for entry in log(tmp_path)] == [4, 8, 12, 16, 20]


def test_a_finished_run_is_not_trained_again(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "copy")
    before = (tmp_path / "copy" / "log.jsonl").read_bytes()

    def never(step):
        pytest.fail(f"step {step} was asked for")

    assert_same_weights(train(tmp_path / "copy", before=never), whole[1])
    assert (tmp_path / "copy" / "log.jsonl").read_bytes() == before


def test_evaluation_comes_at_its_steps_and_at_the_end_without_dropout_or_gradients(tmp_path):
    model = make_model()
    seen = []

    def evaluate():
        seen.append((model.training, torch.is_grad_enabled()))
        return {"score": 0.5}

    train(tmp_path, model=model, evaluate=evaluate, evaluate_every=8)
    assert seen == [(False, False)] * 3
    assert [entry for entry in log(tmp_path) if "score" in entry] == [
        {"step": s, "score": 0.5} for s in (8, 16, 20)
    ]
    assert not model.training


def test_evaluation_does_not_change_the_weights(tmp_path, whole):
    assert_same_weights(train(tmp_path, evaluate=dict, evaluate_every=3), whole[1])


@given(
    steps=st.integers(2, 5_000), warmup=st.integers(1, 500), peak=st.floats(1e-5, 1e-1)
)  # fmt: skip
def test_rate_rises_in_a_line_then_falls_along_a_cosine_to_a_twentieth(steps, warmup, peak):
    recipe = LoopRecipe(steps=warmup + steps, learning_rate=peak, warmup=warmup)
    assert recipe.rate(0) == pytest.approx(peak / warmup)
    assert recipe.rate(warmup - 1) == pytest.approx(peak)
    assert recipe.rate(warmup) == pytest.approx(peak)
    half = peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (steps // 2) / steps)))
    assert recipe.rate(warmup + steps // 2) == pytest.approx(half)
    assert recipe.rate(warmup + steps) == pytest.approx(peak / 20)
    assert recipe.rate(warmup + steps + 10) == pytest.approx(peak / 20)
    rates = [recipe.rate(warmup + step) for step in range(0, steps, max(1, steps // 50))]
    assert rates == sorted(rates, reverse=True)


def test_only_matrices_decay():
    model = make_model()
    model[2].bias.requires_grad_(False)
    groups = _optimizer(model, LoopRecipe(steps=1, weight_decay=0.5)).param_groups
    assert [(group["weight_decay"], [p.ndim for p in group["params"]]) for group in groups] == [
        (0.5, [2, 2]),
        (0.0, [1]),
    ]
