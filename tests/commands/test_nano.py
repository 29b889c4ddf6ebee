"""The verbs of the nano world."""

import pytest

from desta2.nano import asr, llm
from desta2.records import Clip, read_records


def test_a_corpus(tmp_path, result, cli):
    argv = ("nano", "corpus", "-n", 3, "--split", "test", "--seed", 4, "--processes", 1)
    found = result(*argv, "-o", tmp_path / "one")
    assert found == {"clips": str(tmp_path / "one" / "clips.jsonl"), "n": 3}
    clips = list(read_records(found["clips"], Clip))
    assert [clip.id for clip in clips] == [f"nano-test-4-{i:06d}" for i in range(3)]
    assert all((tmp_path / "one" / clip.audio).exists() for clip in clips)
    code, out, _ = cli(*argv, "-o", tmp_path / "two")
    assert (code, out) == (0, f"{tmp_path}/two/clips.jsonl: 3 clips\n")
    assert [clip.text for clip in read_records(tmp_path / "two" / "clips.jsonl", Clip)] == [
        c.text for c in clips
    ]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["corpus", "-o", "out", "-n", "2", "--split", "tset"], "tset"),
        (["corpus", "-o", "out"], "Missing option '-n'; see 'desta2 nano corpus --help'"),
        (["corpus", "-o", "out", "-n", "0"], "see 'desta2 nano corpus --help'"),
        (["corpus", "-n", "2"], "Missing option '--output' / '-o'; see 'desta2 nano corpus --help'"),
        (["train-asr", "-o", "out", "--steps", "0"], "see 'desta2 nano train-asr --help'"),
        (["train-llm", "-o", "out", "--steps", "many"], "see 'desta2 nano train-llm --help'"),
        (["study", "-o", "out", "--scale", "big"], "unknown scale 'big'; expected one of full, small"),
        (["study", "-o", "out", "--only", "tap"], "unknown experiment 'tap'; expected one of base, targets"),
        (
            ["study", "-o", "out", "--second-llm", "away"],
            "--second-llm: there is no folder away; give a model",
        ),
        (["corpse"], "No such command 'corpse'. Did you mean 'corpus'?; see 'desta2 nano --help'"),
    ],
)
def test_mistakes(tmp_path, mistake, monkeypatch, argv, line):
    monkeypatch.chdir(tmp_path)
    assert line in mistake("nano", *argv)
    assert not list(tmp_path.iterdir())


def test_the_recipes_are_those_of_the_shipped_weights_but_for_what_is_given(tmp_path, cli, monkeypatch):
    """The trainings themselves take minutes, and have tests of their own."""
    trained = []
    monkeypatch.setattr(asr, "train_asr", lambda *call: trained.append(call))
    monkeypatch.setattr(llm, "train_llm", lambda *call: trained.append(call))
    out = tmp_path / "out"
    assert cli("nano", "train-asr", "-o", out)[1] == f"{out}/model: nano Whisper\n"
    assert cli("nano", "train-llm", "-o", out)[1] == f"{out}/model: nano LLM\n"
    assert trained == [(out, asr.AsrRecipe(), None), (out, llm.LlmRecipe())]

    cli("nano", "train-asr", "-o", out, "--steps", 7, "--clips", 40, "--corpus", tmp_path)
    cli("nano", "train-llm", "-o", out, "--steps", 8)
    (_, asr_recipe, corpus), (_, llm_recipe) = trained[2:]
    assert (asr_recipe.loop.steps, asr_recipe.clips, corpus) == (7, 40, tmp_path)
    assert asr_recipe.loop.learning_rate == asr.AsrRecipe().loop.learning_rate
    assert llm_recipe.loop.steps == 8
