import json
import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from desta2 import __version__
from desta2.data.audio import write_wav
from desta2.data.backends import PromptStyle, Reply, Sampling, TransformersBackend
from desta2.data.prompts import DESCRIBE
from desta2.data.respond import respond
from desta2.errors import InputError, RecordError
from desta2.model.configuration import DEFAULT_SYSTEM_PROMPT
from desta2.records import Pair, Seed, read_records, write_records
from desta2.train.dataset import read_pairs

TEXTS = [
    "hello",
    "the quick brown fox says hello",
    "",
    "is the voice loud",
    "a calm woman",
    "hello fox",
    "answer",
]


def make_seed(i, text, **fields):
    return Seed(
        id=f"clip-{i}", audio=f"audio/{i}.wav", duration=2.0, text=text,
        seed=f'[00:00:00 - 00:00:02] "{text}" (Gender: Male)', seed_format="v2", **fields,
    )  # fmt: skip


@pytest.fixture
def seeds(tmp_path):
    """A manifest of seven seeds whose clips lie beside it."""
    import numpy as np

    folder = tmp_path / "data"
    (folder / "audio").mkdir(parents=True)
    for i in range(len(TEXTS)):
        write_wav(folder / f"audio/{i}.wav", np.zeros(100, np.float32))
    write_records(folder / "seeds.jsonl", [make_seed(i, text) for i, text in enumerate(TEXTS)])
    return folder / "seeds.jsonl"


@pytest.fixture(scope="module")
def llm(ending_llm):
    return TransformersBackend(str(ending_llm), PromptStyle("desta2", DEFAULT_SYSTEM_PROMPT))


@dataclass
class Scripted:
    """Answers by a table, and remembers what it was asked; interrupted at the call `stop`."""

    answers: dict = field(default_factory=dict)
    stop: int | None = None
    asked: list = field(default_factory=list)
    name: str = "scripted"
    fingerprint: str | None = None

    def reply(self, requests, sampling):
        if len(self.asked) == self.stop:
            raise KeyboardInterrupt
        self.asked.append([request.id for request in requests])
        return [self.answers.get(request.id, Reply(f"I hear {request.id}.", True)) for request in requests]


@dataclass
class Stopping:
    """A backend that is interrupted at its call number `stop`."""

    inner: TransformersBackend
    stop: int
    calls: int = 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def reply(self, requests, sampling):
        self.calls += 1
        if self.calls > self.stop:
            raise KeyboardInterrupt
        return self.inner.reply(requests, sampling)


def pairs_of(path):
    return list(read_records(path, Pair))


def responses(path):
    return {pair.id: pair.response for pair in pairs_of(path)}


# Stopping and continuing


def test_stopped_and_continued_gives_the_answers_of_one_run(tmp_path, seeds, llm):
    sampling = Sampling(max_new_tokens=60, seed=5)
    whole = respond(seeds, tmp_path / "whole", llm, sampling=sampling, batch_size=3)
    expected = responses(tmp_path / "whole")
    assert whole.written == len(expected) >= 5
    assert len(set(expected.values())) == len(expected)

    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Stopping(llm, 1), sampling=sampling, batch_size=2)
    rest = respond(seeds, tmp_path / "pairs", llm, sampling=sampling, batch_size=5)
    assert responses(tmp_path / "pairs") == expected
    assert 0 < rest.already_done <= 2
    assert rest.written + rest.already_done == whole.written
    assert rest.unfinished == whole.unfinished

    respond(seeds, tmp_path / "alone", llm, sampling=sampling, batch_size=1)
    assert responses(tmp_path / "alone") == expected
    respond(seeds, tmp_path / "other", llm, sampling=Sampling(max_new_tokens=60, seed=6))
    other = responses(tmp_path / "other")
    assert not {i for i in other if other[i] == expected.get(i)}


def test_what_is_done_is_not_asked_again(tmp_path, seeds):
    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Scripted(stop=2), batch_size=2)
    backend = Scripted()
    summary = respond(seeds, tmp_path / "pairs", backend, batch_size=3)
    assert backend.asked == [["clip-4", "clip-5"], ["clip-6"]]  # chunks by place in the file
    assert (summary.written, summary.already_done, summary.unfinished) == (3, 4, [])
    assert [pair.id for pair in pairs_of(tmp_path / "pairs")] == [f"clip-{i}" for i in range(7)]
    again = Scripted()
    summary = respond(seeds, tmp_path / "pairs", again, batch_size=3)
    assert again.asked == []
    assert (summary.written, summary.already_done) == (0, 7)


def test_progress_counts_all_seeds_dealt_with(tmp_path, seeds):
    seen = []
    respond(seeds, tmp_path / "pairs.jsonl", Scripted(), batch_size=3, progress=seen.append)
    assert seen == [3, 6, 7]
    seen.clear()
    respond(seeds, tmp_path / "pairs.jsonl", Scripted(), batch_size=3, progress=seen.append)
    assert seen == [3, 6, 7]


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        (Scripted(name="other"), {}, "llm was 'scripted' and is 'other'"),
        (Scripted(), {"prompt": "Who speaks?"}, "and is 'Who speaks?'"),
        (Scripted(), {"sampling": Sampling(temperature=0.5)}, "temperature was 1.0 and is 0.5"),
    ],
)
def test_answers_of_two_kinds_are_not_mixed(tmp_path, seeds, backend, options, message):
    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Scripted(stop=1), batch_size=3)
    with pytest.raises(InputError, match=f"pairs was begun otherwise: .*{re.escape(message)}"):
        respond(seeds, tmp_path / "pairs", backend, **options)
    respond(seeds, tmp_path / "pairs", Scripted(), sampling=Sampling(max_new_tokens=1024))
    assert len(responses(tmp_path / "pairs")) == len(TEXTS)


