"""The verb respond, by URL: the command line against a server on this machine."""

import json

import pytest
from loopback_llm import LoopbackLLM, Raw, chat

from desta2.data import pacing
from desta2.records import Pair, read_records


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """Three seeds in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)
    lines = [
        {"id": f"c{i}", "audio": f"{i}.wav", "seed": f'[00:00:00 - 00:00:01] "{i}"', "seed_format": "v2"}
        for i in range(3)
    ]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def number_of(body):
    return next(m["content"] for m in body["messages"] if m["role"] == "audio").split('"')[1]


def test_by_url_with_a_failure_that_passes(result, cli, monkeypatch, tmp_path):
    down = [True]

    def answer(body, number):
        if number_of(body) == "1" and down:
            return Raw(500, b"down")
        return chat(f"I hear {number_of(body)}.")

    monkeypatch.setenv("MY_KEY", "k")
    with LoopbackLLM(answer) as server:
        argv = ("respond", "seeds.jsonl", "--llm", server.url, "--retries", 1, "--api-key-env", "MY_KEY")
        assert result(*argv) == {
            "output": "pairs",
            "written": 2,
            "already_done": 0,
            "unfinished": 0,
            "failed": 1,
            "failures": "pairs/failed.jsonl",
        }
        note = json.loads((tmp_path / "pairs/failed.jsonl").read_text())
        assert (note["id"], note["reason"]) == ("c1", "status 500: down (attempts: 2)")
        code, out, _ = cli(*argv)
        assert (code, out) == (
            0,
            "pairs: 0 pairs written, 2 were there before; 1 got no answer; pairs/failed.jsonl names them, and "
            "running again asks for them again\n",
        )
        down.clear()
        assert result(*argv)["written"] == 1
    assert {h["Authorization"] for h in server.headers} == {"Bearer k"}
    pairs = {pair.id: pair for pair in read_records("pairs", Pair)}
    assert {key: pair.response for key, pair in pairs.items()} == {f"c{i}": f"I hear {i}." for i in range(3)}
    told = pairs["c0"].provenance
    assert (told.llm, told.fingerprint, told.backend) == ("tiny", None, "endpoint")


def test_the_backbone_lends_its_fingerprint(result, bases, tmp_path):
    (tmp_path / "prompts.txt").write_text("What?\nWho?\n")
    with LoopbackLLM(lambda body, number: chat("ok"), {"served": "somewhere/llm"}) as server:
        argv = ("respond", "seeds.jsonl", "--llm", server.url, "--backbone", bases / "llm", "--n", 2)
        found = result(*argv, "--prompts", "prompts.txt", "-o", "p.jsonl")
    assert found["written"] == 6
    pairs = list(read_records("p.jsonl", Pair))
    assert sorted(pair.id for pair in pairs) == [f"c{i}#{k}" for i in range(3) for k in (1, 2)]
    assert {len(pair.provenance.fingerprint) for pair in pairs} == {64}
    assert {pair.provenance.prompt for pair in pairs} <= {"What?", "Who?"}


def test_variables_of_the_chat_template_are_sent(result):
    with LoopbackLLM(lambda body, number: chat("ok")) as server:
        result("respond", "seeds.jsonl", "--llm", server.url, "--template", "enable_thinking=false")
    assert [body["chat_template_kwargs"] for body in server.bodies] == [{"enable_thinking": False}] * 3


def test_another_backbone_than_the_llm_in_this_process(cli, bases, save_llm, tmp_path):
    save_llm(tmp_path / "other", seed=9)
    argv = ("respond", "seeds.jsonl", "--llm", bases / "llm", "--max-new-tokens", 2, "--backbone")
    code, _, err = cli(*argv, tmp_path / "other")
    assert code == 0
    assert "THE LLM THAT ANSWERS IS NOT THE ONE TO BE TRAINED" in err
    _, _, err = cli(*argv, bases / "llm")
    assert "NOT THE ONE" not in err


def test_a_server_that_dies_is_a_failure_of_the_run(cli, monkeypatch):
    from desta2.data import endpoint

    monkeypatch.setattr(endpoint, "GIVE_UP_AFTER", 2)
    with LoopbackLLM(lambda body, number: Raw(502, b"gone")) as server:
        code, out, err = cli("respond", "seeds.jsonl", "--llm", server.url, "--retries", 0)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"error: {server.url} does not answer: ")
    assert "what is finished is kept: run again to go on" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--llm", "http://127.0.0.1:9/v1"], "nobody answers at http://127.0.0.1:9/v1/models"),
        (["--llm", "http://x/v1", "--api", "completions"], "name the LLM whose they are with --backbone"),
        (
            ["--llm", "nano", "--prompt", "a", "--prompts", "b"],
            "both a prompt and a file of prompts are given",
        ),
        (["--llm", "nano", "--prompts", "none.txt"], "cannot read the prompts none.txt"),
        (["--llm", "nano", "--prompt", " "], "a prompt is empty"),
        (["--llm", "nano", "--n", "2", "--temperature", "0"], "are the same answer 2 times"),
        (["--llm", "nano", "--template", "thinking"], "--template 'thinking': expected NAME=VALUE"),
        (["--llm", "nano", "--backbone", "./none"], "the frozen model ./none"),
    ],
)
def test_mistakes(mistake, options, message):
    assert message in mistake("respond", "seeds.jsonl", *options)
