"""A model of whose LLM only the embeddings are here: the same prompts, and the LLM is known as far as it can be."""

import json
import os
import subprocess
import sys

import pytest
import torch
from families import FAMILIES, write_family
from loopback_hub import LoopbackHub
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import desta2
from desta2.errors import CheckpointError, ConfigError, RunError
from desta2.model import Desta2Model
from desta2.model.chat import prepare
from desta2.model.messages import ask
from desta2.serve.completions import prompt_embeds

TEXT = [{"role": "user", "content": "Who is speaking?"}]


def made(llm, bases, folder, **config):
    """A saved model of an LLM, and the model."""
    small = {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32, "system_prompt": None}
    model = Desta2Model.from_bases(str(llm), str(bases / "whisper"), **small, **config)
    model.save_pretrained(folder)
    return folder, model


def embeds_of(model, *messages):
    return [prompt_embeds(model, one) for one in prepare(model, messages, [None] * len(messages), None, True)]


def in_shards(llm, folder):
    """An LLM's folder with its weights in many files; gives the one that holds the embeddings."""
    model = AutoModelForCausalLM.from_pretrained(llm)
    model.save_pretrained(folder, max_shard_size="20KB")
    for file in llm.iterdir():
        if "tokenizer" in file.name or file.suffix == ".jinja":
            (folder / file.name).write_bytes(file.read_bytes())
    names = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(names.values())) > 3
    return names["model.embed_tokens.weight"]


@pytest.fixture
def saved(bases, tmp_path):
    """A model folder and its LLM's, in shards."""
    file = in_shards(bases / "llm", tmp_path / "llm")
    folder, _ = made(tmp_path / "llm", bases, tmp_path / "model")
    return folder, tmp_path / "llm", file


def keep_only(llm, file):
    for other in llm.glob("*.safetensors"):
        if other.name != file:
            other.unlink()


@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_of_any_family_are_the_same(name, bases, clips, tmp_path):
    llm = write_family(name, tmp_path / "llm")
    folder, model = made(llm, bases, tmp_path / "model", layout=FAMILIES[name].layout)
    ears = desta2.load(folder, embeddings_only=True)
    conversations = [ask(clips[0], "Loud?"), ask(clips, "Who?"), TEXT]
    for whole, own in zip(embeds_of(model, *conversations), embeds_of(ears, *conversations), strict=True):
        assert torch.equal(whole, own)
    real = [weight for weight in ears.llm.parameters() if not weight.is_meta]
    assert len(real) == 1, "nothing but the embeddings takes memory"
    assert ears.llm.generation_config.to_dict() == model.llm.generation_config.to_dict()


@pytest.mark.parametrize(
    ("stored", "loaded"), [("float16", "float32"), ("bfloat16", "bfloat16"), ("float32", "float32")]
)
def test_the_type_is_that_of_the_whole_llm_on_a_cpu(bases, tmp_path, stored, loaded):
    llm = AutoModelForCausalLM.from_pretrained(bases / "llm", dtype=stored)
    llm.save_pretrained(tmp_path / "llm")
    for file in (bases / "llm").glob("tokenizer*"):
        (tmp_path / "llm" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "llm" / "chat_template.jinja").write_text((bases / "llm" / "chat_template.jinja").read_text())
    folder, model = made(tmp_path / "llm", bases, tmp_path / "model")
    ears = desta2.load(folder, embeddings_only=True)
    assert ears.llm.get_input_embeddings().weight.dtype == getattr(torch, loaded) == model.llm.dtype
    as_asked = desta2.load(folder, embeddings_only=True, dtype=torch.bfloat16)
    assert as_asked.llm.get_input_embeddings().weight.dtype == torch.bfloat16


def test_of_shards_only_the_one_with_the_embeddings_is_needed(saved, caplog):
    folder, llm, file = saved
    desta2.load(folder, embeddings_only=True)
    assert "is not checked" not in caplog.text, "all of it is here"
    keep_only(llm, file)
    desta2.load(folder, embeddings_only=True)
    assert "only the embeddings of" in caplog.text and "is not checked" in caplog.text