# What is left out


def test_unfinished_and_empty_answers_are_left_out_and_counted(tmp_path, seeds, caplog):
    answers = {"clip-1": Reply("I hear", False), "clip-4": Reply("", True)}
    with caplog.at_level(logging.WARNING):
        summary = respond(seeds, tmp_path / "pairs", Scripted(answers), batch_size=4)
    assert summary.unfinished == ["clip-1", "clip-4"]
    assert (summary.written, summary.already_done) == (5, 0)
    assert set(responses(tmp_path / "pairs")) == {f"clip-{i}" for i in (0, 2, 3, 5, 6)}
    assert "2 answers were empty or too long and are left out" in caplog.text
    second = Scripted(answers)
    summary = respond(seeds, tmp_path / "pairs", second, batch_size=4)
    assert second.asked == [["clip-1"], ["clip-4"]]  # they get another chance, say with more tokens
    assert (summary.written, summary.already_done) == (0, 5)


def test_an_answer_of_one_token_is_hardly_ever_finished(tmp_path, seeds, llm):
    summary = respond(seeds, tmp_path / "pairs", llm, sampling=Sampling(max_new_tokens=1))
    assert len(summary.unfinished) == len(TEXTS)
    assert pairs_of(tmp_path / "pairs") == []


# Pairs


def test_pairs_are_desta25_conversations_with_full_provenance(tmp_path, seeds, llm):
    before = datetime.now(UTC).replace(microsecond=0)
    respond(seeds, tmp_path / "pairs", llm, sampling=Sampling(0.7, 0.9, 60, 2))
    pairs = {pair.id: pair for pair in pairs_of(tmp_path / "pairs")}
    pair = pairs["clip-1"]
    audio = {"audio": "../data/audio/1.wav", "text": TEXTS[1]}
    assert pair.messages == [{"role": "user", "content": f"<|AUDIO|>\n{DESCRIBE}", "audios": [audio]}]
    assert pair.seed == f'[00:00:00 - 00:00:02] "{TEXTS[1]}" (Gender: Male)'
    told = pair.provenance.to_dict() if hasattr(pair.provenance, "to_dict") else pair.provenance.model_dump()
    time = datetime.fromisoformat(told.pop("time"))
    assert before <= time <= datetime.now(UTC)
    assert told == {
        "llm": llm.name,
        "fingerprint": llm.fingerprint,
        "prompt": DESCRIBE,
        "sampling": {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 60, "seed": 2},
        "seed_format": "v2",
        "desta2_version": __version__,
    }
    assert len(llm.fingerprint) == 64


@pytest.mark.parametrize("out", ["pairs", "deep/er/pairs", "pairs.jsonl", "data/pairs", "data/pairs.jsonl"])
def test_paths_are_true_from_where_the_pairs_lie(tmp_path, seeds, out):
    respond(seeds, tmp_path / out, Scripted())
    found = read_pairs([tmp_path / out], None)
    assert len(found) == len(TEXTS)
    for pair, [(clip, transcript)] in found:
        number = int(pair.id.removeprefix("clip-"))
        assert Path(clip.path).resolve() == (seeds.parent / f"audio/{number}.wav").resolve()
        assert Path(clip.path).exists()
        assert transcript == TEXTS[number]


def test_cuts_and_missing_transcripts_are_kept(tmp_path):
    cut = make_seed(0, "hello", start=0.5, end=1.25)
    unknown = make_seed(1, "x").model_copy(update={"text": None})
    write_records(tmp_path / "seeds.jsonl", [cut, unknown])
    respond(tmp_path / "seeds.jsonl", tmp_path / "pairs.jsonl", Scripted(), prompt="Who speaks?")
    first, second = pairs_of(tmp_path / "pairs.jsonl")
    assert first.messages[0]["audios"] == [
        {"audio": "audio/0.wav", "text": "hello", "start": 0.5, "end": 1.25}
    ]
    assert second.messages[0]["audios"] == [{"audio": "audio/1.wav", "text": None}]
    assert first.messages[0]["content"] == "<|AUDIO|>\nWho speaks?"
    assert first.provenance.prompt == "Who speaks?"


def test_the_one_prompt_is_the_papers():
    assert DESCRIBE == "What can you hear from the audio?"


# Mistakes


def test_mistakes_name_file_and_line(tmp_path, seeds):
    with pytest.raises(InputError, match=r"missing\.jsonl does not exist"):
        respond(tmp_path / "missing.jsonl", tmp_path / "pairs", Scripted())
    assert not (tmp_path / "pairs").exists()
    with seeds.open("a") as file:
        file.write('{"id": "bad", "audio": "a.wav"}\n')
    with pytest.raises(RecordError, match=r"seeds\.jsonl:8: field 'seed' is missing, a Seed needs it"):
        respond(seeds, tmp_path / "pairs", Scripted(), batch_size=2)
    assert set(responses_partial(tmp_path / "pairs")) == {
        f"clip-{i}" for i in range(6)
    }  # what was before is kept


def responses_partial(folder):
    (part,) = folder.glob("part-*.jsonl.partial")
    return [json.loads(line)["id"] for line in part.read_text().splitlines()]
