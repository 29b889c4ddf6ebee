import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    AutoProcessor,
    WhisperForConditionalGeneration,
)

import desta2
from desta2.errors import CheckpointError, ConfigError
from desta2.model import Desta2Model, Desta2Processor
from desta2.model.checkpoint import fingerprint


@pytest.fixture(scope="module")
def saved(bases, make_model, tmp_path_factory):
    """A saved model next to its bases, which it names relatively, like the one shipped with the package."""
    root = tmp_path_factory.mktemp("shipped")
    shutil.copytree(bases / "llm", root / "llm")
    shutil.copytree(bases / "whisper", root / "whisper")
    model = make_model(root, standardise_taps=True)
    model.adapter.calibrate(torch.randn(4, 3, 50, 16))
    model.config.llm_id, model.config.encoder_id = "../llm", "../whisper"
    model._base_paths = {"llm_id": str(root / "llm"), "encoder_id": str(root / "whisper")}
    model.save_pretrained(root / "model")
    return root / "model", model


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(saved[0].parent, tmp_path / "copy")
    return tmp_path / "copy" / "model"


def test_only_the_adapter_is_saved(saved):
    path, model = saved
    assert sorted(os.listdir(path)) == ["README.md", "adapter.safetensors", "config.json"]
    assert load_file(path / "adapter.safetensors").keys() == model.adapter.state_dict().keys()


def test_saved_files_can_be_read_by_others(saved, tmp_path):
    before = os.umask(0o022)
    try:
        (tmp_path / "adapter.safetensors.tmp").touch(0o600)  # left by a process that died
        saved[1].save_pretrained(tmp_path)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}
        os.umask(0o077)
        saved[1].save_pretrained(tmp_path / "private")
        assert (tmp_path / "private" / "adapter.safetensors").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_round_trip_is_bit_equal(saved, tmp_path):
    path, model = saved
    loaded = AutoModel.from_pretrained(path)
    assert isinstance(loaded, Desta2Model)
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    features = torch.randn(2, 20, 100)
    assert torch.equal(model.get_audio_features(features), loaded.get_audio_features(features))
    loaded.save_pretrained(tmp_path / "elsewhere" / "deep")
    again = Desta2Model.from_pretrained(tmp_path / "elsewhere" / "deep")
    assert again.config.llm_id.startswith("..")
    assert torch.equal(model.get_audio_features(features), again.get_audio_features(features))


@pytest.mark.parametrize("auto", [AutoModelForCausalLM, AutoModelForMultimodalLM])
def test_other_auto_classes_load_the_same(saved, auto):
    assert isinstance(auto.from_pretrained(saved[0]), Desta2Model)


def test_auto_processor(saved, tmp_path):
    processor = AutoProcessor.from_pretrained(saved[0])
    assert isinstance(processor, Desta2Processor)
    messages = [{"role": "audio", "content": "a.wav"}, {"role": "user", "content": "Hello?"}]
    assert processor.prompt(messages, ["fox"]) == saved[1].processor.prompt(messages, ["fox"])
    processor.save_pretrained(tmp_path / "deep" / "processor")
    assert os.listdir(tmp_path / "deep" / "processor") == ["config.json"]
    again = AutoProcessor.from_pretrained(tmp_path / "deep" / "processor")
    assert again.config.llm_id.startswith("../")
    assert again.prompt(messages, ["fox"]) == processor.prompt(messages, ["fox"])


def test_state_of_the_whole_model_can_be_given(saved, tmp_path):
    model = saved[1]
    state = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=state)
    written = load_file(tmp_path / "adapter.safetensors")
    assert torch.equal(written["layer_weights"], model.adapter.layer_weights + 1)
    assert written.keys() == model.adapter.state_dict().keys()


def test_only_the_main_process_writes(saved, tmp_path):
    saved[1].save_pretrained(tmp_path / "none", is_main_process=False)
    assert not (tmp_path / "none").exists()


def test_every_wrong_key_is_named(folder):
    tensors = load_file(folder / "adapter.safetensors")
    del tensors["norm.weight"], tensors["queries.2"]
    tensors["stranger"] = torch.zeros(1)
    tensors["layer_weights"] = torch.zeros(3, 5)
    save_file(tensors, folder / "adapter.safetensors")
    with pytest.raises(CheckpointError) as error:
        Desta2Model.from_pretrained(folder)
    for part in (
        "missing norm.weight",
        "missing queries.2",
        "unexpected stranger",
        "layer_weights has shape (3, 5), expected (3, 4)",
    ):
        assert part in str(error.value)


