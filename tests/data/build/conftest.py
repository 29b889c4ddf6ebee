"""A small corpus, and builds of it with an LLM that answers at once."""

import numpy as np
import pytest
import soundfile
import yaml
from instant import InstantBackend

from desta2.data.build import build, load_build, stages
from desta2.records import Clip, write_records


def write_corpus(folder, n, first=0):
    """Tones of 0.2 s beside a manifest; with `first`, more clips at its end."""
    folder.mkdir(exist_ok=True)
    for number in range(first, n):
        t = np.arange(3_200) / 16_000
        soundfile.write(folder / f"{number}.wav", 0.2 * np.sin(2 * np.pi * (100 + number) * t), 16_000)
    clips = [
        Clip(id=f"c{i}", audio=f"{i}.wav", text=f"number {i}", attributes={"gender": "Male"})
        for i in range(n)
    ]
    write_records(folder / "clips.jsonl", clips)
    return folder / "clips.jsonl"


@pytest.fixture
def corpus(tmp_path):
    """`corpus(n, first=0)` writes the manifest of n clips."""
    return lambda n, first=0: write_corpus(tmp_path / "corpus", n, first)


class Build:
    """A build in a folder: its config as a dictionary, and what became of it."""

    def __init__(self, folder, clips):
        self.folder = folder
        self.work = folder / "work"
        self.log = folder / "requests.log"
        self.config = {
            "output": str(self.work),
            "clips": str(clips),
            "processes": 1,
            "respond": {"llm": "instant"},
        }

    def run(self, **options):
        """Build; gives the actions of the stages, and sets `asked`, the ids that the LLM was asked about."""
        self.log.write_text("")
        self.steps = build(self.load(), **options)
        self.asked = self.log.read_text().split()
        return {step.stage: step.action for step in self.steps}

    def load(self):
        path = self.folder / "build.yaml"
        path.write_text(yaml.safe_dump(self.config))
        return load_build(path)


@pytest.fixture
def a_build(tmp_path, corpus, monkeypatch):
    made = Build(tmp_path, corpus(5))
    monkeypatch.setattr(stages, "open_backend", lambda *_, **__: InstantBackend(made.log))
    return made
