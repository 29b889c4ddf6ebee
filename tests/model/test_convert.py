"""Published layouts at sizes of our own making, so that nothing depends on those of tests/parity."""

import json
import os
import pickle
import re
import shutil

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from desta2.errors import CheckpointError, InputError
from desta2.model import Desta2Model
from desta2.model.checkpoint import fingerprint
from desta2.model.configuration import default_tap_layers
from desta2.model.convert import export_published, import_published

# Of the tiny frozen models: a Whisper of 4 layers, width 16, 2 heads; an LLM of width 24.
TAPS, QUERIES, LAYERS, WIDTH, INTERMEDIATE, D_LLM = 2, 5, 3, 16, 40, 24
CONFIGS = {
    "desta2": {
        "model_type": "DestaModel",
        "llama_model_id": "someone/llm",
        "whisper_model_id": "someone/whisper",
        "prompt_size": QUERIES,
    },
    "desta2.5": {
        "model_type": "desta25",
        "llm_model_id": "someone/llm",
        "encoder_model_id": "someone/whisper",
        "connector_mode": "qformer_1",
        "prompt_size": QUERIES,
        "qformer_num_hidden_layers": LAYERS,
        "target_layer_ids": [1, 3],
        "use_lora": False,
        "encoder_config": {"d_model": WIDTH, "encoder_layers": 4, "encoder_attention_heads": 2},
        "llm_config": {"hidden_size": D_LLM},
    },
}
PREFIX = {"desta2": "", "desta2.5": "perception.connector."}
RENAMES = (
    ("layer_prompts", "queries"),
    ("qformer.layer", "layers"),
    ("crossattention.self", "cross_attention"),
    ("crossattention.output.dense", "cross_attention.output"),
    ("crossattention.output.LayerNorm", "cross_attention.norm"),
    ("attention.self", "self_attention"),
    ("attention.output.dense", "self_attention.output"),
    ("attention.output.LayerNorm", "self_attention.norm"),
    ("intermediate.dense", "feed_forward.up"),
    ("output.dense", "feed_forward.down"),
    ("output.LayerNorm", "feed_forward.norm"),
    ("proj.0", "norm"),
    ("proj.1", "projection"),
)


def ours(key):
    """Our name of a published key without its prefix."""
    for published, name in RENAMES:
        key = re.sub(rf"(^|(?<=\.)){re.escape(published)}(?=\.)", name, key)
    return key


