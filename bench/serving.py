"""What serving costs and bears: `python bench/serving.py [--soak MINUTES] [-o FILE]`, on a quiet machine.

The nano model behind `desta2 serve` in one process, one thread for the LLM, the load in another process.
Every client brings clips that were not heard before, and asks four questions about each. The baseline is
`Desta2Model.chat` in a process of its own on the same questions, in batches as large as the server's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import speech
from load import DESCRIBE, QUESTIONS, Questions, Reply, load

AT_ONCE = 32
SECONDS = 30.0
OVERLOAD = 5
QUARTERS = 4
ALONE = 100  # questions one after another


def main() -> None:
    """Measure all, print a table, and write the figures where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="at saturation; 0: none")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each other measurement")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    clips = speech_clips()
    figures: dict[str, Any] = {"offline": apart(offline, clips, options.seconds)}
    alone = apart(chat_alone, clips)
    with server() as (port, _):
        apart(load, port, AT_ONCE, 3.0, clips)  # warm
        figures["single"] = overhead(alone, apart(single, port, clips))
        figures["one client"] = summary(apart(load, port, 1, options.seconds, clips), options.seconds)
        figures["32 clients"] = summary(apart(load, port, AT_ONCE, options.seconds, clips), options.seconds)
        told = summary(apart(load, port, 1, options.seconds, clips, 0.0, DESCRIBE), options.seconds)
        figures["one client, descriptions"] = told
        told = summary(apart(load, port, AT_ONCE, options.seconds, clips, 0.0, DESCRIBE), options.seconds)
        figures["32 clients, descriptions"] = told
        over = apart(load, port, OVERLOAD * AT_ONCE, options.seconds, clips, 1.0)
        figures["overload"] = summary(over, options.seconds)
    if options.soak:
        figures["soak"] = soak(options.soak * 60, clips)
    figures["ratios"] = ratios(figures)
    text = json.dumps(figures, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


def speech_clips() -> list[np.ndarray]:
    """Four clips of 3 s."""
    return speech(4, 3.0)


def apart(function: Any, *arguments: Any) -> Any:
    """Call in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def offline(clips: list[np.ndarray], seconds: float) -> dict[str, float]:
    """Tokens a second of `chat` in batches."""
    import desta2

    model, questions = desta2.load("nano"), Questions(clips, 0)
    tokens, begun = 0, None
    while begun is None or time.monotonic() - begun < seconds:
        batch = [_conversation(*questions.next()) for _ in range(AT_ONCE)]
        outputs = model.chat(batch, do_sample=False)
        if begun is None:  # the first batch warms up
            begun = time.monotonic()
        else:
            tokens += sum(len(output.token_ids) for output in outputs)
    return {"tokens_per_s": tokens / (time.monotonic() - begun)}


def chat_alone(clips: list[np.ndarray]) -> list[float]:
    """Seconds of `chat` for one question after another."""
    import desta2

    model, questions, times = desta2.load("nano"), Questions(clips, 0), []
    for _ in range(ALONE):
        conversation = _conversation(*questions.next())
        begun = time.monotonic()
        model.chat(conversation, do_sample=False)
        times.append(time.monotonic() - begun)
    return times


def single(port: int, clips: list[np.ndarray]) -> list[float]:
    """Seconds of requests for the same questions, one at a time, not streamed, over one connection."""
    import httpx2

    questions, times = Questions(clips, 0), []
    headers = {"Content-Type": "application/json"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        for _ in range(ALONE):
            body = questions.body(stream=False)
            begun = time.monotonic()
            client.post("/v1/chat/completions", content=body).raise_for_status()
            times.append(time.monotonic() - begun)
    return times


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """A server; gives its port and the id of its process."""
    command = [
        sys.executable,
        "-m",
        "desta2",
        "serve",
        "--port",
        "0",
        "-v",
        "--answers-at-once",
        str(AT_ONCE),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = next(
            int(found[1])
            for line in process.stderr
            if (found := re.search(r"serving at http://127\S+:(\d+)", line))
        )
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield port, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            drain.wait()


def soak(seconds: float, clips: list[np.ndarray]) -> dict[str, Any]:
    """Saturation for a long time: requests that failed, and memory in the first and the last quarter."""
    with server() as (port, pid), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(load, port, AT_ONCE, 20.0, clips).result()  # what is made once is made
        loading, memory = pool.submit(load, port, AT_ONCE, seconds, clips), []
        while not loading.done():
            memory.append(_resident_mb(pid))
            time.sleep(1)
        figures = summary(loading.result(), seconds)
    quarter = len(memory) // QUARTERS
    first, last = max(memory[:quarter]), max(memory[-quarter:])
    return {**figures, "first_quarter_mb": first, "last_quarter_mb": last, "growth": last / first - 1}


def summary(replies: list[Reply], seconds: float) -> dict[str, Any]:
    """Figures of a load."""
    answered = [reply for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status == 429]
    figures = {
        "answered": len(answered),
        "refused": len(refused),
        "failed": len(replies) - len(answered) - len(refused),
        "tokens_per_s": sum(reply.tokens for reply in answered) / seconds,
        "first_token_p50_ms": _percentile([reply.first for reply in answered], 50),
        "first_token_p95_ms": _percentile([reply.first for reply in answered], 95),
        "seconds_p50_ms": _percentile([reply.seconds for reply in answered], 50),
        "seconds_p95_ms": _percentile([reply.seconds for reply in answered], 95),
    }
    return figures | ({"refused_p95_ms": _percentile([r.seconds for r in refused], 95)} if refused else {})


def overhead(alone: list[float], single: list[float]) -> dict[str, float]:
    """What a request costs over `chat`, question by question, without the first of each, which warm up."""
    pairs = list(zip(alone, single, strict=True))[len(QUESTIONS) :]
    return {
        "chat_ms": 1e3 * statistics.mean(one for one, _ in pairs),
        "request_ms": 1e3 * statistics.mean(other for _, other in pairs),
        "overhead_ms": 1e3 * statistics.median(other - one for one, other in pairs),
        "n": len(pairs),
    }


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """What was promised."""
    one, many, over = (figures[name] for name in ("one client", "32 clients", "overload"))
    told = [figures[f"{clients}, descriptions"]["tokens_per_s"] for clients in ("32 clients", "one client")]
    return {
        "32 clients over one, descriptions": told[0] / told[1],
        "32 clients over one": many["tokens_per_s"] / one["tokens_per_s"],
        "32 clients over offline": many["tokens_per_s"] / figures["offline"]["tokens_per_s"],
        "overhead of a request, ms": figures["single"]["overhead_ms"],
        "p95 under overload over p95 at 32": over["seconds_p95_ms"] / many["seconds_p95_ms"],
    }


def _conversation(samples: np.ndarray, question: str) -> list[dict[str, Any]]:
    parts = [{"type": "audio", "audio": samples}, {"type": "text", "text": question}]
    return [{"role": "user", "content": parts}]


def _percentile(seconds: list[float], share: int) -> float:
    return 1e3 * float(np.percentile(seconds, share)) if seconds else float("nan")


def _resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


if __name__ == "__main__":
    main()
