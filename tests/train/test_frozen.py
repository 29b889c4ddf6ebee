"""What training must not touch: no bit changes, and a change would be noticed."""

import hashlib

import pytest
import torch
from transformers import AutoModelForCausalLM, WhisperForConditionalGeneration

from desta2.errors import RunError
from desta2.model import Desta2Model
from desta2.train.callbacks import Shown
from desta2.train.frozen import checksums
from desta2.train.trainer import train


def digest(module):
    """SHA-256 of all bytes of a module's weights."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def test_no_byte_of_the_frozen_models_changes(bases, config, built):
    train(config(max_steps=3))
    [model] = built
    assert digest(model.llm) == digest(AutoModelForCausalLM.from_pretrained(bases / "llm"))
    whisper = WhisperForConditionalGeneration.from_pretrained(bases / "whisper")
    assert digest(model.whisper) == digest(whisper)


@pytest.mark.parametrize(
    "name", ["llm.model.layers.1.mlp.up_proj.weight", "whisper.model.encoder.conv1.bias"]
)
def test_a_changed_weight_is_named_and_no_model_written(config, built, monkeypatch, name):
    def spoil(self, args, state, control, model=None, **_):
        values = model.get_parameter(name).data.flatten()
        values[-1] = torch.nextafter(values[-1], torch.tensor(torch.inf))  # the last bit of one value

    monkeypatch.setattr(Shown, "on_step_end", spoil)
    run = config(max_steps=1)
    message = f"^training changed weights that must stay frozen: {name}; no model is written"
    with pytest.raises(RunError, match=message):
        train(run)
    assert not (run.run.output / "model").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_checksums_see_every_value(dtype):
    layer = torch.nn.Linear(5, 7).to(dtype).requires_grad_(False)
    before = checksums(layer)
    assert before.keys() == {"weight", "bias"}
    for position in range(35):
        kept = layer.weight.flatten()[position].item()
        layer.weight.view(-1)[position] += 0.5
        assert checksums(layer)["weight"] != before["weight"]
        layer.weight.view(-1)[position] = kept
        assert checksums(layer) == before
    layer.bias.requires_grad_(True)
    assert checksums(layer).keys() == {"weight"}


def test_frozen_models_stay_in_evaluation_mode_in_training(bases, tmp_path):
    """Published checkpoints of LLMs and Whispers ask for dropout here and there; in training it must stay off."""
    llm = AutoModelForCausalLM.from_pretrained(bases / "llm", attention_dropout=0.5)
    assert llm.config.attention_dropout == 0.5
    whisper = WhisperForConditionalGeneration.from_pretrained(
        bases / "whisper", dropout=0.5, attention_dropout=0.5, activation_dropout=0.5, encoder_layerdrop=0.5
    )
    for part, saved in (("llm", llm), ("whisper", whisper)):
        folder = tmp_path / part
        (folder).mkdir()
        for file in (bases / part).iterdir():
            if file.name not in ("config.json", "model.safetensors"):
                (folder / file.name).write_bytes(file.read_bytes())
        saved.save_pretrained(folder)
    torch.manual_seed(0)
    model = Desta2Model.from_bases(
        str(tmp_path / "llm"), str(tmp_path / "whisper"),
        n_queries=3, adapter_layers=1, adapter_intermediate=32, adapter_dropout=0.0,
    )  # fmt: skip
    model.train()
    assert model.adapter.training
    assert not any(part.training for frozen in (model.llm, model.whisper) for part in frozen.modules())
    batch = {
        "input_ids": torch.arange(40).reshape(2, 20),
        "input_features": torch.randn(2, 20, 100),
        "audio_slots": torch.tensor([[0, 1], [1, 2]]),
        "labels": torch.arange(40).reshape(2, 20),
    }
    in_training = [model(**batch).loss.item() for _ in range(3)]
    assert in_training == [model.eval()(**batch).loss.item()] * 3
    llm.train()
    noisy = {llm(input_ids=batch["input_ids"], labels=batch["labels"]).loss.item() for _ in range(3)}
    assert len(noisy) == 3, "the dropout that was asked for would have been felt"
