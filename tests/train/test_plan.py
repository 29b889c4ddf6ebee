"""The plan of a run: from config files alone, right where it can be compared, and honest where it cannot know."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, Qwen3Config, WhisperConfig

from desta2.config import load_config
from desta2.errors import CheckpointError, ConfigError
from desta2.model.adapter import Adapter
from desta2.model.modeling import Desta2Model
from desta2.train import arguments, memory
from desta2.train.blueprint import draw
from desta2.train.check import check_run
from desta2.train.config import TrainConfig
from desta2.train.dataset import read_pairs
from desta2.train.lengths import measure
from desta2.train.memory import kept_by_autograd
from desta2.train.plan import plan
from desta2.train.trainer import build_model, tokenise, train

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Folders with nothing but the `config.json` of models that the recipes name."""
    folder = tmp_path_factory.mktemp("shapes")
    llama = {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192, "dtype": "bfloat16",
    }  # fmt: skip
    LlamaConfig(**llama).save_pretrained(folder / "llama")
    for name, width, layers, heads, bins in (("small", 768, 12, 12, 80), ("large", 1280, 32, 20, 128)):
        WhisperConfig(
            d_model=width, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
            decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
            num_mel_bins=bins, vocab_size=51865,
        ).save_pretrained(folder / name)  # fmt: skip
    return folder


@pytest.fixture
def config(bases, pairs, tmp_path):
    """`config(model={…}, data={…}, **run)`: a run on the tiny models."""

    def make(model=None, data=None, **run):
        return TrainConfig.model_validate(
            {
                "model": {"llm": str(bases / "llm"), "encoder": str(bases / "whisper"), **SMALL, **(model or {})},
                "data": {"train": [pairs], **(data or {})},
                "run": {"output": tmp_path / "out", "batch_size": 3, **run},
            }
        )  # fmt: skip

    return make


# The published models


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
    assert "memory is for rows of 512 positions, 256 of them with labels: an assumption" in found.notes
    json.dumps(found.to_dict(), allow_nan=False)


def test_activations_of_a_llama_follow_the_formula_of_the_docs(shapes):
    """8 d + b (2 q + 2 v + 3 f) for each token and layer."""
    overrides = [f"model.llm={shapes / 'llama'}", f"model.encoder={shapes / 'small'}"]
    blueprint = draw(load_config(RECIPES / "desta2-llama3-8b.yaml", TrainConfig, overrides).model)
    one, two = (memory._kept_in_a_row(blueprint, length, bf16=True) for length in (264, 364))
    formula = 32 * (8 * 4096 + 2 * (2 * 4096 + 2 * 4096 + 3 * 14336))
    assert (two - one) / 100 == pytest.approx(formula, rel=0.05)


# The same numbers as those of the models themselves


def test_the_blueprint_has_the_weights_of_the_model(config):
    run = config(model={"lora": {"r": 2}})
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


def test_tokens_are_those_of_training(config, bases, make_model):
    run = config(epochs=3, gradient_accumulation=2)
    found = plan(run, devices=2)
    model = make_model(bases, **SMALL)
    rows = [
        (pair, [(clip, text or "") for clip, text in clips])
        for pair, clips in read_pairs(run.data.train, None)
    ]
    lengths = [len(example.input_ids) for example in tokenise(rows, model)]
    assert (found.pairs, found.clips, found.tokens_from) == (8, 8, "tokenizer")
    assert found.tokens_per_epoch == sum(lengths)
    assert found.tokens == 3 * sum(lengths)  # two steps of twelve
    assert found.longest_pair == max(lengths)
    assert found.tokens_per_pair == pytest.approx(sum(lengths) / 8, abs=0.05)
    assert found.pairs_per_step == 12
    assert "2 clips have no transcript: Whisper will write it, and its tokens are not counted" in found.notes


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
def test_steps_are_those_of_the_run(config, options, devices, steps, per_epoch, warmup):
    """8 pairs in batches of three; all steps have one size, and the last pass is finished."""
    found = plan(config(**options), devices)
    assert (found.steps, found.steps_per_epoch, found.warmup_steps) == (steps, per_epoch, warmup)
    run = config(**options).run
    assert steps == arguments.total_steps(run, 8, devices)
    assert found.tokens == pytest.approx(steps * found.pairs_per_step * found.tokens_per_epoch / 8, abs=1)


