"""The plan of a run: from config files alone, right where it can be compared, and honest where it cannot know."""

import json
import re
from pathlib import Path

import pytest
from transformers import Qwen3Config

from desta2.config import load_config
from desta2.model.modeling import Desta2Model
from desta2.train import arguments
from desta2.train.blueprint import draw
from desta2.train.config import TrainConfig
from desta2.train.plan import plan
from desta2.train.trainer import build_model, train

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("recipe", "encoder", "trained"),
    [("desta2-llama3-8b", "small", 22_251_776), ("desta2.5-llama3.1-8b", "large", 131_540_224)],
)
def test_published_recipes_have_the_published_numbers(shapes, recipe, encoder, trained):
    file = RECIPES / f"{recipe}.yaml"
    overrides = [f"model.llm={shapes / 'llama'}", f"model.encoder={shapes / encoder}", "data.train=[gone]"]
    found = plan(load_config(file, TrainConfig, overrides), devices=8)
    assert found.trainable_parameters == trained
    assert found.parameters["llm"] == 8_030_261_248
    assert found.frozen_parameters == found.parameters["llm"] + found.parameters["encoder"]
    assert found.memory["llm"] == 2 * 8_030_261_248
    assert found.memory["trained"] == 16 * trained
    assert (found.pairs, found.steps, found.tokens, found.tokens_per_step) == (None, None, None, None)
    assert found.notes[0] == "data.train: gone is not there, so pairs and tokens are not known"
    assert "memory is for rows of 512 positions, 256 of them with labels: assumed" in found.notes
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_blueprint_has_the_weights_of_the_model(plain):
    run = plain(model={"lora": {"r": 2}})
    drawn, built = draw(run.model), build_model(run.model)
    for part in ("adapter", "llm", "whisper"):
        expected = {name: weight.shape for name, weight in getattr(built, part).named_parameters()}
        assert {name: w.shape for name, w in getattr(drawn, part).named_parameters()} == expected, part
    ours, theirs = drawn.config.to_dict(), built.config.to_dict()
    measured = {"llm_fingerprint", "encoder_fingerprint", "llm_embedding_std", "output_scale"}
    assert {key for key in theirs if ours[key] != theirs[key]} <= measured
    found = plan(run)
    assert found.trainable_parameters == sum(w.numel() for w in built.parameters() if w.requires_grad)
    assert found.frozen_parameters == sum(w.numel() for w in built.parameters() if not w.requires_grad)
    assert found.parameters["lora"] > 0
    assert not any(w.is_meta for w in built.parameters())


@pytest.mark.parametrize(
    ("options", "devices", "steps", "per_epoch", "warmup"),
    [
        ({"epochs": 1}, 1, 3, 2.67, 0),
        ({"epochs": 30}, 1, 80, 2.67, 8),
        ({"epochs": 30, "warmup_steps": 5}, 1, 80, 2.67, 5),
        ({"epochs": 3, "gradient_accumulation": 2}, 2, 2, 0.67, 0),
        ({"max_steps": 6}, 1, 6, 2.67, 0),
    ],
)
def test_steps_are_those_of_the_run(plain, options, devices, steps, per_epoch, warmup):
    """8 pairs in batches of three; all steps have one size, and the last pass is finished."""
    found = plan(plain(**options), devices)
    assert (found.steps, found.steps_per_epoch, found.warmup_steps) == (steps, per_epoch, warmup)
    run = plain(**options).run
    assert steps == arguments.total_steps(run, 8, devices)
    assert found.tokens == pytest.approx(steps * found.pairs_per_step * found.tokens_per_epoch / 8, abs=1)


def test_max_steps_go_before_epochs(plain):
    assert plan(plain(max_steps=6)).epochs == 2.25
    gone = {"train": ["gone"]}
    assert (plan(plain(max_steps=6, data=gone)).steps, plan(plain(data=gone)).steps) == (6, None)


def test_a_run_does_the_steps_and_tokens_of_its_plan(
    plain, pairs, make_pair, write_pairs, tmp_path, monkeypatch
):
    """The batches that reach the model in two passes of six pairs, counted."""
    rows = [
        make_pair(f"p{i}", str(pairs.parent / "audio" / f"{i}.wav"), response="It is loud. " * i or "No.")
        for i in range(6)
    ]
    own = write_pairs(tmp_path / "own.jsonl", rows)
    run = plain(data={"train": [own]}, epochs=2, batch_size=2, gradient_accumulation=2, report_to=[])
    planned, seen = plan(run), []
    forward = Desta2Model.forward

    def count(self, input_ids, attention_mask=None, **rest):
        seen.append(int(attention_mask.sum()))
        return forward(self, input_ids, attention_mask, **rest)

    monkeypatch.setattr(Desta2Model, "forward", count)
    output = train(run).parent
    assert planned.steps == 3 and (output / "checkpoints" / "checkpoint-3").is_dir()
    assert len(seen) == 3 * 2, "a batch reaches the model once for each accumulation"
    assert (planned.tokens, planned.tokens_per_step) == (sum(seen), round(sum(seen) / 3))


def test_the_cache_on_disk(plain):
    """4 taps × 50 frames × width 16 × 2 bytes a clip."""
    without, cached = plan(plain()), plan(plain(data={"cache_taps": True}))
    assert (without.tap_cache_bytes, without.tap_cache_bytes_per_clip) == (0, 6400)
    assert (cached.tap_cache_bytes, cached.tap_cache_bytes_per_clip) == (8 * 6400, 6400)
    assert without.memory["encoder_pass"] == 3 * (4 + 1 + 4) * 50 * 16 * 4
    assert cached.memory["encoder_pass"] == 0
    ahead = plan(plain(data={"cache_taps": "first_epoch"}))
    assert ahead.memory == without.memory, "the encoder runs in the steps of the first epoch"


def test_a_thinking_llm_of_another_family(shapes, tmp_path):
    """Heads that do not follow from the width, norms on queries and keys, tied embeddings: nothing asks for a name."""
    Qwen3Config(
        hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16, head_dim=128,
        num_key_value_heads=8, vocab_size=151936, tie_word_embeddings=True, dtype="bfloat16",
    ).save_pretrained(tmp_path)  # fmt: skip
    file = RECIPES / "qwen3-0.6b.yaml"
    overrides = [f"model.llm={tmp_path}", f"model.encoder={shapes / 'small'}"]
    found = plan(load_config(file, TrainConfig, overrides))
    assert found.parameters["llm"] == 596_049_920, "tied embeddings count once"
    assert found.memory["activations"] > 0
    assert not re.search("cannot be run", " ".join(found.notes))