def connector(layout="desta2"):
    """Random tensors of a whole connector, by published names."""
    shapes = {"layer_weights": (QUERIES, TAPS), "proj.0": (WIDTH,), "proj.1": (D_LLM, WIDTH)}
    shapes |= {f"layer_prompts.{i}": (1, QUERIES, WIDTH) for i in range(TAPS)}
    for i in range(LAYERS):
        for attention in ("attention", "crossattention"):
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                shapes[f"qformer.layer.{i}.{attention}.{part}"] = (WIDTH, WIDTH)
            shapes[f"qformer.layer.{i}.{attention}.output.LayerNorm"] = (WIDTH,)
        shapes[f"qformer.layer.{i}.intermediate.dense"] = (INTERMEDIATE, WIDTH)
        shapes[f"qformer.layer.{i}.output.dense"] = (WIDTH, INTERMEDIATE)
        shapes[f"qformer.layer.{i}.output.LayerNorm"] = (WIDTH,)
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name, shape in shapes.items():
        if name.startswith("layer"):
            tensors[name] = torch.randn(shape, generator=generator)
        else:
            tensors[f"{name}.weight"] = 0.2 * torch.randn(shape, generator=generator)
            tensors[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    return {PREFIX[layout] + name: tensor for name, tensor in tensors.items()}


def write(folder, layout="desta2", tensors=None, **config):
    """A published checkpoint; DeSTA2's as a pickle."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGS[layout] | config))
    tensors = connector(layout) if tensors is None else tensors
    if layout == "desta2":
        torch.save(tensors, folder / "qformer_connector.pth")
    else:
        save_file(tensors, folder / "model.safetensors")
    return str(folder)


@pytest.fixture(params=CONFIGS)
def layout(request):
    return request.param


@pytest.fixture
def local(bases):
    return {"llm_id": str(bases / "llm"), "encoder_id": str(bases / "whisper")}


def complaint(*args, error=CheckpointError, **options):
    """The message of a conversion that must fail."""
    with pytest.raises(error) as caught:
        import_published(*args, **options)
    return str(caught.value)


# What comes out


def test_import_at_other_sizes(layout, local, clips, tmp_path):
    done = import_published(write(tmp_path / "src", layout), tmp_path / "out", **local)
    published = {name.removeprefix(PREFIX[layout]): tensor for name, tensor in connector(layout).items()}
    written = load_file(tmp_path / "out" / "adapter.safetensors")
    assert written.keys() == {ours(name) for name in published}
    assert all(torch.equal(written[ours(name)], tensor) for name, tensor in published.items())
    assert done.parameters == sum(tensor.numel() for tensor in published.values())

    model = Desta2Model.from_pretrained(tmp_path / "out")
    config = model.config
    sizes = (config.n_queries, config.adapter_layers, config.adapter_intermediate, config.adapter_heads)
    assert sizes == (QUERIES, LAYERS, INTERMEDIATE, 2)
    assert (config.d_encoder, config.d_llm, config.encoder_layers) == (WIDTH, D_LLM, 4)
    assert (config.layout, config.system_prompt) == (layout, None)
    assert config.llm_fingerprint == fingerprint(local["llm_id"])
    assert config.encoder_fingerprint == fingerprint(local["encoder_id"])
    output = model.chat(
        [{"role": "audio", "content": clips[0]}, {"role": "user", "content": "Who?"}], max_new_tokens=4
    )
    assert len(output.token_ids) > 0


@pytest.mark.parametrize(
    ("layout", "options", "taps", "bos", "strip", "longest"),
    [
        ("desta2", {}, [0, 2], "published-inference", False, 448),
        ("desta2", {"tap_convention": "training"}, [1, 3], "template", False, 448),
        ("desta2", {"tap_convention": "training", "bos_policy": "published-inference"}, [1, 3], "published-inference", False, 448),
        ("desta2", {"bos_policy": "template"}, [0, 2], "template", False, 448),
        ("desta2.5", {}, [1, 3], "template", True, 128),
        ("desta2.5", {"tap_convention": "published-inference"}, [0, 2], "template", True, 128),
    ],
)  # fmt: skip
def test_conventions(layout, options, taps, bos, strip, longest, local, tmp_path):
    config = import_published(write(tmp_path / "src", layout), tmp_path / "out", **local, **options).config
    assert (config.tap_layers, config.bos_policy) == (taps, bos)
    assert (config.strip_transcripts, config.max_transcript_tokens) == (strip, longest)


@pytest.mark.parametrize(
    ("depth", "taps"),
    [(4, [0, 1, 2, 3]), (12, [2, 5, 8, 11]), (24, [5, 11, 17, 23]), (32, [3, 7, 11, 15, 19, 23, 27, 31])],
    ids=["tiny", "small", "medium", "large-v3"],
)
def test_layers_of_the_published_code_follow_from_depth_and_number(depth, taps):
    """DeSTA2's files do not name their layers: its code does, by the Whisper's id."""
    assert default_tap_layers(depth, len(taps)) == taps


def test_stated_layers_are_kept(local, tmp_path):
    source = write(tmp_path / "src", "desta2.5", target_layer_ids=[0, 3])
    assert import_published(source, tmp_path / "out", **local).config.tap_layers == [0, 3]


def test_without_frozen_models(tmp_path):
    """DeSTA2.5 states what it needs; hub ids that are not at hand get no fingerprint."""
    config = import_published(write(tmp_path / "src", "desta2.5"), tmp_path / "out").config
    assert (config.llm_id, config.encoder_id) == ("someone/llm", "someone/whisper")
    assert (config.encoder_layers, config.adapter_heads, config.d_llm) == (4, 2, D_LLM)
    assert (config.llm_fingerprint, config.encoder_fingerprint) == (None, None)


def test_a_configuration_of_the_whisper_is_enough(bases, tmp_path):
    AutoConfig.from_pretrained(bases / "whisper").save_pretrained(tmp_path / "whisper")
    done = import_published(write(tmp_path / "src"), tmp_path / "out", encoder_id=str(tmp_path / "whisper"))
    assert (done.config.encoder_layers, done.config.adapter_heads) == (4, 2)
    assert done.config.encoder_fingerprint is None


def test_relative_folders_move_along(bases, tmp_path, monkeypatch):
    shutil.copytree(bases / "llm", tmp_path / "here" / "llm")
    shutil.copytree(bases / "whisper", tmp_path / "here" / "out" / "whisper")
    write(tmp_path / "here" / "src")
    monkeypatch.chdir(tmp_path / "here")
    names = {"llm_id": "llm", "encoder_id": "out/whisper"}
    config = import_published("src", tmp_path / "here" / "out", **names).config
    assert (config.llm_id, config.encoder_id) == ("../llm", "./whisper")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    assert Desta2Model.from_pretrained(tmp_path / "there" / "out").config.n_queries == QUERIES


def test_hub_ids_revisions_and_the_cache(bases, tmp_path):
    """The hub's own cache, as a download leaves it; there is no network here."""

    def cache(name, source, revision):
        place = tmp_path / "cache" / f"models--someone--{name}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / revision).write_text("0123abcd" * 5)
        shutil.copytree(source, place / "snapshots" / ("0123abcd" * 5))
        return place / "snapshots" / ("0123abcd" * 5)

    write(tmp_path / "src")
    cache("desta", tmp_path / "src", "v1")
    whisper, llm = cache("whisper", bases / "whisper", "main"), cache("llm", bases / "llm", "main")
    hub = {"revision": "v1", "cache_dir": str(tmp_path / "cache")}
    config = import_published("someone/desta", tmp_path / "out", **hub).config
    assert (config.llm_id, config.encoder_id) == ("someone/llm", "someone/whisper")
    assert config.llm_fingerprint == fingerprint(llm)
    assert config.encoder_fingerprint == fingerprint(whisper)
    error = complaint("someone/desta", tmp_path / "out", cache_dir=str(tmp_path / "cache"))
    assert "someone/desta is neither a folder nor a hub model with config.json within reach" in error
    # Half a download: the index names a file that is not there.
    (llm / "model.safetensors").rename(llm / "model-1.safetensors")
    (llm / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    )
    assert import_published("someone/desta", tmp_path / "out", **hub).config.llm_fingerprint is None


# What is wrong with the checkpoint


SPOILT = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SPOILT
@given(data=st.data())
def test_every_wrong_key_is_named(data, tmp_path):
    tensors = connector("desta2.5")
    picked = data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=5, unique=True))
    strangers = data.draw(
        st.lists(st.sampled_from(["lora_A", "perception.connector.layer_prompts.7"]), unique=True)
    )
    for number, name in enumerate(picked):
        if number % 2:
            tensors[name] = torch.zeros(3, 7)
        else:
            del tensors[name]
    tensors |= {name: torch.zeros(2) for name in strangers}
    error = complaint(write(tmp_path / "src", "desta2.5", tensors), tmp_path / "out")
    for number, name in enumerate(picked):
        assert (f"{name} has shape (3, 7)" if number % 2 else f"missing {name}") in error
    for name in strangers:
        assert f"unexpected {name}" in error
    assert not (tmp_path / "out").exists(), "nothing is written for a wrong checkpoint"