def test_max_steps_go_before_epochs(config):
    assert plan(config(max_steps=6)).epochs == 2.25
    gone = {"train": ["gone"]}
    assert (plan(config(max_steps=6, data=gone)).steps, plan(config(data=gone)).steps) == (6, None)


def test_a_run_does_the_steps_and_tokens_of_its_plan(
    config, pairs, make_pair, write_pairs, tmp_path, monkeypatch
):
    """The batches that reach the model in two passes of six pairs, counted."""
    rows = [
        make_pair(f"p{i}", str(pairs.parent / "audio" / f"{i}.wav"), response="It is loud. " * i or "No.")
        for i in range(6)
    ]
    own = write_pairs(tmp_path / "own.jsonl", rows)
    run = config(data={"train": [own]}, epochs=2, batch_size=2, gradient_accumulation=2, report_to=[])
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


def test_the_cache_on_disk(config):
    """4 taps × 50 frames × width 16 × 2 bytes a clip."""
    without, cached = plan(config()), plan(config(data={"cache_taps": True}))
    assert (without.tap_cache_bytes, without.tap_cache_bytes_per_clip) == (0, 6400)
    assert (cached.tap_cache_bytes, cached.tap_cache_bytes_per_clip) == (8 * 6400, 6400)
    assert without.memory["encoder_pass"] == 3 * (4 + 1 + 4) * 50 * 16 * 4
    assert cached.memory["encoder_pass"] == 0
    assert cached.memory_bytes == sum(cached.memory.values()) < without.memory_bytes


def test_what_autograd_keeps_is_what_it_keeps_on_a_real_device(config, bases, make_model):
    """The same hooks around a real step; the meta device knows no values, but the same tensors."""
    run = config(model={"adapter_dropout": 0.1})
    model = build_model(run.model).train()
    taps = torch.randn(4, 1, 50, 16)
    text = torch.randn(1, 30, 24)

    def step():
        embeds = torch.cat([model.adapter(taps), text], dim=1)
        model.llm.base_model(inputs_embeds=embeds, use_cache=False)

    real = kept_by_autograd(step, model.adapter, model.llm)
    assert memory._kept_in_a_row(draw(run.model), 33, bf16=False) == pytest.approx(real, rel=0.05)


@pytest.mark.parametrize(
    ("stored", "asked", "itemsize"),
    [("float32", None, 4), ("bfloat16", None, 2), ("float16", None, 4), ("float32", "bfloat16", 2)],
)
def test_the_type_of_weights(config, bases, tmp_path, stored, asked, itemsize):
    """As `bases.load` has it; a type that is stored as float16 is made float32 on a CPU."""
    folder = shutil.copytree(bases / "llm", tmp_path / "llm")
    told = json.loads((folder / "config.json").read_text()) | {"dtype": stored}
    (folder / "config.json").write_text(json.dumps(told))
    run = config(model={"llm": str(folder), "dtype": asked})
    found = plan(run)
    assert found.memory["llm"] == itemsize * found.parameters["llm"]
    assert build_model(run.model).llm.dtype.itemsize == itemsize


def test_activations_grow_with_rows(config):
    one, two = plan(config(batch_size=1)).memory, plan(config(batch_size=2)).memory
    for part in ("activations", "logits", "encoder_pass"):
        assert two[part] == 2 * one[part] > 0
    assert one["llm"] == two["llm"]


def test_an_llm_that_cannot_run_without_weights(config, monkeypatch):
    def refuse(*_):
        raise NotImplementedError("no values on meta")

    monkeypatch.setattr(Adapter, "forward", refuse)
    found = plan(config())
    assert (found.memory["activations"], found.memory_bytes) == (None, None)
    assert (
        "this LLM cannot be run without weights by this transformers: its activations are not known"
        in found.notes
    )


def test_a_quantised_llm_is_smaller(config):
    pytest.importorskip("bitsandbytes")
    whole = plan(config()).memory["llm"]
    eight, four = (
        plan(config(model={"quantization_config": {"quant_method": "bitsandbytes", key: True}})).memory["llm"]
        for key in ("load_in_8bit", "load_in_4bit")
    )
    assert four < eight < whole


# Lengths


