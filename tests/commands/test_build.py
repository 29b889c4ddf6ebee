"""The verb build: plan, run, result in words and JSON, and mistakes in one line."""

from pathlib import Path

import pytest
from instant import InstantBackend

from desta2.data.build import stages
from desta2.records import Pair, read_records

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "build-nano.yaml"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The words that build the nano recipe in a folder, with an LLM that answers at once."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(stages, "open_backend", lambda *_, **__: InstantBackend(tmp_path / "log"))
    return "build", RECIPE, f"output={tmp_path / 'work'}", "processes=1"


def test_the_nano_recipe(tmp_path, recipe, cli, result):
    work = tmp_path / "work"
    plan = result(*recipe, "--dry-run")
    assert plan["dry_run"] is True
    assert {name: stage["action"] for name, stage in plan["stages"].items()} == dict.fromkeys(
        ("augment", "annotate", "seed", "respond"), "start"
    )
    assert not work.exists()
    done = result(*recipe)
    assert done["output"] == str(work / "pairs")
    assert done["stages"]["respond"] == {
        "action": "start", "reason": "not made yet", "output": str(work / "pairs"),
        "written": 8, "already_done": 0, "unfinished": 0, "failed": 0,
    }  # fmt: skip
    seeds = {pair.id: pair.seed for pair in read_records(work / "pairs", Pair)}
    assert len(seeds) == 8
    assert "Noise level: Clean" in seeds["nano-test-7-000018"]
    code, text, _ = cli(*recipe)
    assert code == 0
    assert text.splitlines()[-1] == (
        f"respond   keep      {work / 'pairs'} (unchanged): written 8, already_done 0, unfinished 0, failed 0"
    )


def test_a_changed_key(recipe, cli, mistake, result):
    cli(*recipe)
    line = mistake(*recipe, "respond.seed=1")
    assert "(respond: seed was 0 and is 1). --redo moves" in line
    code, text, _ = cli(*recipe, "respond.seed=1", "--dry-run")
    assert code == 0
    assert text.splitlines()[-1].endswith("(seed was 0 and is 1)")
    assert result(*recipe, "respond.seed=1", "--redo")["stages"]["respond"]["action"] == "redo"


def test_single_stages(recipe, result):
    assert list(result(*recipe, "--until", "seed")["stages"]) == ["augment", "annotate", "seed"]
    assert result(*recipe, "--until", "seed", "--again", "seed")["stages"]["seed"]["action"] == "continue"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["none.yaml"], "no config file at none.yaml"),
        ([RECIPE, "respond.temprature=1"], "unknown key 'respond.temprature' in override 'respond.temprature=1'; did you mean 'respond.temperature'?"),
        ([RECIPE, "clips=none.jsonl"], "none.jsonl does not exist"),
        ([RECIPE, "output=x", "--until", "sed"], "this build has no stage 'sed'; it has augment, annotate, seed, respond"),
    ],
)  # fmt: skip
def test_mistakes(mistake, monkeypatch, argv, line):
    monkeypatch.chdir(ROOT)
    assert line in mistake("build", *argv)
