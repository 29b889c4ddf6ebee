"""All nano weights from nothing, in little."""

import shutil
from dataclasses import replace

import pytest

from desta2.errors import InputError
from desta2.model.modeling import load
from desta2.nano import nano_path
from desta2.nano.asr import AsrRecipe
from desta2.nano.llm import LlmRecipe
from desta2.nano.loop import LoopRecipe
from desta2.nano.scratch import PARTS, Scratch, train_all

LOOP = LoopRecipe(steps=2, learning_rate=1e-3, warmup=1, save_seconds=-1.0, log_every=1)
ASR = AsrRecipe(clips=8, validation_clips=2, width=16, encoder_layers=4, heads=2, batch=4, loop=LOOP)
LLM = LlmRecipe(width=32, layers=3, heads=4, intermediate=32, batch=2, tokens=200, loop=LOOP)


def small(folder):
    return Scratch(folder, ASR, LLM, replace(LLM, seed=1, phrasing="notes"), clips=6, steps=2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_is_trained_once_and_loads_from_anywhere(tmp_path):
    """The LLM is there already, as after a kill: after two steps it would not know when to end an answer."""
    folder = tmp_path / "scratch"
    shutil.copytree(nano_path("llm"), folder / "llm" / "model")
    weights = train_all(small(folder))
    assert sorted(path.name for path in weights.iterdir()) == sorted(PARTS)
    assert not (folder / "llm" / "work").exists(), "what is there is not trained again"
    moved = shutil.move(weights, tmp_path / "elsewhere")
    load(str(moved / "model"))

    def trained():
        return {path: path.stat().st_mtime_ns for path in folder.rglob("state.pt")}

    before = trained()
    assert train_all(small(folder)) == weights
    assert trained() == before
    with pytest.raises(InputError, match=r"begun with other settings: clips was 6 and is 7"):
        train_all(replace(small(folder), clips=7))
