"""Any LLM: families with other templates, tokenizers, embeddings and attention are trained, saved and talked to."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from families import FAMILIES, write_family
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from desta2.model import Desta2Model
from desta2.model import bases as loading
from desta2.model.stopping import end_ids
from desta2.model.templates import end_of_turn_id
from desta2.train import trainer
from desta2.train.config import TrainConfig

SYSTEM = "Focus on the audio clips and instructions."
QUESTION = "Is the voice loud or quiet?"
GREEDY = {"do_sample": False, "max_new_tokens": 8}
TEXT = [
    {"role": "user", "content": "Who is speaking?"},
    {"role": "assistant", "content": "A calm woman."},
    {"role": "user", "content": "Answer in capitals: is the quick brown fox loud, or is it quiet? Describe the words."},
]  # fmt: skip


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def pairs(clips, tmp_path_factory):
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    lines = []
    for i in range(4):
        message = {
            "role": "user",
            "content": "<|AUDIO|>\nWhat can you hear?",
            "audios": [{"audio": clips[i % 2], "text": "fox"}],
        }
        lines.append({
            "id": f"p{i}", "messages": [message], "response": f"The voice is {('loud', 'quiet')[i % 2]}.", "seed": "-",
            "provenance": {"llm": "tiny", "prompt": "-"},
        })  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request, bases, pairs, tmp_path_factory):
    """A model that was trained for a few steps, as it was in memory, and the folder that it was saved to."""
    root = tmp_path_factory.mktemp(request.param)
    llm, family = write_family(request.param, root / "llm"), FAMILIES[request.param]
    before, built = digests(llm), []
    config = TrainConfig.model_validate({
        "model": {
            "llm": str(llm), "encoder": str(bases / "whisper"), "layout": family.layout,
            "n_queries": 3, "adapter_layers": 1, "adapter_dropout": 0.0, "adapter_intermediate": 32,
        },
        "data": {"train": [pairs]},
        "run": {"output": root / "run", "max_steps": 3, "batch_size": 4, "learning_rate": 1e-3, "log_steps": 1},
    })  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        build = trainer.build_model
        patch.setattr(trainer, "build_model", lambda config: built.append(build(config)) or built[0])
        folder = trainer.train(config)
    assert digests(llm) == before
    return SimpleNamespace(family=family, llm=llm, model=built[0].eval(), folder=folder, run=root / "run")


@pytest.fixture(scope="module")
def loaded(trained):
    return Desta2Model.from_pretrained(trained.folder)


def about(clip):
    return [
        {"role": "user", "content": [{"type": "audio", "audio": clip}, {"type": "text", "text": QUESTION}]}
    ]


def test_training_moves_the_adapter_alone(trained):
    losses = [json.loads(line)["loss"] for line in (trained.run / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 3
    assert losses[2] < losses[0]
    plain = AutoModelForCausalLM.from_pretrained(trained.llm).state_dict()
    for name, weight in trained.model.llm.state_dict().items():
        assert torch.equal(weight, plain[name]), name
    saved = load_file(trained.folder / "adapter.safetensors")
    assert saved.keys() == trained.model.adapter.state_dict().keys()


def test_a_batch_answers_as_its_rows_and_as_before_saving(trained, loaded, clips):
    conversations = [
        about(clips[0]),
        TEXT,
        [*about(clips[1]), {"role": "assistant", "content": "Loud."}, *about(clips[0])],
    ]
    together = loaded.chat(conversations, **GREEDY)
    assert together == [loaded.chat(own, **GREEDY) for own in conversations]
    assert together == trained.model.chat(conversations, **GREEDY)
    assert len({tuple(output.token_ids) for output in together}) == 3


def test_a_stream_joins_to_the_answer(loaded, clips):
    assert "".join(loaded.stream(about(clips[0]), **GREEDY)) == loaded.chat(about(clips[0]), **GREEDY).text


def test_text_is_answered_as_by_the_llm_alone(trained, loaded):
    llm, tokenizer = (auto.from_pretrained(trained.llm) for auto in (AutoModelForCausalLM, AutoTokenizer))
    ids = tokenizer.apply_chat_template(
        TEXT, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    own = llm.generate(**ids, **GREEDY)[0, ids["input_ids"].shape[1] :].tolist()
    output = loaded.chat(TEXT, **GREEDY)
    assert output.token_ids == own
    assert output.text == tokenizer.decode(own, skip_special_tokens=True)


def test_vectors_and_ids_are_one_to_the_llm(loaded):
    """However an LLM scales its embeddings, whether in them or after them."""
    ids = torch.tensor([loaded.processor.prompt(TEXT).input_ids])
    with torch.no_grad():
        through_ids = loaded.llm(ids).logits
        torch.testing.assert_close(loaded(ids).logits, through_ids)
    vectors = loaded.embed(ids, None, None)
    from_vectors = loaded.llm.generate(inputs_embeds=vectors, attention_mask=torch.ones_like(ids), **GREEDY)
    assert from_vectors.tolist() == loaded.llm.generate(ids, **GREEDY)[:, ids.shape[1] :].tolist()
    assert loaded.config.output_scale == pytest.approx(
        float(loaded.llm.get_input_embeddings()(torch.arange(loaded.llm.vocab_size)).std()), rel=1e-4
    )


def test_answers_about_clips_owe_nothing_to_the_cache(loaded, clips):
    """Sliding windows and their caches, prompts longer than a window: each step anew from the whole sequence."""
    heard = loaded.hear([clips[0]])[0]
    output = loaded.chat(about(heard), **GREEDY)
    prompt = loaded.processor.prompt(about(heard), [heard.texts])
    assert len(prompt.input_ids) > (getattr(loaded.llm.config, "sliding_window", None) or 0)
    slots = torch.tensor([[0, start] for start, _ in prompt.audio_slots])
    ids = list(prompt.input_ids)
    for _ in output.token_ids:
        with torch.no_grad():
            embeds = loaded.embed(torch.tensor([ids]), heard.embeds, slots)
            ids.append(int(loaded.llm(inputs_embeds=embeds).logits[0, -1].argmax()))
    assert output.token_ids == ids[len(prompt.input_ids) :]


def test_prompts_have_what_the_template_writes(trained, loaded):
    family, tokenizer = trained.family, loaded.processor.tokenizer
    prompt = loaded.processor.prompt(about("a.wav"), ["the fox"])
    held = {start + i for start, length in prompt.audio_slots for i in range(length)}
    text = tokenizer.decode([token for place, token in enumerate(prompt.input_ids) if place not in held])
    assert [text.count(part) for part in (SYSTEM, "the fox", QUESTION)] == [1, 1, 1]
    assert text.index(SYSTEM) < text.index("the fox") < text.index(QUESTION)
    if family.bos:
        assert prompt.input_ids[0] == tokenizer.bos_token_id
        assert prompt.input_ids.count(tokenizer.bos_token_id) == 1
    ends = end_ids(loaded.llm, tokenizer)
    assert end_of_turn_id(tokenizer) == tokenizer.convert_tokens_to_ids(family.end)
    assert sorted(ends) == sorted({tokenizer.eos_token_id, end_of_turn_id(tokenizer)})


def test_embeddings_may_be_scaled_elsewhere_in_another_transformers(bases, clips, tmp_path, monkeypatch):
    """Gemma 1 and 2 were scaled behind the embedding layer in transformers 5.0, and are in it since."""
    llm = str(write_family("gemma2", tmp_path / "llm"))
    whisper, sizes = str(bases / "whisper"), {"n_queries": 3, "adapter_layers": 1, "adapter_intermediate": 32}
    made = Desta2Model.from_bases(llm, whisper, layout="desta2.5", **sizes)
    made.save_pretrained(tmp_path / "model")
    load = loading.load_llm

    def times_8(module, args, kwargs):
        if kwargs.get("inputs_embeds") is None:
            kwargs["inputs_embeds"] = module.get_input_embeddings()(kwargs.pop("input_ids"))
        return args, {**kwargs, "inputs_embeds": kwargs["inputs_embeds"] * 8}

    def load_otherwise(*args, **options):
        llm = load(*args, **options)
        llm.get_input_embeddings().register_forward_hook(lambda _, __, vectors: vectors / 8)
        llm.model.register_forward_pre_hook(times_8, with_kwargs=True)
        return llm

    monkeypatch.setattr(loading, "load_llm", load_otherwise)
    elsewhere = Desta2Model.from_pretrained(tmp_path / "model")
    assert loading.embedding_std(elsewhere.llm) == pytest.approx(made.config.llm_embedding_std / 8, rel=1e-4)
    for messages in (about(clips[0]), TEXT):
        assert elsewhere.chat(messages, **GREEDY) == made.chat(messages, **GREEDY)


def test_no_family_is_named_in_the_code():
    package = Path(trainer.__file__).parents[1]
    names = ("llama", "qwen", "gemma", "mistral", "phi3")
    for file in package.rglob("*.py"):
        code = "".join(line.split("#")[0] for line in file.read_text().splitlines(True))
        for name in names:
            for quote in "\"'":
                assert f"{quote}{name}{quote}" not in code.lower(), f"{file}: {name}"