@pytest.mark.parametrize("name", sorted(connector()))
def test_each_missing_key_is_named_where_the_files_state_no_sizes(name, tmp_path, local):
    tensors = connector()
    del tensors[name]
    source = write(tmp_path / "src", tensors=tensors)
    (tmp_path / "src" / "config.json").write_text(json.dumps(CONFIGS["desta2"] | {"prompt_size": QUERIES}))
    assert f"missing {name}" in complaint(source, tmp_path / "out", **local)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("proj.1.weight", torch.zeros(9, WIDTH), "proj.1.weight has shape (9, 16) and proj.1.bias has shape (24,)"),
        ("proj.1.bias", torch.zeros(9), "proj.1.weight has shape (24, 16) and proj.1.bias has shape (9,)"),
        ("layer_weights", torch.zeros(5, 3), "layer_weights has shape (5, 3), but there are 2 layer_prompts"),
        ("layer_weights", torch.zeros(5, 1), "layer_weights has shape (5, 1), expected (5, 2)"),
        ("layer_weights", torch.zeros(TAPS, QUERIES), "layer_weights has shape (2, 5)"),
        ("layer_prompts.1", torch.zeros(1, 6, WIDTH), "layer_prompts.1 has shape (1, 6, 16), expected (1, 5, 16)"),
        ("layer_prompts.1", torch.zeros(QUERIES, WIDTH), "layer_prompts.1 has shape (5, 16), expected (1, 5, 16)"),
        ("layer_prompts.999999", torch.zeros(1, QUERIES, WIDTH), "layer_prompts.999999"),
        ("qformer.layer.3.output.dense.bias", torch.zeros(WIDTH), "missing qformer.layer.3.output.dense.weight"),
        ("proj.0.bias", torch.zeros(WIDTH, dtype=torch.int64), "proj.0.bias holds no floating-point numbers"),
    ],
)  # fmt: skip
def test_misshapen_keys(name, tensor, message, tmp_path, local):
    source = write(tmp_path / "src", tensors=connector() | {name: tensor})
    assert message in complaint(source, tmp_path / "out", **local)