def test_another_llm_is_refused_by_all_of_it_or_by_its_embeddings(saved, save_llm, tmp_path):
    folder, llm, file = saved
    changed = {name: tensor.clone() for name, tensor in load_file(llm / file).items()}
    changed["model.embed_tokens.weight"] *= 1.01
    save_file(changed, llm / file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"is not the one .* \(fingerprint"):
        desta2.load(folder, embeddings_only=True)
    keep_only(llm, file)
    with pytest.raises(CheckpointError, match=r"standard deviation of its embeddings is 0\.3"):
        desta2.load(folder, embeddings_only=True)
    desta2.load(folder, embeddings_only=True, allow_other_bases=True)


def test_an_llm_without_weights_is_named(saved):
    folder, llm, file = saved
    (llm / file).unlink()
    with pytest.raises(CheckpointError, match=f"llm has no {file}"):
        desta2.load(folder, embeddings_only=True, allow_other_bases=True)
    (llm / file).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=f"{file} cannot be read"):
        desta2.load(folder, embeddings_only=True, allow_other_bases=True)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["language_model.embed_tokens.weight"], None),
        (["embed.weight"], "holds no tensors named …embed_tokens.weight"),
        (["a.embed_tokens.weight", "b.embed_tokens.weight"], "holds 2 tensors named"),
    ],
)
def test_embeddings_are_found_by_the_end_of_their_name(bases, tmp_path, make_model, names, message):
    make_model(bases).save_pretrained(tmp_path / "model")
    table = load_file(bases / "llm" / "model.safetensors")["model.embed_tokens.weight"]
    for file in (bases / "llm").iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(
        {name: table.clone() for name in names}, tmp_path / "model.safetensors", metadata={"format": "pt"}
    )
    options = {"embeddings_only": True, "llm_id": str(tmp_path), "allow_other_bases": True}
    if message is None:
        ears = desta2.load(tmp_path / "model", **options)
        assert torch.equal(ears.llm.get_input_embeddings().weight, table)
    else:
        with pytest.raises(CheckpointError, match=message):
            desta2.load(tmp_path / "model", **options)


def test_embeddings_of_another_size_are_refused(bases, tmp_path, make_model):
    make_model(bases).save_pretrained(tmp_path / "model")
    for file in (bases / "llm").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = {"model.embed_tokens.weight": torch.zeros(7, 24)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"have shape \(7, 24\), but the LLM's configuration says"):
        desta2.load(tmp_path / "model", embeddings_only=True, llm_id=str(tmp_path), allow_other_bases=True)


def test_it_hears_in_the_fast_mode(clips, model, bases, tmp_path, make_model):
    make_model(bases).save_pretrained(tmp_path)
    ears = desta2.load(tmp_path, embeddings_only=True, fast=True)
    assert ears.hear([clips[0]])[0].embeds.isfinite().all()


def test_it_does_not_answer(bases, tmp_path, make_model):
    make_model(bases).save_pretrained(tmp_path)
    ears = desta2.load(tmp_path, embeddings_only=True)
    with pytest.raises(RunError, match="only the embeddings of this LLM are loaded"):
        ears.chat(TEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "auto"}, "it must be one device"),
        ({"device_map": {"": 0}}, "it must be one device"),
        ({"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}, "leave quantization_config out"),
    ],
)
def test_options_about_the_rest_of_the_llm_are_refused(bases, tmp_path, make_model, options, message):
    make_model(bases).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=message):
        desta2.load(tmp_path, embeddings_only=True, **options)


def test_lora_is_refused(bases, tmp_path, make_model):
    pytest.importorskip("peft")
    make_model(bases, lora={}).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="has LoRA weights for its LLM"):
        desta2.load(tmp_path, embeddings_only=True)


SCRIPT = """
import sys
import desta2

ears = desta2.load(sys.argv[1], embeddings_only=True, token="hf_secret")
assert ears.llm.generation_config.temperature == 0.6
assert ears.processor.prompt([{"role": "user", "content": "Hello"}]).input_ids
"""


@pytest.mark.timeout(300)  # a process that imports everything
def test_from_the_hub_comes_one_file_of_weights(saved, tmp_path):
    folder, llm, file = saved
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"llm_id": "me/llm"}))
    with LoopbackHub("hf_secret") as hub:
        hub.add("me/llm", llm)
        own = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        own["NO_PROXY"] = "127.0.0.1"
        command = [sys.executable, "-c", SCRIPT, str(folder)]
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fetched = [path.name for path in (tmp_path / "hf").rglob("*.safetensors")]
    assert fetched == [file]
