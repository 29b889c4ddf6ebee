"""The judge, against real servers on this machine."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import loopback_judge
import pytest
from loopback_judge import ask_by_url, judging, prompts, said_to, yes_or_no
from loopback_llm import LoopbackLLM, Raw, chat

import desta2
from desta2.data import pacing
from desta2.data.backends import PromptStyle, Sampling, TransformersBackend
from desta2.errors import InputError, RunError
from desta2.evaluate.judging.judge import Judge, JudgeAnswer, JudgePrompt, list_unjudged, unjudged_in_words
from desta2.evaluate.judging.opening import open_judge
from desta2.evaluate.judging.verdicts import read_yes_no


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(pacing, "FIRST_WAIT", 0.01)


def ask(url, wanted, folder=None, **options):
    """The answers by id."""
    with Judge(open_judge(url, retries=2), folder, **options) as judge:
        found = list(judge.ask(wanted, read_yes_no))
    assert len({answer.id for answer in found}) == len(found)
    return {answer.id: answer for answer in found}


def test_each_prompt_gets_its_own_verdict_and_several_are_in_flight():
    wanted, seen = prompts(30), []
    with judging(lambda prompt: Raw(body=chat(yes_or_no(prompt)).body, delay=0.02)) as server:
        found = ask(server.url, wanted, on_answer=lambda: seen.append(1))
    assert found == {
        prompt.id: JudgeAnswer(prompt.id, yes_or_no(prompt.text) == "Result: YES", yes_or_no(prompt.text), 1)
        for prompt in wanted
    }
    assert len(server.bodies) == len(seen) == 30
    assert server.most > 4


def test_the_prompt_arrives_letter_by_letter_and_the_answer_is_greedy(caplog):
    text = '<|AUDIO|> "quoted" {name} <start_audio>\n  indented ✓'
    with judging(yes_or_no) as server:
        ask(server.url, [JudgePrompt("a", text)])
    (body,) = server.bodies
    assert said_to(body) == text
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("judge-1", 0.0, 1024)
    assert caplog.text == ""  # nothing about the LLM to be trained


def test_what_cannot_be_read_is_asked_again_with_another_seed_and_then_listed():
    def moody(body, number):
        prompt = said_to(body)
        if "never" in prompt or ("later" in prompt and body["temperature"] == 0):
            return chat("Hard to say.")
        return chat("Result: YES")

    wanted = [JudgePrompt(name, name) for name in ("at once", "later", "never")]
    with LoopbackLLM(moody) as server:
        found = ask(server.url, wanted)
    assert found == {
        "at once": JudgeAnswer("at once", True, "Result: YES", 1),
        "later": JudgeAnswer("later", True, "Result: YES", 2),
        "never": JudgeAnswer("never", None, "Hard to say.", 3, "no verdict can be read from the answer"),
    }
    never = [body for body in server.bodies if said_to(body) == "never"]
    assert [body["temperature"] for body in never] == [0.0, 0.7, 0.7]
    assert len({body["seed"] for body in never}) == 3
    assert list_unjudged(found.values()) == [
        {"id": "never", "reason": "no verdict can be read from the answer", "answer": "Hard to say."}
    ]


def test_people_are_told_the_first_few():
    lines = unjudged_in_words([{"id": str(number), "reason": "why", "answer": ""} for number in range(12)])
    assert lines == [*(f"no verdict: {number}: why" for number in range(10)), "… and 2 more"]


def test_an_answer_that_was_cut_holds_no_verdict():
    with LoopbackLLM(lambda body, number: chat("Result: YES, or rather", "length")) as server:
        found = ask(server.url, prompts(1), sampling=Sampling(0.0, max_new_tokens=7), attempts=1)["item 0"]
    assert (found.verdict, found.attempts) == (None, 1)
    assert found.reason == "the answer was cut at the longest length, 7 tokens"


def test_thoughts_before_the_answer_are_no_verdict():
    with judging(lambda prompt: "<think>Result: YES? No.</think>\nResult: NO") as server:
        assert ask(server.url, prompts(1))["item 0"].verdict is False
        server.answer = lambda body, number: chat("<think>Result: YES</think> I pass")
        assert ask(server.url, prompts(1))["item 0"].verdict is None


def test_refused_prompts_are_listed_and_the_others_go_on():
    with judging(lambda prompt: Raw(400, b"too long") if "3" in prompt else "Result: YES") as server:
        found = ask(server.url, prompts(5))
    assert found["item 3"].reason == "no answer: refused with status 400: too long"
    assert [answer.verdict for answer in found.values()].count(True) == 4
    assert len(server.bodies) == 5


def test_answers_are_kept_and_never_asked_for_twice(tmp_path):
    def moody(prompt):
        return "no idea" if "3" in prompt else yes_or_no(prompt)

    with judging(moody) as server:
        first = ask(server.url, prompts(9), tmp_path / "kept")
        asked = len(server.bodies)
        assert asked == 8 + 3
        assert ask(server.url, prompts(9), tmp_path / "kept") == first
        assert len(server.bodies) == asked
        assert ask(server.url, prompts(10), tmp_path / "kept").items() > first.items()
        assert len(server.bodies) == asked + 1
        ask(server.url, prompts(2), tmp_path / "kept", sampling=Sampling(0.0, seed=1))
        assert len(server.bodies) == asked + 3
        server.models = {"judge-2": "judge-2"}
        ask(server.url, prompts(2), tmp_path / "kept")
        assert len(server.bodies) == asked + 5
        ask(server.url, prompts(2))
        assert len(server.bodies) == asked + 7
    lines = [json.loads(line) for part in (tmp_path / "kept").glob("*.jsonl") for line in part.open()]
    assert len(lines) == asked + 5
    assert {line["judge"] for line in lines} == {"judge-1", "judge-2"}


def test_equal_prompts_are_asked_once():
    with judging(lambda prompt: Raw(body=chat("Result: YES").body, delay=0.05)) as server:
        found = ask(server.url, [JudgePrompt(name, "the same") for name in "abc"])
    assert [found[name].verdict for name in "abc"] == [True] * 3
    assert len(server.bodies) == 1


def test_two_runs_on_one_folder_do_not_mix(tmp_path):
    with judging(yes_or_no) as server, Judge(open_judge(server.url), tmp_path / "kept"):
        with pytest.raises(InputError, match=r"kept is being written by another run"):
            ask(server.url, prompts(1), tmp_path / "kept")
        with pytest.raises(
            InputError, match=r"a\.jsonl names a file; the judge's answers are kept in a folder"
        ):
            Judge(open_judge(server.url), tmp_path / "a.jsonl")
        with pytest.raises(InputError, match="given 0 attempts, expected 1 or more"):
            Judge(open_judge(server.url), attempts=0)


def test_a_judge_that_stops_answering_ends_the_run_and_what_it_said_is_kept(tmp_path):
    def dying(body, number):
        return chat("Result: YES") if number < 10 else Raw(503, b"gone")

    with LoopbackLLM(dying) as server:
        with pytest.raises(RunError, match=r"does not answer: 20 items in a row failed.*503: gone"):
            ask(server.url, prompts(60), tmp_path / "kept")
        before = len(server.bodies)
        server.answer = lambda body, number: chat("Result: YES")
        assert len(ask(server.url, prompts(60), tmp_path / "kept")) == 60
    assert len(server.bodies) - before == 50


def test_a_server_that_does_not_say_how_its_answers_ended():
    body = json.dumps({"choices": [{"message": {"content": "Result: YES"}}]}).encode()
    with LoopbackLLM(lambda *_: Raw(body=body)) as server:
        assert ask(server.url, prompts(1))["item 0"].verdict is True


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "part-00000.jsonl").write_text('{"id": "a", "response": "b"}\n')
    with judging(yes_or_no) as server:
        for _ in range(2):  # the lock is given back
            with pytest.raises(
                InputError, match=r"part-00000\.jsonl:1 is no judge's answer; give a folder for"
            ):
                ask(server.url, prompts(1), tmp_path / "pairs")
    assert [path.name for path in (tmp_path / "pairs").iterdir()] == ["part-00000.jsonl"]


def test_facts_tell_who_judges_and_how():
    with judging(yes_or_no) as server, Judge(open_judge(server.url), attempts=2) as judge:
        facts = judge.facts
    greedy = {"temperature": 0.0, "top_p": 1.0, "max_new_tokens": 1024, "seed": 0}
    assert json.loads(json.dumps(facts)) == {
        "id": "judge-1",
        "kind": "endpoint",
        "fingerprint": None,
        "sampling": greedy,
        "retries": [greedy | {"temperature": 0.7, "seed": 1}],
    }


@pytest.mark.parametrize(
    "models", [Raw(404, b"what?"), Raw(501), Raw(405), Raw(body=b"{}"), Raw(body=b"<p>")]
)
def test_a_server_without_a_list_of_models_is_asked_for_the_name_given(models, caplog):
    with LoopbackLLM(lambda body, number: chat("Result: NO"), models) as server:
        named, nameless = open_judge(server.url, "gpt"), open_judge(server.url)
        assert (named.name, nameless.name) == ("gpt", server.url)
        with Judge(named) as judge:
            (found,) = judge.ask(prompts(1), read_yes_no)
        with Judge(nameless) as judge:
            list(judge.ask(prompts(1), read_yes_no))
    assert found.verdict is False
    assert [body["model"] for body in server.bodies] == ["gpt", "default"]
    assert "the judge's name cannot be checked" in caplog.text


def test_a_judge_that_is_not_there():
    with pytest.raises(
        InputError, match=r"nobody answers at http://127\.0\.0\.1:9/v1/models.*is the server running"
    ):
        open_judge("http://127.0.0.1:9/v1", "gpt")
    with judging(yes_or_no) as server:
        with pytest.raises(InputError, match=r"serves these models: judge-1; it has no 'gpt'"):
            open_judge(server.url, "gpt")
        server.models = Raw(401, b"who?")
        with pytest.raises(InputError, match="is the API key right"):
            open_judge(server.url)


def test_a_model_in_this_process_can_judge(bases, tmp_path):
    backend = TransformersBackend(str(bases / "llm"), PromptStyle())
    few = Sampling(0.0, max_new_tokens=4)
    with Judge(backend, tmp_path / "kept", sampling=few, attempts=1) as judge:
        (found,) = judge.ask([JudgePrompt("a", "<|AUDIO|> is text")], read_yes_no)
        assert judge.facts["kind"] == "transformers"
        assert judge.facts["fingerprint"]
    assert (found.verdict, found.attempts) == (None, 1)


def test_a_judge_by_url_imports_no_model_library():
    code = (
        "import sys, loopback_judge as j\n"
        "with j.judging(j.yes_or_no) as server: j.ask_by_url(server.url, None, 1)\n"
        "import desta2.evaluate.air_bench_chat.benchmark, desta2.evaluate.judging.labels\n"
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    here = [str(Path(desta2.__file__).parents[1]), str(Path(loopback_judge.__file__).parent)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(here)}
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True) == "[]\n"


# Forked from a process that has imported what all need.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["loopback_judge"])


@pytest.mark.skipif(sys.platform == "win32", reason="needs a fork server")
def test_kill_9_loses_no_answer(tmp_path):
    count, kills = 80, 0
    with judging(lambda prompt: Raw(body=chat(yes_or_no(prompt)).body, delay=0.02)) as server:
        for attempt in range(3):
            before = len(server.bodies)
            process = PROCESSES.Process(target=ask_by_url, args=(server.url, tmp_path / "kept", count))
            process.start()
            while attempt < 2 and process.is_alive() and len(server.bodies) < before + random.randint(10, 20):
                process.join(0.005)
            if attempt < 2:
                process.kill()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            kills += process.exitcode != 0
            if process.exitcode == 0:
                break
        bodies = len(server.bodies)
        again = ask_by_url(server.url, tmp_path / "kept", count)
        assert len(server.bodies) == bodies
    assert kills >= 2
    assert {answer.id: answer.text for answer in again} == {p.id: yes_or_no(p.text) for p in prompts(count)}
    assert bodies <= count + kills * 8