def test_stated_sizes_are_held_against_the_tensors(tmp_path, local):
    source = write(tmp_path / "src", prompt_size=64)
    assert "layer_prompts.0 has shape (1, 5, 16), expected (1, 64, 16)" in complaint(
        source, tmp_path / "out", **local
    )
    source = write(tmp_path / "src25", "desta2.5", qformer_num_hidden_layers=LAYERS - 1)
    error = complaint(source, tmp_path / "out", **local)
    assert error.count("unexpected perception.connector.qformer.layer.2.") == 26


class Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["DESTA2_TEST_TRAP"],)


def test_a_hostile_pickle_is_refused(tmp_path, local, monkeypatch):
    monkeypatch.setenv("DESTA2_TEST_TRAP", str(tmp_path / "trap"))
    source = write(tmp_path / "src")
    for save in (torch.save, lambda value, file: file.write_bytes(pickle.dumps(value, protocol=2))):
        save(connector() | {"layer_weights": Hostile()}, tmp_path / "src" / "qformer_connector.pth")
        error = complaint(source, tmp_path / "out", **local)
        assert "qformer_connector.pth is refused: it is a pickle that holds more than tensors" in error
        assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    "value", [[1, 2], {"state_dict": {"layer_weights": 1}}, {1: torch.zeros(1)}, torch.zeros(3)]
)
def test_a_pickle_of_something_else(value, tmp_path, local):
    source = write(tmp_path / "src", tensors=value)
    assert "must hold tensors by name, and nothing else" in complaint(source, tmp_path / "out", **local)


