"""The model card says what is known, and leaves a person's words alone."""

import hashlib

import pytest
import torch
from huggingface_hub import ModelCard

from desta2.model import Desta2Config, Desta2Model, saving
from desta2.model.modelcard import CardFacts, Score, is_hub_id, render_card

FACTS = CardFacts(
    training=["1,200 pairs about 400 clips\nof nano speech.", "600 steps."],
    scores=[
        Score("nano, held-out voices", "accuracy (%)", 68.5, 960, (65.7, 71.5)),
        Score("nano, cascade", "accuracy (%)", 0.0, 960),
    ],
)


@pytest.fixture
def fresh(bases, make_model):
    return make_model(bases)


def card(folder):
    return (folder / "README.md").read_text()


def test_card_names_the_parts(fresh, tmp_path):
    fresh.save_pretrained(tmp_path / "my-model")
    text = card(tmp_path / "my-model")
    digest = hashlib.sha256((tmp_path / "my-model" / "adapter.safetensors").read_bytes()).hexdigest()
    config = fresh.config
    for part in (
        "# my-model\n",
        'desta2.load("my-model")',
        f"| LLM | `{config.llm_id}`, width 24 | `{config.llm_fingerprint}` |",
        f"| speech encoder | `{config.encoder_id}`, width 16, 4 layers | `{config.encoder_fingerprint}` |",
        f"| adapter | Q-Former, {sum(p.numel() for p in fresh.adapter.parameters()):,} parameters | `{digest}`",
        "| queries per clip | 3 |",
        "first layer's input) | 0, 1, 2, 3 |",
        "| layout of the prompt | `desta2` |",
        "| system prompt with clips | `Focus on the audio clips and instructions.` |",
        "## Training data\n\nNot recorded.\n",
        "## Scores\n\nNot recorded.\n",
    ):
        assert part in text, part


def test_metadata_is_for_the_hub():
    config = Desta2Config(llm_id="meta-llama/Meta-Llama-3-8B-Instruct", encoder_id="openai/whisper-small")
    data = ModelCard(render_card(config, "0" * 64, 3, {}, "me/ears")).data
    assert data.library_name == "desta2"
    assert data.pipeline_tag == "audio-text-to-text"
    assert data.base_model == ["meta-llama/Meta-Llama-3-8B-Instruct", "openai/whisper-small"]
    assert data.base_model_relation == "adapter"
    assert "speech" in data.tags
    assert data.license is None, "the user's to choose"
    shipped = ModelCard(render_card(Desta2Config("nano/llm", "../whisper"), "0" * 64, 3, {}, "x")).data
    assert shipped.base_model is None


def test_what_counts_as_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "llm").mkdir(parents=True)
    assert is_hub_id("openai/whisper-small")
    for path in ("nano/llm", "../llm", "./a/b", "/a/b", "models/llm", "whisper", "a/b/c"):
        assert not is_hub_id(path), path


def test_facts_are_shown_and_stay_with_their_weights(fresh, tmp_path):
    fresh.save_pretrained(tmp_path / "a", card=FACTS)
    expected = (
        "## Training data\n\n- 1,200 pairs about 400 clips of nano speech.\n- 600 steps.\n\n"
        "## Scores\n\n| benchmark | metric | score | 95 % interval | n |\n| --- | --- | --- | --- | --- |\n"
        "| nano, held-out voices | accuracy (%) | 68.5 | 65.7 to 71.5 | 960 |\n"
        "| nano, cascade | accuracy (%) | 0 | not computed | 960 |\n"
    )
    assert expected in card(tmp_path / "a")

    loaded = Desta2Model.from_pretrained(tmp_path / "a")
    loaded.save_pretrained(tmp_path / "a")
    assert expected in card(tmp_path / "a"), "saved again where it was"
    loaded.save_pretrained(tmp_path / "b")
    assert "# b\n" in card(tmp_path / "b")
    assert expected in card(tmp_path / "b"), "saved elsewhere"
    loaded.save_pretrained(tmp_path / "b", card=CardFacts(training=["Other words."]))
    assert "- Other words.\n\n## Scores\n\n| benchmark" in card(tmp_path / "b"), (
        "one replaced, the other kept"
    )

    with torch.no_grad():
        loaded.adapter.layer_weights += 1
    for name in ("a", "b", "c"):
        loaded.save_pretrained(tmp_path / name)
        assert card(tmp_path / name).count("Not recorded.") == 2, "other weights, other scores"


def test_a_persons_card_is_kept(fresh, tmp_path, caplog):
    own = "# Mine\n\nTrained with love.\n"
    (tmp_path / "README.md").write_text(own)
    with caplog.at_level("INFO", "desta2"):
        fresh.save_pretrained(tmp_path, card=FACTS)
    assert card(tmp_path) == own
    assert "README.md was written by a person and is kept" in caplog.text
    Desta2Model.from_pretrained(tmp_path).save_pretrained(tmp_path / "copy")
    assert card(tmp_path / "copy") == own


def test_an_edited_card_is_kept(fresh, tmp_path):
    fresh.save_pretrained(tmp_path)
    edited = card(tmp_path).replace("Not recorded.", "My own recordings.", 1)
    (tmp_path / "README.md").write_text(edited)
    fresh.save_pretrained(tmp_path, card=FACTS)
    assert card(tmp_path) == edited


def test_a_model_that_others_cannot_load_is_pushed_with_a_warning(fresh, monkeypatch, caplog):
    monkeypatch.setattr(saving, "push", lambda *_, **__: "address")
    assert fresh.push_to_hub("me/ears") == "address"
    assert f"it names frozen models by local paths ({fresh.config.llm_id}, " in caplog.text
    caplog.clear()
    fresh.config.llm_id, fresh.config.encoder_id = "nano/llm", "openai/whisper-small"
    fresh.push_to_hub("me/ears")
    assert not caplog.text
