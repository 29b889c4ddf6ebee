"""`desta2 scale`: the verbs over folders of shards, with the verbs' own options."""

import json
import re
from pathlib import Path

import pytest

from desta2.commands.respond import respond
from desta2.commands.scale import VERBS, _anywhere, run_verb
from desta2.data import attributes
from desta2.data.audio import write_wav
from desta2.data.scale.work import attempt
from desta2.records import Clip, Seed, read_records, write_records


@pytest.fixture
def clips(tmp_path):
    import numpy as np

    tone = 0.3 * np.sin(np.arange(8_000) / 10, dtype=np.float32)
    (tmp_path / "data").mkdir()
    for i in range(3):
        write_wav(tmp_path / f"data/{i}.wav", tone)
    write_records(
        tmp_path / "data/clips.jsonl", [Clip(id=f"c{i}", audio=f"{i}.wav", duration=0.5) for i in range(3)]
    )
    return tmp_path / "data/clips.jsonl"


def test_from_a_file_to_seeds(clips, tmp_path, result, cli):
    shards, seeds = tmp_path / "shards", tmp_path / "seeds"
    assert result("scale", "shard", clips, "-o", shards, "--records", 2)["shards"] == 2
    options = ("--format", "v2.5", "--form", "parquet", "--workers", 1)
    code, out, err = cli("scale", "seed", shards, "-o", seeds, *options)
    assert code == 0, err
    assert out == f"{seeds}: 2 shards done, 0 were done before\nseeds 3\n"
    found = list(read_records(seeds, Seed))
    assert [(seed.id, seed.seed) for seed in found] == [
        (f"c{i}", "[00:00-00:01] (Duration: 1s)") for i in range(3)
    ]
    assert result("scale", "seed", shards, "-o", seeds, *options) == {
        "output": str(seeds), "shards": 2, "done": 0, "already_done": 2, "counts": {}, "examples": [], "job": None,
    }  # fmt: skip


def test_mistakes(clips, tmp_path, mistake, result):
    shards = tmp_path / "shards"
    result("scale", "shard", clips, "-o", shards)
    assert "seeds was begun otherwise: fmt was 'v2' and is 'v2.5'" in _twice(
        shards, tmp_path, result, mistake
    )
    said = mistake("scale", "annotate", shards, "-o", tmp_path / "a", "--executor", "slurm")
    assert said == "--executor slurm needs --partition, the name of one (`sinfo` lists them)"
    said = mistake(
        "scale",
        "seed",
        shards,
        "-o",
        tmp_path / "b",
        "--executor",
        "slurm",
        "--partition",
        "x",
        "--sbatch",
        "y",
    )
    assert said == "given --sbatch y, expected NAME=VALUE, for example account=speech"
    assert "No such option: --processes" in mistake(
        "scale", "annotate", shards, "-o", tmp_path / "a", "--processes", 2
    )
    assert mistake("scale", "annotate", shards).startswith("Missing option '--output' / '-o'")
    assert "is a file; expected a folder of shards" in mistake(
        "scale", "annotate", clips, "-o", tmp_path / "a"
    )


def _twice(shards, tmp_path, result, mistake):
    (tmp_path / "seeds/_scale").mkdir(parents=True)
    told = {"source": "../shards", "suffix": ".jsonl", "verb": "seed", "fmt": "v2", "scheme": None}
    (tmp_path / "seeds/_scale/run.json").write_text(json.dumps(told))
    return mistake("scale", "seed", shards, "-o", tmp_path / "seeds", "--format", "v2.5")


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_the_options_of_the_verb(verb, cli):
    code, own, _ = cli(verb, "--help")
    code_here, here, _ = cli("scale", verb, "--help")
    assert code == code_here == 0
    options = set(re.findall(r"--[a-z-]+", own)) - {"--processes"}
    assert options <= set(re.findall(r"--[a-z-]+", here))
    assert {"--executor", "--workers", "--partition"} <= set(re.findall(r"--[a-z-]+", here))
    assert f"Example: desta2 scale {verb}" in here


def test_a_verb_on_a_shard_prints_nothing(clips, tmp_path, capsys, caplog):
    caplog.set_level("INFO", logger="desta2")
    found = run_verb("annotate", {"processes": 1, "skip_bad": True}, clips, tmp_path / "part-0.jsonl")
    assert found["annotated"] == 3
    assert capsys.readouterr() == ("", "")
    assert "part-0.jsonl: measuring: 3/3 (100 %), done in" in caplog.text


class Here:
    """Does shards in this process, in which a verb is called as on a worker."""

    def run(self, work, shards):
        return (attempt(work, name) for name in shards)


def test_a_moved_run_goes_on_and_may_skip_what_is_bad(clips, tmp_path, cli, mistake, monkeypatch):
    monkeypatch.setattr("desta2.commands.scale._engine", lambda **_: Here())
    shards, out = tmp_path / "here/shards", tmp_path / "here/seeds"
    cli("scale", "shard", clips, "-o", shards, "--records", 2)
    (shards / "part-00001.jsonl").write_text('{"id": "bad"}\n')
    scheme = tmp_path / "own.yaml"
    scheme.write_text(Path(attributes.__file__).with_suffix(".yaml").read_text())
    mistake("scale", "annotate", shards, "-o", out, "--scheme", scheme)
    (tmp_path / "here").rename(tmp_path / "there")
    shards, out = tmp_path / "there/shards", tmp_path / "there/seeds"
    scheme = scheme.rename(tmp_path / "there/own.yaml")
    code, _, err = cli("scale", "annotate", shards, "-o", out, "--scheme", scheme, "--skip-bad")
    assert code == 0, err
    scheme.write_text(scheme.read_text() + "# changed\n")
    assert "was begun otherwise: scheme was 'own.yaml (" in mistake(
        "scale", "annotate", shards, "-o", out, "--scheme", scheme
    )


def test_paths_mean_the_same_to_every_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    given = {"llm": "model", "prompt": "model", "scheme": Path("model/s.yaml"), "top_p": 0.5}
    assert {name: _anywhere(name, value) for name, value in given.items()} == {
        "llm": str(tmp_path / "model"), "prompt": "model", "scheme": tmp_path / "model/s.yaml", "top_p": 0.5,
    }  # fmt: skip
    assert _anywhere("llm", "org/model") == "org/model"


def test_defaults_are_those_of_the_verb():
    # what the command line would take is what the verb is called with
    from inspect import signature

    from desta2.commands.scale import app

    [command] = [entry for entry in app.registered_commands if entry.name == "respond"]
    here, own = signature(command.callback).parameters, signature(respond).parameters
    same = own.keys() - {"seeds", "output", "as_json", "verbose"}
    assert {name: here[name].default for name in same} == {name: own[name].default for name in same}