def test_broken_files(tmp_path, local):
    source = write(tmp_path / "src")
    whole = (tmp_path / "src" / "qformer_connector.pth").read_bytes()
    for part in (b"", b"no tensors", whole[: len(whole) // 2]):
        (tmp_path / "src" / "qformer_connector.pth").write_bytes(part)
        error = complaint(source, tmp_path / "out", **local)
        assert "qformer_connector.pth cannot be read" in error or "qformer_connector.pth is refused" in error
    source = write(tmp_path / "src25", "desta2.5")
    (tmp_path / "src25" / "model.safetensors").write_bytes(b"no tensors")
    assert "model.safetensors cannot be read" in complaint(source, tmp_path / "out", **local)


def test_missing_files(tmp_path, local, layout):
    source = write(tmp_path / "src", layout)
    file = {"desta2": "qformer_connector.pth", "desta2.5": "model.safetensors"}[layout]
    (tmp_path / "src" / file).unlink()
    assert complaint(source, tmp_path / "out", **local) == f"{source} has no {file}"
    (tmp_path / "src" / "config.json").unlink()
    assert complaint(source, tmp_path / "out", **local) == f"{source} has no config.json"
    error = complaint("no/such", tmp_path / "out", **local)
    assert error.startswith("no/such is neither a folder nor a hub model with config.json within reach")
    (tmp_path / "file").write_text("")
    assert "file is a file; give its folder" in complaint(str(tmp_path / "file"), tmp_path / "out", **local)
    assert "cannot find config.json of no//such" in complaint("no//such", tmp_path / "out", **local)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "llama"}', "has no published layout: its config.json says model_type 'llama', expected 'DestaModel' (desta2), 'desta25' (desta2.5)"),
        ("{}", "model_type None"),
        ('{"model_type": "desta2"}', "is a desta2 model already; --to desta2 or desta2.5 exports it"),
        ("[]", "config.json must hold a JSON object, got list"),
        ("{", "config.json is no JSON"),
    ],
)  # fmt: skip
def test_other_configurations(text, message, tmp_path, local):
    source = write(tmp_path / "src")
    (tmp_path / "src" / "config.json").write_text(text)
    assert message in complaint(source, tmp_path / "out", **local)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"use_lora": True}, "use_lora True; expected False, as a changed LLM cannot be converted"),
        ({"connector_mode": "mlp"}, "connector_mode 'mlp'; expected 'qformer_1'"),
        ({"prompt_size": "5"}, "prompt_size '5'; expected a whole number of at least 1"),
        ({"prompt_size": 0}, "prompt_size 0"),
        ({"qformer_num_hidden_layers": 10**9}, "qformer_num_hidden_layers 1000000000; expected a whole number from 1 to 1000"),
        ({"target_layer_ids": 4}, "target_layer_ids 4; expected a list of layers"),
        ({"target_layer_ids": [1, 4]}, "tap_layers is [1, 4]; it must name layers from -1"),
        ({"target_layer_ids": [3]}, "layer_weights has shape (5, 2), expected (5, 1)"),
        ({"llm_model_id": 3}, "llm_model_id 3; expected the id of a model"),
        ({"llm_model_id": ""}, "names no llm_model_id; give the frozen models with --llm and --encoder"),
    ],
)  # fmt: skip
def test_impossible_values(config, message, tmp_path):
    source = write(tmp_path / "src", "desta2.5", **config)
    assert message in complaint(source, tmp_path / "out", error=InputError)
    assert not (tmp_path / "out").exists()


# What is wrong with the frozen models


def test_frozen_models_that_do_not_fit(bases, tmp_path):
    whisper, llm = (AutoConfig.from_pretrained(bases / name) for name in ("whisper", "llm"))
    whisper.update({"d_model": 32, "encoder_layers": 1})
    llm.update({"hidden_size": 48, "head_dim": 12})
    whisper.save_pretrained(tmp_path / "whisper")
    llm.save_pretrained(tmp_path / "llm")
    given = {"llm_id": str(tmp_path / "llm"), "encoder_id": str(tmp_path / "whisper")}
    error = complaint(write(tmp_path / "src25", "desta2.5"), tmp_path / "out", **given)
    for part in (
        f"encoder_layers of the Whisper {tmp_path}/whisper is 1, the checkpoint states 4",
        f"d_model of the Whisper {tmp_path}/whisper is 32, the connector's 16",
        f"the Whisper {tmp_path}/whisper has 1 encoder layers, the connector reads 2",
        f"hidden_size of the LLM {tmp_path}/llm is 48, the connector's output 24",
    ):
        assert part in error
    assert "was not made for these frozen models" in complaint(
        write(tmp_path / "src"), tmp_path / "out", **given
    )


