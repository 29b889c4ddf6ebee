import itertools
import json
import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from desta2 import __version__
from desta2.data.audio import write_wav
from desta2.data.backends import Failure, PromptStyle, Reply, Sampling, TransformersBackend
from desta2.data.prompts import DESCRIBE, PromptPool
from desta2.data.respond import Asking, respond
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

STYLE = PromptStyle("desta2", "Listen.")


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
    return TransformersBackend(str(ending_llm), PromptStyle("desta2", DEFAULT_SYSTEM_PROMPT), batch_size=3)


@dataclass
class Scripted:
    """Answers by a table, and remembers what it was asked; interrupted before the request number `stop`."""

    answers_by_id: dict = field(default_factory=dict)
    stop: int | None = None
    asked: list = field(default_factory=list)
    prompts: list = field(default_factory=list)
    kind: str = "transformers"
    name: str = "scripted"
    fingerprint: str | None = None
    style: PromptStyle = STYLE

    def answers(self, requests, sampling):
        for request in requests:
            if len(self.asked) == self.stop:
                raise KeyboardInterrupt
            self.asked.append(request.id)
            self.prompts.append(request.messages[0]["content"])
            yield request, self.answers_by_id.get(request.id, Reply(f"I hear {request.id}.", True))


@dataclass
class Stopping:
    """A backend that is interrupted after so many answers."""

    inner: TransformersBackend
    stop: int

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def answers(self, requests, sampling):
        yield from itertools.islice(self.inner.answers(requests, sampling), self.stop)
        raise KeyboardInterrupt


def pairs_of(path):
    return list(read_records(path, Pair))


def responses(path):
    return {pair.id: pair.response for pair in pairs_of(path)}


# Stopping and continuing


def test_stopped_and_continued_gives_the_answers_of_one_run(tmp_path, seeds, llm, ending_llm):
    asking = Asking(sampling=Sampling(max_new_tokens=60, seed=5))
    whole = respond(seeds, tmp_path / "whole", llm, asking)
    expected = responses(tmp_path / "whole")
    assert whole.written == len(expected) >= 5
    assert len(set(expected.values())) == len(expected)

    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Stopping(llm, 2), asking)
    rest = respond(seeds, tmp_path / "pairs", llm, asking)
    assert responses(tmp_path / "pairs") == expected
    assert 0 < rest.already_done <= 2
    assert rest.written + rest.already_done == whole.written
    assert rest.unfinished == whole.unfinished

    one_by_one = TransformersBackend(str(ending_llm), llm.style, batch_size=1)
    respond(seeds, tmp_path / "alone", one_by_one, asking)
    assert responses(tmp_path / "alone") == expected
    respond(seeds, tmp_path / "other", llm, Asking(sampling=Sampling(max_new_tokens=60, seed=6)))
    other = responses(tmp_path / "other")
    assert not {i for i in other if other[i] == expected.get(i)}


def test_what_is_done_is_not_asked_again(tmp_path, seeds):
    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Scripted(stop=4))
    backend = Scripted()
    summary = respond(seeds, tmp_path / "pairs", backend)
    assert backend.asked == ["clip-4", "clip-5", "clip-6"]
    assert (summary.written, summary.already_done, summary.unfinished, summary.failures) == (3, 4, 0, None)
    assert [pair.id for pair in pairs_of(tmp_path / "pairs")] == [f"clip-{i}" for i in range(7)]
    again = Scripted()
    summary = respond(seeds, tmp_path / "pairs", again)
    assert again.asked == []
    assert (summary.written, summary.already_done) == (0, 7)


def test_progress_counts_all_answers_dealt_with(tmp_path, seeds):
    seen = []
    answers = {"clip-2": Failure("busy")}
    respond(seeds, tmp_path / "pairs.jsonl", Scripted(answers), progress=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 7]
    seen.clear()
    respond(seeds, tmp_path / "pairs.jsonl", Scripted(), progress=seen.append)
    assert seen == [3, 7]  # the one that failed, after two that are done; then all


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        (Scripted(name="other"), {}, "llm was 'scripted' and is 'other'"),
        (Scripted(), {"prompts": PromptPool.of("Who speaks?")}, "and is 'Who speaks?'"),
        (Scripted(), {"prompts": PromptPool.of("a", "b")}, "prompt_pool was None and is '"),
        (Scripted(), {"sampling": Sampling(temperature=0.5)}, "temperature was 1.0 and is 0.5"),
        (Scripted(), {"n": 2}, "it has one answer a clip and n is 2"),
        (Scripted(style=PromptStyle("desta2.5", "Listen.")), {}, "layout was 'desta2' and is 'desta2.5'"),
        (Scripted(style=PromptStyle("desta2", None)), {}, "system_prompt was 'Listen.' and is ''"),
        (
            Scripted(style=PromptStyle("desta2", "Listen.", chat_template_kwargs={"think": True})),
            {},
            "chat_template_kwargs was None and is {'think': True}",
        ),
    ],
)
def test_answers_of_two_kinds_are_not_mixed(tmp_path, seeds, backend, options, message):
    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Scripted(stop=3))
    with pytest.raises(InputError, match=f"pairs was begun otherwise: .*{re.escape(message)}"):
        respond(seeds, tmp_path / "pairs", backend, Asking(**options))
    respond(seeds, tmp_path / "pairs", Scripted(), Asking(sampling=Sampling(max_new_tokens=1024)))
    assert len(responses(tmp_path / "pairs")) == len(TEXTS)


def test_pairs_of_an_older_version_are_continued(tmp_path, seeds):
    """Their provenance does not tell of layout and system prompt."""
    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs.jsonl", Scripted(stop=1))
    partial = tmp_path / "pairs.jsonl.partial"
    pair = json.loads(partial.read_text())
    for key in ("layout", "system_prompt", "backend"):
        del pair["provenance"][key]
    partial.write_text(json.dumps(pair) + "\n")
    assert respond(seeds, tmp_path / "pairs.jsonl", Scripted()).already_done == 1


