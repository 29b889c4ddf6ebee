"""The verb convert, on the checkpoints of tests/parity."""

import json
import shutil
from pathlib import Path

import pytest

SMALL = Path(__file__).parents[1] / "parity" / "desta2_small"
BASES = ["--llm", SMALL / "llama", "--encoder", SMALL / "whisper"]


def test_json(result, tmp_path):
    found = result("convert", SMALL, "-o", tmp_path / "out", *BASES)
    assert found["model"] == str(tmp_path / "out")
    assert (found["layout"], found["tap_layers"], found["bos_policy"]) == (
        "desta2",
        [1, 4, 7, 10],
        "published-inference",
    )
    saved = json.loads((tmp_path / "out" / "config.json").read_text())
    assert found["llm_fingerprint"] == saved["llm_fingerprint"] is not None
    back = result("convert", tmp_path / "out", "-o", tmp_path / "back", "--to", "desta2")
    assert back == {
        "checkpoint": str(tmp_path / "back"),
        "layout": "desta2",
        "parameters": found["parameters"],
    }
    assert sorted(file.name for file in (tmp_path / "back").iterdir()) == [
        "config.json",
        "qformer_connector.pth",
    ]


def test_in_words(cli, tmp_path):
    shutil.copytree(SMALL / "whisper", tmp_path / "whisper")
    code, out, err = cli("convert", SMALL, "-o", tmp_path / "out", "--encoder", tmp_path / "whisper")
    assert (code, err) == (0, "")
    assert out == (
        f"{tmp_path}/out: desta2 model with an adapter of 312,840 parameters, tap layers 1, 4, 7, 10, "
        "BOS policy published-inference; not fingerprinted, as not at hand: meta-llama/Meta-Llama-3-8B-Instruct\n"
    )
    code, out, err = cli("convert", tmp_path / "out", "-o", tmp_path / "back", "--to", "desta2")
    assert (code, out) == (0, f"{tmp_path}/back: desta2 checkpoint of 312,840 parameters\n")
    assert "the published code wants hub ids: give them with --llm and --encoder" in err


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["none"], "none is neither a folder nor a hub model with config.json within reach"),
        ([SMALL], "cannot read the configuration of the Whisper openai/whisper-small"),
        ([SMALL, "--encoder", "./none"], "the frozen model ./none"),
        ([SMALL, "--to", "desta2"], "desta2_small is no desta2 model: its config.json says model_type 'DestaModel'"),
        ([SMALL, "--to", "desta2", "--tap-convention", "training"], "--tap-convention and --bos-policy belong to the import"),
        ([SMALL, "--to", "desta3"], "'desta3' is not one of 'desta2', 'desta2.5'"),
        ([SMALL, "--tap-convention", "none"], "Invalid value for '--tap-convention'"),
        ([SMALL / "whisper"], "has no published layout: its config.json says model_type 'whisper'"),
    ],
)  # fmt: skip
def test_mistakes(argv, line, mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert line in mistake("convert", *argv, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_help_has_an_example(cli):
    code, out, _ = cli("convert", "--help")
    assert code == 0
    assert "Example: desta2 convert DeSTA-ntu/DeSTA2-8B-beta" in out