def test_missing_and_broken_files(folder, tmp_path):
    adapter = folder / "adapter.safetensors"
    content = adapter.read_bytes()
    adapter.write_bytes(b"not a tensor file")
    with pytest.raises(CheckpointError, match=r"adapter\.safetensors cannot be read"):
        Desta2Model.from_pretrained(folder)
    adapter.unlink()
    for load in (Desta2Model.from_pretrained, AutoModel.from_pretrained, desta2.load):
        with pytest.raises(
            CheckpointError, match=r"copy/model has no adapter\.safetensors; is it a desta2 model folder\?"
        ):
            load(folder)
    with pytest.raises(CheckpointError, match="neither a folder nor a hub model"):
        Desta2Model.from_pretrained("nobody/nothing-here")
    with pytest.raises(CheckpointError, match=r"config\.json is a file; give the model's folder"):
        Desta2Model.from_pretrained(folder / "config.json")
    adapter.write_bytes(content)
    shutil.rmtree(folder.parent / "llm")
    with pytest.raises(CheckpointError, match=r"the frozen model \.\./llm .* is not there"):
        Desta2Model.from_pretrained(folder)


def test_a_folder_without_an_adapter_is_refused_before_any_base_is_loaded(folder):
    """Such as the folder of an LLM."""
    (folder / "adapter.safetensors").unlink()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    shutil.rmtree(folder.parent / "llm")
    with pytest.raises(CheckpointError, match=r"has no adapter\.safetensors; .*'desta2 convert'"):
        Desta2Model.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"has no adapter\.safetensors and no config\.json"):
        Desta2Model.from_pretrained(folder.parent)


def test_other_base_weights_are_refused_unless_allowed(folder, save_llm):
    shutil.rmtree(folder.parent / "llm")
    save_llm(folder.parent / "llm", seed=7)
    with pytest.raises(
        CheckpointError, match=r"the LLM at .* is not the one that the adapter was trained with"
    ):
        Desta2Model.from_pretrained(folder)
    assert Desta2Model.from_pretrained(folder, allow_other_bases=True)


def test_bases_of_other_widths_are_refused(bases, make_model):
    config = make_model(bases, n_queries=2).config
    config.d_llm, config.encoder_layers = 99, 5
    model = make_model(bases)
    with pytest.raises(
        CheckpointError, match="d_llm is 99 in the configuration and 24 in the model; encoder_layers"
    ):
        Desta2Model(config, model.whisper, model.llm)


def test_an_encoder_that_is_no_whisper_is_refused(bases):
    with pytest.raises(CheckpointError, match="llm is a llama model; the encoder must be a Whisper"):
        Desta2Model.from_bases(str(bases / "llm"), str(bases / "llm"))


def test_bases_can_be_elsewhere(folder, bases):
    shutil.rmtree(folder.parent / "llm")
    assert Desta2Model.from_pretrained(folder, llm_id=str(bases / "llm")).llm is not None


def test_unknown_options_and_keys_fail_early(folder):
    with pytest.raises(ConfigError, match="unknown options of from_pretrained: dtyp"):
        Desta2Model.from_pretrained(folder, dtyp="bfloat16")
    with pytest.raises(ConfigError, match="unknown options of save_pretrained: push_too_hub"):
        desta2.load(folder).save_pretrained(folder, push_too_hub=True)
    with pytest.raises(ConfigError, match="unknown configuration key 'n_querys'"):
        Desta2Model.from_bases("no/llm", "no/whisper", n_querys=3)
    with pytest.raises(CheckpointError, match="cannot load the LLM no/llm"):
        Desta2Model.from_bases("no/llm", "no/whisper")


@pytest.mark.parametrize("tie", [False, True])
def test_fingerprint_of_folder_and_model_agree(bases, save_llm, tmp_path, tie):
    folder = save_llm(tmp_path / "llm", tie=tie)
    print_of_folder = fingerprint(folder)
    for dtype in (torch.float32, torch.bfloat16):
        assert fingerprint(AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)) == print_of_folder
    assert fingerprint(save_llm(tmp_path / "other", seed=3, tie=tie)) != print_of_folder
    whisper = WhisperForConditionalGeneration.from_pretrained(bases / "whisper")
    assert fingerprint(whisper) == fingerprint(bases / "whisper")


def test_fingerprint_survives_sharding(bases, tmp_path):
    AutoModelForCausalLM.from_pretrained(bases / "llm").save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert fingerprint(tmp_path) == fingerprint(bases / "llm")


def test_fingerprint_is_of_the_files_that_are_loaded(bases, tmp_path):
    """Mistral's repositories hold the weights a second time, under other names."""
    shutil.copytree(bases / "llm", tmp_path / "llm")
    save_file({"layers.0.wq": torch.ones(2, 2)}, tmp_path / "llm" / "consolidated.safetensors")
    assert fingerprint(tmp_path / "llm") == fingerprint(bases / "llm")


def test_fingerprint_needs_all_shards(bases, tmp_path):
    AutoModelForCausalLM.from_pretrained(bases / "llm").save_pretrained(tmp_path, max_shard_size="10KB")
    next(tmp_path.glob("model-00002-*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors, whole or in parts"):
        fingerprint(tmp_path)


def test_fingerprint_needs_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors, whole or in parts"):
        fingerprint(tmp_path)
