"""The estimate of memory: what autograd keeps is what it keeps in a real step."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from desta2.config import load_config
from desta2.model.adapter import Adapter
from desta2.train import memory
from desta2.train.blueprint import draw
from desta2.train.config import TrainConfig
from desta2.train.memory import Row, kept_by_autograd
from desta2.train.plan import plan
from desta2.train.trainer import build_model

RECIPES = Path(__file__).parents[2] / "recipes"


def test_activations_of_a_llama_follow_the_formula_of_the_docs(shapes):
    """8 d + b (2 q + 2 v + 3 f) for each token and layer."""
    overrides = [f"model.llm={shapes / 'llama'}", f"model.encoder={shapes / 'small'}"]
    blueprint = draw(load_config(RECIPES / "desta2-llama3-8b.yaml", TrainConfig, overrides).model)
    one, two = (memory._kept_in_a_row(blueprint, Row(length, 100, 1), bf16=True) for length in (264, 364))
    formula = 32 * (8 * 4096 + 2 * (2 * 4096 + 2 * 4096 + 3 * 14336))
    assert (two - one) / 100 == pytest.approx(formula, rel=0.05)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_autograd_keeps_is_what_it_keeps_on_a_real_device(plain, dtype, bf16):
    """The same hooks around a real step, under torch's own autocast."""
    run = plain(model={"dtype": dtype})
    model = build_model(run.model).train()
    taps = torch.randn(4, 1, 50, 16)
    text = torch.randn(1, 30, 24).to(model.llm.dtype)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            vectors = model.adapter(taps).to(model.llm.dtype)
            model.llm.base_model(inputs_embeds=torch.cat([vectors, text], dim=1), use_cache=False)

    real = kept_by_autograd(step, model.adapter, model.llm)
    counted = memory._kept_in_a_row(draw(run.model), Row(33, 10, 1), bf16)
    assert counted == pytest.approx(real, rel=0.05)


def test_layers_computed_anew_keep_their_inputs_and_one_of_them(plain):
    blueprint = draw(plain().model)
    layers = len(blueprint.llm.model.layers)
    assert layers > 1

    def kept(positions, anew):
        return memory._kept_in_a_row(blueprint, Row(positions, 10, 1), False, anew)

    whole, anew = (kept(133, mode) - kept(33, mode) for mode in (False, True))
    of_inputs = 100 * layers * blueprint.config.d_llm * 4
    assert anew - of_inputs == pytest.approx(whole / layers, rel=0.01)


def test_frames_of_speech_take_their_part_of_the_window(plain):
    blueprint = draw(plain(model={"encoder_frames": "speech"}).model)
    window = blueprint.window_frames
    unknown, whole, half, quarter = (
        memory._kept_in_a_row(blueprint, Row(33, 10, 1, frames), False)
        for frames in (None, window, window // 2, window // 4)
    )
    assert unknown == whole
    assert (whole - half) / (half - quarter) == pytest.approx(
        (window - window // 2) / (window // 2 - window // 4)
    )


def test_the_peak_is_in_the_encoder_or_behind_it():
    parts = {"llm": 1, "encoder": 2, "trained": 4, "encoder_pass": 8, "activations": 16, "logits": 32}
    assert memory.in_all(parts) == 7 + 48
    assert memory.in_all(parts | {"encoder_pass": 64}) == 7 + 64
    assert memory.in_all(parts | {"activations": None}) is None


def test_shared_weights(plain):
    alone, shared = (plan(plain(fsdp=fsdp), devices=2).memory for fsdp in (False, True))
    for part in ("llm", "encoder", "trained"):
        assert shared[part] == alone[part] // 2
    assert shared["activations"] == alone["activations"]


@pytest.mark.parametrize(
    ("stored", "asked", "itemsize"),
    [("float32", None, 4), ("bfloat16", None, 2), ("float16", None, 4), ("float32", "bfloat16", 2)],
)
def test_the_type_of_weights(plain, bases, tmp_path, stored, asked, itemsize):
    """As `bases.load` has it; a type that is stored as float16 is made float32 on a CPU."""
    folder = shutil.copytree(bases / "llm", tmp_path / "llm")
    told = json.loads((folder / "config.json").read_text()) | {"dtype": stored}
    (folder / "config.json").write_text(json.dumps(told))
    run = plain(model={"llm": str(folder), "dtype": asked})
    found = plan(run)
    assert found.memory["llm"] == itemsize * found.parameters["llm"]
    assert build_model(run.model).llm.dtype.itemsize == itemsize


def test_activations_grow_with_rows(plain):
    one, two = plan(plain(batch_size=1)).memory, plan(plain(batch_size=2)).memory
    for part in ("activations", "logits", "encoder_pass"):
        assert two[part] == 2 * one[part] > 0
    assert one["llm"] == two["llm"]


def test_an_llm_that_cannot_run_without_weights(plain, monkeypatch):
    def refuse(*_):
        raise NotImplementedError("no values on meta")

    monkeypatch.setattr(Adapter, "forward", refuse)
    found = plan(plain())
    assert (found.memory["activations"], found.memory_bytes) == (None, None)
    assert (
        "this LLM cannot be run without weights by this transformers: its activations are not known"
        in found.notes
    )


def test_a_quantised_llm_is_smaller(plain):
    pytest.importorskip("bitsandbytes")
    whole = plan(plain()).memory["llm"]
    eight, four = (
        plan(plain(model={"quantization_config": {"quant_method": "bitsandbytes", key: True}})).memory["llm"]
        for key in ("load_in_8bit", "load_in_4bit")
    )
    assert four < eight < whole
