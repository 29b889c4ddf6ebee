"""Training: it learns, touches the adapter alone, and a run that was killed ends as one that was not."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from desta2.errors import AudioError, CheckpointError, ConfigError, InputError
from desta2.model import Desta2Model, lora
from desta2.model.convert import export_published, import_published
from desta2.train import trainer
from desta2.train.callbacks import Shown
from desta2.train.collate import Collator
from desta2.train.config import TrainConfig
from desta2.train.data import open_data
from desta2.train.fit import AdapterTrainer
from desta2.train.pairset import find_pairs
from desta2.train.processes import join
from desta2.train.trainer import build_model, train


def adapter_of(folder):
    return load_file(Path(folder) / "adapter.safetensors")


def assert_same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=tolerance, msg=name)


def log_of(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def digests(folder):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()
    }


def kill_at(monkeypatch, step):
    """The process dies in the step after a number of steps, as Ctrl-C or a kill would have it."""
    on_step_end = Shown.on_step_end

    def killed(self, args, state, control, **rest):
        on_step_end(self, args, state, control, **rest)
        if state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Shown, "on_step_end", killed)


def test_training_learns_and_touches_the_adapter_alone(bases, pairs, config, built, clips, capsys):
    before = digests(bases)
    run = config(max_steps=40, learning_rate=2e-2, save_steps=100)
    folder = train(run)

    assert folder == run.run.output / "model"
    entries = log_of(run.run.output)
    assert [entry["step"] for entry in entries] == list(range(1, 41))
    assert all(entry.keys() == {"step", "loss", "grad_norm", "learning_rate"} for entry in entries)
    losses = [entry["loss"] for entry in entries]
    assert sum(losses[-6:]) < 0.9 * sum(losses[:6])

    assert digests(bases) == before
    fresh = build_model(run.model)
    for part in ("llm", "whisper"):
        trained = getattr(built[0], part).state_dict()
        for name, weight in getattr(fresh, part).state_dict().items():
            assert torch.equal(trained[name], weight), f"{part}.{name}"
    saved, drawn = adapter_of(folder), fresh.adapter.state_dict()
    assert all(not torch.equal(saved[name], drawn[name]) for name in saved)

    loaded = Desta2Model.from_pretrained(folder)
    assert_same(loaded.adapter.state_dict(), built[0].adapter.state_dict())
    ask = [
        {"role": "user", "content": [{"type": "audio", "audio": clips[0]}, {"type": "text", "text": "Hm?"}]}
    ]
    assert loaded.chat(ask, max_new_tokens=4, do_sample=False) == built[0].eval().chat(
        ask, max_new_tokens=4, do_sample=False
    )

    out, err = capsys.readouterr()
    assert out == ""
    assert "training the adapter: 40/40 (100 %), done" in err


def test_the_model_card_tells_of_the_run(whole):
    text = (whole / "model" / "README.md").read_text()
    for part in (
        r"- \d+ pairs about \d+ clips, from `.+`\.",
        r"- Responses by `.+` to “.+”\.",
        r"- 10 steps from a fresh adapter, 3 × 1 pairs a step, learning rate 0\.003, seed 0\.",
        r"## Scores\n\nNot recorded\.",
    ):
        assert re.search(part, text), text


def test_a_run_that_was_killed_ends_as_one_that_was_not(config, whole, monkeypatch, capsys):
    """With dropout, so that the random numbers must continue too, and in the middle of an epoch."""
    killed = config("killed")
    with monkeypatch.context() as patch:
        kill_at(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            train(killed)
    assert "training the adapter: 6/10 (60 %), stopped after" in capsys.readouterr().err
    output = killed.run.output
    checkpoints = output / "checkpoints"
    assert not (output / "model").exists()
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-4"]
    for step in (5, 6):  # half-written ones: the adapter is written first, the state last
        (checkpoints / f"checkpoint-{step}").mkdir()
        (checkpoints / f"checkpoint-{step}" / "adapter.safetensors").write_bytes(b"half")
    (checkpoints / "checkpoint-6" / "trainer_state.json").write_text('{"global_step":')

    assert train(killed) == output / "model"
    assert_same(adapter_of(output / "model"), adapter_of(whole / "model"))
    assert log_of(output) == log_of(whole), "steps that were made twice are logged once"


def test_checkpoints_hold_the_adapter_alone(whole):
    assert {path.name for path in (whole / "checkpoints").iterdir()} == {"checkpoint-8", "checkpoint-10"}
    names = {path.name for path in (whole / "checkpoints" / "checkpoint-10").iterdir()}
    assert "adapter.safetensors" in names
    assert not {"model.safetensors", "pytorch_model.bin"} & names


def test_a_finished_run_is_not_trained_again(config, whole, tmp_path, monkeypatch):
    """Ten steps are no whole number of epochs of three: the Trainer itself would make an eleventh."""
    again = shutil.copytree(whole, tmp_path / "again")
    shutil.rmtree(again / "model")
    monkeypatch.setattr(AdapterTrainer, "train", lambda *_, **__: pytest.fail("trained again"))
    train(config("again"))
    assert_same(adapter_of(again / "model"), adapter_of(whole / "model"))
    assert log_of(again) == log_of(whole)


def test_a_finished_run_can_be_made_longer(config, whole, tmp_path):
    longer = shutil.copytree(whole, tmp_path / "longer")
    train(config("longer", max_steps=12))
    assert log_of(longer)[:10] == log_of(whole)
    assert [entry["step"] for entry in log_of(longer)[10:]] == [11, 12]


def test_accumulated_batches_are_one_batch(config):
    options = {"max_steps": 2, "model": {"adapter_dropout": 0.0}}
    one = train(config("one", batch_size=4, **options))
    two = train(config("two", batch_size=2, gradient_accumulation=2, **options))
    for a, b in zip(log_of(one.parent), log_of(two.parent), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)
    adapters = adapter_of(one), adapter_of(two)
    for (
        adapter
    ) in adapters:  # attention does not depend on these: their gradient is noise, which Adam scales up
        for name in [name for name in adapter if name.endswith("key.bias")]:
            del adapter[name]
    assert_same(*adapters, tolerance=1e-4)


def test_epochs_are_whole_passes(config):
    """Three passes over eight pairs, five at a time: five steps, the last of which begins a fourth pass."""
    run = config(max_steps=None, epochs=3, batch_size=5)
    train(run)
    assert [entry["step"] for entry in log_of(run.run.output)] == [1, 2, 3, 4, 5]


def test_the_log_is_there_however_short_the_run(config):
    run = config(max_steps=2, log_steps=10)
    train(run)
    assert log_of(run.run.output) == []


def test_the_papers_warm_up_fits_into_a_short_run(config, whole):
    assert config().run.warmup_steps == 2000
    rates = [entry["learning_rate"] for entry in log_of(whole)]
    assert rates[0] == 0 and rates[1] == max(rates) == pytest.approx(3e-3)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.1 * rates[1]


def test_training_starts_from_an_adapter(config, whole, tmp_path):
    start = adapter_of(whole / "model")
    start["tap_mean"] += 1  # statistics of other clips: they belong to the adapter and stay as they are
    save_file(start, tmp_path / "adapter.safetensors")
    run = config("second", model={"adapter": tmp_path}, max_steps=1, learning_rate=1e-12)
    assert_same(adapter_of(train(run)), start, tolerance=1e-7)
    wrong = r"does not fit this run's model: .*queries\.0 has shape \(1, 3, 16\), expected \(1, 4, 16\)"
    with pytest.raises(CheckpointError, match=wrong):
        train(config("third", model={"adapter": tmp_path, "n_queries": 4}))


@pytest.fixture(scope="module")
def with_lora(make_config, tmp_path_factory):
    """Output folder of a run with LoRA, with dropout."""
    pytest.importorskip("peft")
    output = tmp_path_factory.mktemp("lora") / "out"
    return train(make_config(output, model={"lora": {"r": 2, "dropout": 0.3}})).parent


def test_lora_is_trained_and_the_llm_itself_is_not(bases, config, built, with_lora):
    run = config(model={"lora": {"r": 2, "dropout": 0.3}})
    folder = train(run)
    plain = AutoModelForCausalLM.from_pretrained(bases / "llm").state_dict()
    trained = {name.replace(".base_layer", ""): w for name, w in built[0].llm.state_dict().items()}
    assert {name for name in trained if name not in plain} == {name for name in trained if "lora_" in name}
    for name, weight in plain.items():
        assert torch.equal(trained[name], weight), name
    fresh = build_model(run.model)
    matrices = load_file(folder / lora.WEIGHTS_FILE)
    assert all(not torch.equal(matrices[name], drawn) for name, drawn in lora.weights(fresh.llm).items())
    drawn = fresh.adapter.state_dict()
    assert all(not torch.equal(weight, drawn[name]) for name, weight in adapter_of(folder).items())
    names = {path.name for path in (with_lora / "checkpoints" / "checkpoint-8").iterdir()}
    assert {"adapter.safetensors", "lora"} < names
    assert not {"model.safetensors", "pytorch_model.bin"} & names


def test_a_run_with_lora_that_was_killed_ends_as_one_that_was_not(config, with_lora, monkeypatch):
    killed = config("killed", model={"lora": {"r": 2, "dropout": 0.3}})
    with monkeypatch.context() as patch:
        kill_at(patch, 6)
        with pytest.raises(KeyboardInterrupt):
            train(killed)
    folder = train(killed)
    assert_same(adapter_of(folder), adapter_of(with_lora / "model"))
    assert_same(load_file(folder / lora.WEIGHTS_FILE), load_file(with_lora / "model" / lora.WEIGHTS_FILE))
    assert log_of(folder.parent) == log_of(with_lora)


def test_training_goes_on_from_an_adapter_and_its_lora(config, with_lora, whole):
    barely = {"max_steps": 1, "learning_rate": 1e-12}
    options = {"adapter": with_lora / "model", "lora": {"r": 2}}
    folder = train(config("on", model=options, **barely))
    start = load_file(with_lora / "model" / lora.WEIGHTS_FILE)
    assert_same(load_file(folder / lora.WEIGHTS_FILE), start, tolerance=1e-7)
    assert_same(adapter_of(folder), adapter_of(with_lora / "model"), tolerance=1e-7)
    added = train(config("added", model={"adapter": whole / "model", "lora": {"r": 2}}, **barely))
    assert_same(adapter_of(added), adapter_of(whole / "model"), tolerance=1e-7)
    assert all(
        float(m.abs().max()) < 1e-7
        for name, m in load_file(added / lora.WEIGHTS_FILE).items()
        if "lora_B" in name
    )
    with pytest.raises(
        CheckpointError, match=r"model was trained with LoRA weights on the LLM; give model\.lora"
    ):
        train(config("off", model={"adapter": with_lora / "model"}))
    wrong = r"does not fit this run's model: .*has shape \(2, 24\), expected \(4, 24\)"
    with pytest.raises(CheckpointError, match=wrong):
        train(config("other", model={**options, "lora": {"r": 4}}))


def test_a_published_adapter_is_trained_further(config, bases, tmp_path, caplog):
    """As the how-to in docs/train.md does it, with a checkpoint in the published form."""
    fresh = build_model(config(model={"standardise_taps": False}).model)
    fresh.save_pretrained(tmp_path / "made")
    published = str(tmp_path / "published")
    export_published(str(tmp_path / "made"), tmp_path / "published", "desta2")
    local = {"llm_id": str(bases / "llm"), "encoder_id": str(bases / "whisper")}
    import_published(published, tmp_path / "demo", **local)
    import_published(published, tmp_path / "ours", tap_convention="training", **local)
    own = {"standardise_taps": False}
    wrong = r"demo does not fit this run's model: its tap_layers is \[-1, 0, 1, 2\], and model\.tap_layers is \[0, 1"
    with pytest.raises(CheckpointError, match=wrong):
        train(config("taps", model={**own, "adapter": tmp_path / "demo"}))
    start = {**own, "adapter": tmp_path / "ours"}
    trained = train(config("same", model=start, max_steps=1, learning_rate=1e-12))
    assert_same(adapter_of(trained), adapter_of(tmp_path / "made"), tolerance=1e-7)
    assert "knows: system_prompt was None and is 'Focus on the audio clips and instructions.'" in caplog.text
    caplog.clear()
    further = train(config("further", model={**start, "system_prompt": None}, max_steps=4))
    assert not torch.equal(*(adapter_of(f)["projection.weight"] for f in (further, tmp_path / "made")))
    assert "the prompt around a clip" not in caplog.text


def test_whisper_writes_the_missing_transcripts(config):
    run = config(model={"standardise_taps": False})
    model = build_model(run.model)
    found = find_pairs(run.data, run.run.output)
    data = open_data(run, found, model, join(sharded=False))
    decode = model.processor.tokenizer.decode
    for number, (pair, [(clip, text)]) in enumerate(found.train):
        example, _ = data.train[number]
        assert example.id == pair.id == f"p{number}"
        words = text if text is not None else model.hear([clip.path])[0].transcript
        assert words
        end = example.slots[0] + model.config.n_queries
        assert decode(example.input_ids[end:]).startswith(f"{words}<|eot_id|>")


@pytest.mark.parametrize("cache_taps", [True, False])
def test_the_first_step_has_the_loss_of_the_fresh_model(config, cache_taps):
    """Cached taps, features and a plain forward pass agree; one batch holds all pairs, so their order is no matter."""
    run = config(max_steps=1, batch_size=8, model={"adapter_dropout": 0.0}, data={"cache_taps": cache_taps})
    trainer.set_seed(run.run.seed)
    model = build_model(run.model)
    live = TrainConfig.model_validate(run.model_dump() | {"data": {"train": run.data.train}})
    data = open_data(live, find_pairs(live.data, live.run.output), model, join(sharded=False))
    data.calibrate(model)
    batch = data.collator([data.train[number] for number in range(8)])
    assert data.collator == Collator("input_features")
    train(run)
    assert log_of(run.run.output)[0]["loss"] == pytest.approx(model(**batch).loss.item(), abs=2e-3)


def test_layers_computed_anew_give_the_same_losses(config):
    plain = log_of(train(config("plain", max_steps=2)).parent)
    anew = log_of(train(config("anew", max_steps=2, gradient_checkpointing=True)).parent)
    assert [entry["loss"] for entry in anew] == pytest.approx([entry["loss"] for entry in plain], rel=1e-6)


@pytest.mark.slow
def test_compiled_layers_give_the_same_losses(config):
    options = {"max_steps": 3, "model": {"adapter_dropout": 0.0}}  # compiled code draws its own dropout
    plain = log_of(train(config("plain", **options)).parent)
    compiled = log_of(train(config("compiled", compile=True, **options)).parent)
    losses = [entry["loss"] for entry in plain]
    assert [entry["loss"] for entry in compiled] == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize("standardise", [True, False])
def test_the_frames_of_speech_are_the_same_cached_and_live(config, standardise):
    """The cache keeps taps trimmed, in half precision; live ones are masked."""
    options = {"max_steps": 3, "model": {"encoder_frames": "speech", "standardise_taps": standardise}}
    live = log_of(train(config("live", **options)).parent)
    cached = log_of(train(config("cached", data={"cache_taps": True}, **options)).parent)
    assert [entry["loss"] for entry in cached] == pytest.approx([entry["loss"] for entry in live], abs=2e-3)
    everything = log_of(train(config("all", max_steps=3, model={"standardise_taps": standardise})).parent)
    assert everything[0]["loss"] != pytest.approx(live[0]["loss"], abs=1e-4)


def test_half_precision_and_loader_processes_change_little(config):
    """bf16 on a CPU too, where transformers refuses it unless told that a CPU is meant."""
    options = {"max_steps": 1, "model": {"adapter_dropout": 0.0}}
    plain = log_of(train(config("plain", **options)).parent)[0]["loss"]
    half = train(config("half", bf16=True, **options))
    assert log_of(half.parent)[0]["loss"] == pytest.approx(plain, rel=0.02)
    assert {weight.dtype for weight in adapter_of(half).values()} == {torch.float32}
    loaded = log_of(train(config("loaded", workers=1, **options)).parent)[0]["loss"]
    assert loaded == pytest.approx(plain, rel=1e-6)


# Mistakes, told before any weight loads


@pytest.fixture
def no_weights(monkeypatch):
    monkeypatch.setattr(trainer, "build_model", lambda _: pytest.fail("weights were loaded"))


@pytest.mark.usefixtures("no_weights")
def test_mistakes_in_the_data(config, tmp_path, make_pair, write_pairs):
    with pytest.raises(InputError, match=r"none\.jsonl does not exist"):
        train(config(data={"train": [tmp_path / "none.jsonl"]}))
    empty = write_pairs(tmp_path / "empty.jsonl", [])
    with pytest.raises(ConfigError, match=rf"^data\.train names no pairs: {empty}$"):
        train(config(data={"train": [empty]}))
    lost = write_pairs(tmp_path / "lost.jsonl", [make_pair("a", "gone.wav")])
    with pytest.raises(
        AudioError, match=rf"^clip 'a': no audio file at {tmp_path}/gone\.wav; is the data root right\?$"
    ):
        train(config(data={"train": [lost]}))
    assert not (tmp_path / "out").exists()


def test_models_that_are_not_there(config, tmp_path):
    with pytest.raises(CheckpointError, match=r"the frozen model /nowhere/llm .* is not there"):
        train(config(model={"llm": "/nowhere/llm"}))
    with pytest.raises(CheckpointError, match=r"has no adapter\.safetensors; is it a desta2 model folder\?"):
        train(config(model={"adapter": tmp_path}))