def test_frozen_models_that_are_not_there(bases, tmp_path):
    source = write(tmp_path / "src")
    error = complaint(source, tmp_path / "out")
    assert "cannot read the configuration of the Whisper someone/whisper" in error
    assert "the frozen model ./none" in complaint(source, tmp_path / "out", encoder_id="./none")
    llm = {"encoder_id": str(bases / "llm")}
    assert f"{bases}/llm is no Whisper" in complaint(source, tmp_path / "out", **llm)
    (tmp_path / "empty").mkdir()
    both = {"encoder_id": str(bases / "whisper"), "llm_id": str(tmp_path / "empty")}
    assert f"cannot read the configuration of the LLM {tmp_path}/empty: it has no config.json" in complaint(
        source, tmp_path / "out", **both
    )


def test_where_it_goes(tmp_path, local):
    source = write(tmp_path / "src")
    error = complaint(source, tmp_path / "src" / ".." / "src", error=InputError, **local)
    assert "is the checkpoint itself; give another folder" in error
    (tmp_path / "file").write_text("")
    error = complaint(source, tmp_path / "file", error=InputError, **local)
    assert error == f"cannot make the folder {tmp_path}/file: File exists"


# And back


def test_export_of_a_model_of_ours(layout, bases, make_model, tmp_path, caplog):
    taps = [0, 1, 2, 3] if layout == "desta2" else [0, 3]
    model = make_model(bases, layout=layout, tap_layers=taps)
    model.save_pretrained(tmp_path / "model")
    done = export_published(str(tmp_path / "model"), tmp_path / "out", layout)
    assert done.parameters == sum(parameter.numel() for parameter in model.adapter.parameters())
    if layout == "desta2":
        assert "will read the layers [-1, 0, 1, 2], this model reads [0, 1, 2, 3]" in caplog.text
    assert "the published code builds other sizes and will not load this connector" in caplog.text
    convention = {"tap_convention": "training"} if layout == "desta2" else {}
    import_published(str(tmp_path / "out"), tmp_path / "again", **convention)
    again = Desta2Model.from_pretrained(tmp_path / "again")
    assert again.config.tap_layers == taps
    for name, tensor in model.adapter.state_dict().items():
        assert torch.equal(tensor, again.adapter.state_dict()[name]), name


@pytest.mark.parametrize(
    ("config", "to", "message"),
    [
        ({}, "desta2.5", "its prompts have the layout 'desta2'"),
        ({"standardise_taps": True}, "desta2", "it standardises its taps"),
        ({"normalise_outputs": True}, "desta2", "it normalises its outputs"),
        ({"encoder_frames": "speech"}, "desta2", "it hears only the frames of a clip's own length"),
        ({"tap_layers": [0, 3]}, "desta2", "it reads the encoder layers [0, 3], where DeSTA2 can only mean [1, 3]"),
        ({"layout": "desta2.5", "tap_layers": [-1, 3]}, "desta2.5", "it reads the input of the first encoder layer"),
        ({"adapter_heads": 4}, "desta2", "it has 4 heads, where the published code takes the Whisper's 2"),
    ],
)  # fmt: skip
def test_what_a_published_layout_cannot_hold(config, to, message, bases, make_model, tmp_path):
    make_model(bases, **config).save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match=re.escape(message)):
        export_published(str(tmp_path / "model"), tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_only_models_of_ours_are_exported(tmp_path):
    with pytest.raises(CheckpointError, match=r"is no desta2 model: its config\.json says .* 'DestaModel'"):
        export_published(write(tmp_path / "src"), tmp_path / "out", "desta2")


def test_export_checks_the_adapter_and_the_folder(bases, make_model, tmp_path):
    make_model(bases).save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="is the checkpoint itself"):
        export_published(str(tmp_path / "model"), tmp_path / "model", "desta2")
    tensors = load_file(tmp_path / "model" / "adapter.safetensors")
    tensors["stranger"] = tensors.pop("norm.bias")
    save_file(tensors, tmp_path / "model" / "adapter.safetensors")
    with pytest.raises(CheckpointError, match=r"missing norm\.bias; unexpected stranger"):
        export_published(str(tmp_path / "model"), tmp_path / "out", "desta2")
