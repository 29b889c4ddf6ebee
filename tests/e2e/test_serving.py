"""`desta2 serve` as a process: signals, saturation, overload, and bodies that mean harm."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import openai
import pytest
from loopback_embeds import Engine
from serving import CLIPS, about, client_of, clip_part, started
from waiting import wait_for

import desta2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BENCH = Path(__file__).parents[2] / "bench"
DESCRIBE = "What can you hear from the audio?"


def process(*options):
    """A server; gives its address and its process."""
    return started("serve", *options)


def resident_mb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def test_sigterm_lets_answers_finish_and_then_ends_with_success():
    with process() as (address, server):
        answers = []

        def stream():
            answer = client_of(address).chat.completions.create(
                model="nano", messages=about(DESCRIBE, clip_part()), temperature=0, stream=True
            )
            answers.append("".join(chunk.choices[0].delta.content or "" for chunk in answer))

        stream()  # as it should be
        threads = [threading.Thread(target=stream) for _ in range(8)]
        for thread in threads:
            thread.start()
        working = re.compile(r"^desta2_answering 8\.0", re.MULTILINE)
        wait_for(lambda: working.search(httpx2.get(f"{address}/metrics").text))
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.wait(30) == 0
        assert answers == answers[:1] * 9
        with pytest.raises(openai.APIConnectionError):
            client_of(address).models.list()


def test_ctrl_c_ends_it():
    with process() as (address, server):
        assert httpx2.get(f"{address}/readyz").status_code == 200
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130


def test_an_engine_elsewhere_answers():
    nano = desta2.load("nano")
    engine = Engine(nano.llm, nano.processor.decode)
    with engine.running() as url, process("--llm-url", url) as (address, _):
        answer = client_of(address).chat.completions.create(
            model="nano", messages=about(DESCRIBE, clip_part()), temperature=0
        )
    assert answer.choices[0].message.content == nano.chat(CLIPS[0], DESCRIBE, do_sample=False).text
    assert len(engine.bodies) == 1


@pytest.fixture(scope="module")
def load():
    """The load of bench/serving.py."""
    sys.path.insert(0, str(BENCH))
    try:
        from common import speech
        from load import load
    finally:
        sys.path.remove(str(BENCH))
    return lambda address, clients, seconds, pause=0.0: load(
        int(address.rpartition(":")[2]), clients, seconds, speech(4, 3.0), pause
    )


def test_two_minutes_at_saturation_lose_nothing_and_leak_nothing(load):
    with process() as (address, server):
        load(address, 32, 20)
        memory, replies = [], []
        loading = threading.Thread(target=lambda: replies.extend(load(address, 32, 120)))
        loading.start()
        while loading.is_alive():
            memory.append(resident_mb(server.pid))
            time.sleep(1)
        assert len(replies) > 100
        assert {reply.status for reply in replies} == {200}
        quarter = len(memory) // 4
        assert max(memory[-quarter:]) / max(memory[:quarter]) < 1.02


def test_overload_is_turned_away_at_once_and_never_grows(load):
    """How long those wait who are let in is measured by bench/serving.py, on a quiet machine."""
    with process("--answers-at-once", "8", "--queue", "4") as (address, server):
        load(address, 8, 5)
        memory, most, over = resident_mb(server.pid), {"answering": 0.0, "waiting": 0.0}, []
        loading = threading.Thread(target=lambda: over.extend(load(address, 40, 15, pause=0.5)))
        loading.start()
        while loading.is_alive():
            text = httpx2.get(f"{address}/metrics", timeout=60).text
            for name in most:
                found = float(re.search(rf"^desta2_{name} (\S+)", text, re.MULTILINE)[1])
                most[name] = max(most[name], found)
        assert {reply.status for reply in over} == {200, 429}
        assert sum(reply.status == 200 for reply in over) > 20
        assert most == {"answering": 8, "waiting": 4}
        assert resident_mb(server.pid) < 1.2 * memory
        assert client_of(address).models.list().data


def test_five_thousand_hostile_clips_are_answered_and_forgotten():
    import hostile

    with process() as (address, server):
        url = f"{address}/v1/chat/completions"
        statuses, memory, count = {}, [], 0
        with httpx2.Client(timeout=60) as client:
            for count, data in enumerate(hostile.clips(5000), start=1):
                body = {"model": "nano", "max_tokens": 1, "messages": about("Loud?", clip_part(data=data))}
                status = client.post(url, json=body).status_code
                statuses[status] = statuses.get(status, 0) + 1
                if count % 100 == 0:
                    memory.append(resident_mb(server.pid))
        assert count >= 5000
        assert set(statuses) <= {200, 400}, statuses
        assert statuses[400] > 1000
        assert server.poll() is None
        assert max(memory[-10:]) < 1.05 * max(memory[5:15]), memory
        answer = client_of(address).chat.completions.create(
            model="nano", messages=about(DESCRIBE, clip_part()), temperature=0
        )
        assert answer.choices[0].message.content


def test_the_schema_is_kept_whatever_is_sent(tmp_path):
    """Schemathesis against the server's own OpenAPI schema: no 5xx, and only what the schema says."""
    with process("--max-tokens", "8") as (address, server):
        options = ["--checks", "not_a_server_error", "--max-examples", "60", "--seed", "1", "--workers", "1"]
        done = subprocess.run(
            [Path(sys.executable).with_name("schemathesis"), "run", f"{address}/openapi.json", *options],
            capture_output=True,
            text=True,
            cwd=tmp_path,  # it keeps a cache where it runs
        )
        assert done.returncode == 0, done.stdout[-4000:]
        sent = httpx2.get(f"{address}/metrics").text
        for route in ("/v1/chat/completions", "/v1/audio/transcriptions"):
            counts = re.findall(rf'desta2_requests_total{{route="{route}",status="\d+"}} (\d+)', sent)
            assert sum(map(int, counts)) > 50, route
        assert 'route="/v1/chat/completions",status="200"' in sent, "some got through to the model"
        assert server.poll() is None
        assert json.loads(httpx2.get(f"{address}/healthz").text) == {"status": "ok"}
