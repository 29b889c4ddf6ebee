"""There and back again: no bit of a published checkpoint is lost."""

import json

import pytest
import torch
from safetensors.torch import load_file

from desta2.cli import app, run


def weights(folder):
    (file,) = [*folder.glob("*.pth"), *folder.glob("model.safetensors")]
    return torch.load(file, weights_only=True) if file.suffix == ".pth" else load_file(file)


@pytest.fixture(params=["desta2", "desta2.5"])
def layout(request):
    return request.param


@pytest.fixture
def folders(layout, request, tmp_path):
    """The published checkpoint; its import; that one's export; and the import of the export."""
    fixture = request.getfixturevalue({"desta2": "small", "desta2.5": "large"}[layout])
    imported, exported, again = (tmp_path / name for name in ("imported", "exported", "again"))
    for source, target, options in (
        (fixture.checkpoint, imported, fixture.bases),
        (imported, exported, ["--to", layout]),
        (exported, again, []),
    ):
        assert run(app, ["convert", str(source), "-o", str(target), *options]) == 0
    return fixture.checkpoint, imported, exported, again


def test_round_trip_is_bit_equal(folders, layout):
    source, imported, exported, again = folders
    before, after = weights(source), weights(exported)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert torch.equal(tensor, after[name]), name
    told, written = (json.loads((folder / "config.json").read_text()) for folder in (source, exported))
    for key in (
        "model_type",
        "prompt_size",
        "target_layer_ids",
        "qformer_num_hidden_layers",
        "connector_mode",
    ):
        assert told.get(key) == written.get(key)
    assert (imported / "adapter.safetensors").read_bytes() == (again / "adapter.safetensors").read_bytes()
    first, second = (json.loads((folder / "config.json").read_text()) for folder in (imported, again))
    assert first | {"llm_id": "-", "encoder_id": "-"} == second | {"llm_id": "-", "encoder_id": "-"}


def test_other_ids_can_be_written(folders, layout, tmp_path):
    ids = ["meta-llama/Meta-Llama-3-8B-Instruct", "openai/whisper-small"]
    argv = [
        "convert",
        str(folders[1]),
        "-o",
        str(tmp_path / "hub"),
        "--to",
        layout,
        "--llm",
        ids[0],
        "--encoder",
        ids[1],
    ]
    assert run(app, argv) == 0
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert [value for key, value in config.items() if key.endswith("_model_id")] == ids