def test_without_a_tokenizer_tokens_are_estimated(config, bases, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text((bases / "llm" / "config.json").read_text())
    found = plan(config(model={"llm": str(tmp_path / "bare")}))
    assert found.tokens_from == "characters"
    assert found.longest_pair > 3
    assert any("is not at hand: tokens are estimated, 4 characters each" in note for note in found.notes)


def test_many_pairs_are_sampled(model, make_pair, write_pairs, tmp_path, monkeypatch):
    rows = [make_pair(f"p{i}", f"{i // 2}.wav", response="x" * i) for i in range(40)]
    file = write_pairs(tmp_path / "pairs.jsonl", rows)
    whole = measure([file], None, model.config)
    assert (whole.pairs, whole.sampled, whole.clips) == (40, 40, 20)
    monkeypatch.setattr("desta2.train.lengths.SAMPLE", 10)
    some = measure([file], None, model.config)
    assert (some.pairs, some.sampled, some.clips) == (40, 10, 40)
    assert some.tokens_mean == pytest.approx(whole.tokens_mean, rel=0.05)
    assert measure([write_pairs(tmp_path / "none.jsonl", [])], None, model.config) is None


# What is impossible, before a weight loads


@pytest.fixture
def no_weights(monkeypatch):
    for reads in (
        "desta2.model.checkpoint.load_file",
        "transformers.modeling_utils.PreTrainedModel.from_pretrained",
    ):
        monkeypatch.setattr(reads, lambda *_, **__: pytest.fail("weights were read"))


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("model", "line"),
    [
        ({"tap_layers": [2, 5, 8, 11]}, r"model\.tap_layers is \[2, 5, 8, 11\]; it must name layers from -1 .* to 3 .* has 4 layers of width 16: without model\.tap_layers the adapter reads \[0, 1, 2, 3\]"),
        ({"tap_layers": [1, 1]}, r"model\.tap_layers is \[1, 1\]; each layer may be named once"),
        ({"adapter_heads": 3}, r"model\.adapter_heads is 3; it must divide d_encoder, which is 16.*without model\.adapter_heads it has 2$"),
        ({"lora": {"target_modules": ["q_prj"]}}, r"lora cannot be put into the LLM .*q_prj"),
        ({"chat_template_kwargs": {"add_generation_promt": True}}, r"unknown variable 'model\.chat_template_kwargs\.add_generation_promt': .*; did you mean 'model\.chat_template_kwargs\.add_generation_prompt'\?"),
        ({"quantization_config": {"quant_method": "bits"}}, r"model\.quantization_config=\{'quant_method': 'bits'\} cannot be had: Unknown quantization type"),
        ({"quantization_config": {"bits": 4}}, "cannot be had: .*quant_method"),
    ],
)  # fmt: skip
def test_impossible_models(config, model, line):
    with pytest.raises(ConfigError, match=line):
        check_run(config(model=model))


@pytest.mark.usefixtures("no_weights")
def test_models_in_each_others_place(config, bases):
    llm, whisper = str(bases / "llm"), str(bases / "whisper")
    with pytest.raises(
        ConfigError,
        match=r"model\.encoder=.* is a llama model; it must be a Whisper; were model\.llm and model\.encoder exchanged\?",
    ):
        check_run(config(model={"llm": whisper, "encoder": llm}))
    with pytest.raises(ConfigError, match=r"is a llama model; it must be a Whisper, as openai/whisper-small"):
        check_run(config(model={"encoder": llm}))
    with pytest.raises(ConfigError, match=r"model\.llm=.*whisper is a Whisper; it must be a chat LLM"):
        check_run(config(model={"llm": whisper}))


def test_an_llm_that_is_none(config, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ConfigError, match=r"is a vit model, which transformers cannot load as a causal LM"):
        check_run(config(model={"llm": str(tmp_path)}))


def test_models_that_are_not_there(config):
    with pytest.raises(CheckpointError, match=r"cannot read the configuration of the LLM nobody/nothing"):
        check_run(config(model={"llm": "nobody/nothing"}))
    with pytest.raises(CheckpointError, match=r"the frozen model \./none .* is not there"):
        check_run(config(model={"encoder": "./none"}))