# What is left out


@pytest.mark.parametrize(("out", "side"), [("pairs", "pairs/failed.jsonl"), ("p.jsonl", "p.failed.jsonl")])
def test_what_has_no_usable_answer_is_named_and_asked_again(tmp_path, seeds, out, side, caplog):
    answers = {"clip-1": Reply("I hear", False), "clip-4": Reply("", True), "clip-5": Failure("busy \ud800")}
    with caplog.at_level(logging.WARNING):
        summary = respond(seeds, tmp_path / out, Scripted(answers))
    assert (summary.written, summary.already_done, summary.unfinished, summary.failed) == (4, 0, 2, 1)
    assert summary.failures == tmp_path / side
    assert set(responses(tmp_path / out)) == {f"clip-{i}" for i in (0, 2, 3, 6)}
    noted = [json.loads(line) for line in (tmp_path / side).read_text().splitlines()]
    assert {note["id"]: note["reason"] for note in noted} == {
        "clip-1": "cut at the longest length, 512 tokens",
        "clip-4": "an empty answer",
        "clip-5": "busy \ud800",
    }
    assert "no usable answer for clip-1: cut at the longest length" in caplog.text
    second = Scripted({"clip-4": Reply("", True)})
    summary = respond(seeds, tmp_path / out, second)
    assert second.asked == ["clip-1", "clip-4", "clip-5"]  # they get another chance, say with more tokens
    assert (summary.written, summary.already_done, summary.unfinished) == (2, 4, 1)
    assert [json.loads(line)["id"] for line in (tmp_path / side).read_text().splitlines()] == ["clip-4"]
    assert respond(seeds, tmp_path / out, Scripted()).failures is None
    assert not (tmp_path / side).exists()


def test_an_answer_of_one_token_is_hardly_ever_finished(tmp_path, seeds, llm):
    summary = respond(seeds, tmp_path / "pairs", llm, Asking(sampling=Sampling(max_new_tokens=1)))
    assert summary.unfinished == len(TEXTS)
    assert pairs_of(tmp_path / "pairs") == []


# Several prompts, several answers


def test_prompts_of_a_pool_belong_to_their_pairs(tmp_path, seeds):
    asking = Asking(PromptPool.of("What?", "Who?", "Where?"))
    with pytest.raises(KeyboardInterrupt):
        respond(seeds, tmp_path / "pairs", Scripted(stop=2), asking)
    respond(seeds, tmp_path / "pairs", Scripted(), asking)
    pairs = pairs_of(tmp_path / "pairs")
    whole = Scripted()
    respond(seeds, tmp_path / "whole", whole, asking)
    assert [pair.messages for pair in pairs] == [
        pair.model_copy().messages for pair in pairs_of(tmp_path / "whole")
    ]
    for pair, asked in zip(pairs, whole.prompts, strict=True):
        assert pair.messages[0]["content"] == asked == f"<|AUDIO|>\n{pair.provenance.prompt}"
        assert pair.provenance.prompt_pool == asking.prompts.fingerprint
    assert len({pair.provenance.prompt for pair in pairs}) > 1


def test_several_answers_to_each_clip(tmp_path, seeds, llm):
    asking = Asking(sampling=Sampling(max_new_tokens=60, seed=1), n=2)
    seen = []
    summary = respond(seeds, tmp_path / "pairs", llm, asking, seen.append)
    assert seen[-1] == 14 == summary.written + summary.unfinished
    pairs = {pair.id: pair for pair in pairs_of(tmp_path / "pairs")}
    assert set(pairs) <= {f"clip-{i}#{k}" for i in range(7) for k in (1, 2)}
    assert pairs["clip-1#2"].provenance.answer == 2
    assert pairs["clip-1#1"].response != pairs["clip-1#2"].response
    assert pairs["clip-1#1"].messages == pairs["clip-1#2"].messages
    more = respond(seeds, tmp_path / "pairs", llm, Asking(sampling=asking.sampling, n=3))
    assert more.already_done == summary.written  # a third answer can be added
    with pytest.raises(InputError, match="it has several answers a clip and n is 1"):
        respond(seeds, tmp_path / "pairs", llm, Asking(sampling=asking.sampling))


def test_several_answers_must_be_able_to_differ():
    with pytest.raises(
        InputError, match="2 answers at temperature 0 to one prompt are the same answer 2 times"
    ):
        Asking(sampling=Sampling(temperature=0), n=2)
    Asking(PromptPool.of("a", "b"), Sampling(temperature=0), 2)
    with pytest.raises(InputError, match="n is 0; it must be at least 1"):
        Asking(n=0)


# Pairs


def test_pairs_are_desta25_conversations_with_full_provenance(tmp_path, seeds, llm):
    before = datetime.now(UTC).replace(microsecond=0)
    respond(seeds, tmp_path / "pairs", llm, Asking(sampling=Sampling(0.7, 0.9, 60, 2)))
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
        "backend": "transformers",
        "layout": "desta2",
        "system_prompt": DEFAULT_SYSTEM_PROMPT,
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
    respond(
        tmp_path / "seeds.jsonl", tmp_path / "pairs.jsonl", Scripted(), Asking(PromptPool.of("Who speaks?"))
    )
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
        respond(seeds, tmp_path / "pairs", Scripted())
    assert responses_partial(tmp_path / "pairs") == [f"clip-{i}" for i in range(7)]  # what was before is kept


def responses_partial(folder):
    (part,) = folder.glob("part-*.jsonl.partial")
    return [json.loads(line)["id"] for line in part.read_text().splitlines()]