def test_a_template_without_the_role_audio(config, bases, tmp_path, tokenizer):
    """As Qwen 3's: layout desta2 cannot be, and desta2.5 can."""
    folder = shutil.copytree(bases / "llm", tmp_path / "llm")
    tokenizer = type(tokenizer).from_pretrained(folder)
    tokenizer.chat_template = "{% for m in messages %}{% if m.role != 'audio' %}<{{ m.role }}>{{ m.content }}<|eot_id|>{% endif %}{% endfor %}"
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"model\.llm=.* with model\.layout=desta2: .*layout 'desta2\.5'"):
        check_run(config(model={"llm": str(folder)}))
    check_run(config(model={"llm": str(folder), "layout": "desta2.5"}))
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"the LLM's tokenizer has no chat template"):
        check_run(config(model={"llm": str(folder), "layout": "desta2.5"}))


def test_an_adapter_to_start_from(config, bases, make_model, tmp_path, request):
    start = tmp_path / "start"
    make_model(bases, **SMALL).save_pretrained(start)
    request.getfixturevalue("no_weights")
    check_run(config(model={"adapter": start}))
    wrong = r"does not fit this run's model: .*queries\.0 has shape \(1, 3, 16\), expected \(1, 4, 16\)"
    with pytest.raises(CheckpointError, match=wrong):
        check_run(config(model={"adapter": start, "n_queries": 4}))
    other = r"its tap_layers is \[0, 1, 2, 3\], and model\.tap_layers is \[-1, 0, 2, 3\]$"
    with pytest.raises(CheckpointError, match=other):
        check_run(config(model={"adapter": start, "tap_layers": [-1, 0, 2, 3]}))
    (start / "adapter.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors cannot be read"):
        check_run(config(model={"adapter": start}))
    with pytest.raises(
        CheckpointError, match=r"model\.adapter: .* has no adapter\.safetensors; is it a desta2"
    ):
        check_run(config(model={"adapter": bases}))


def test_an_adapter_with_lora_to_start_from(config, bases, make_model, tmp_path):
    start = tmp_path / "start"
    make_model(bases, **SMALL, lora={"r": 2}).save_pretrained(start)
    check_run(config(model={"adapter": start, "lora": {"r": 2}}))
    with pytest.raises(CheckpointError, match=r"was trained with LoRA weights on the LLM; give model\.lora"):
        check_run(config(model={"adapter": start}))
    with pytest.raises(CheckpointError, match=r"lora_A\.weight has shape \(2, 24\), expected \(4, 24\)"):
        check_run(config(model={"adapter": start, "lora": {"r": 4}}))


def test_checkpoints_of_another_model(config, request):
    """What would be gone on from does not fit: told before a weight loads."""
    train(config(max_steps=1))
    request.getfixturevalue("no_weights")
    check_run(config(max_steps=2))
    of = r"^run\.output: .*checkpoint-1 is there to go on from, but does not fit this run's model: "
    for model, problem in (
        ({"n_queries": 4}, r"queries\.3 has shape \(1, 3, 16\), expected \(1, 4, 16\)"),
        ({"tap_layers": [-1, 0, 2, 3]}, r"its tap_layers is \[0, 1, 2, 3\].*"),
        ({"lora": {"r": 2}}, r"one of them has LoRA weights, the other has none"),
    ):
        with pytest.raises(CheckpointError, match=of + r".*" + problem + r"\. Give another run\.output, or the keys"):
            check_run(config(model=model))


@pytest.mark.usefixtures("no_weights")
def test_impossible_runs(config, tmp_path, monkeypatch):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match=r"^run\.output=.*/out is a file; give a folder"):
        check_run(config())
    monkeypatch.setattr("desta2.nano.espeak.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"^run\.evaluate=nano: speech synthesis needs the extra 'synth'"):
        check_run(config(output=tmp_path / "new", evaluate="nano"))


def test_lora_without_peft(config, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(ConfigError, match=r"those need peft: pip install 'desta2\[lora\]'"):
        check_run(config(model={"lora": {}}))


def test_bf16_on_hardware_without(config, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: "cuda")
    monkeypatch.setattr("desta2.train.check.is_torch_bf16_gpu_available", lambda: False)
    with pytest.raises(
        ConfigError, match=r"run\.bf16=true, but the cuda of this machine cannot .*; give run\.bf16=false"
    ):
        check_run(config(bf16=True))
    check_run(config())


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
