"""What `desta2 respond` costs beside the LLM: requests a second against a server that answers at once.

Side by side, in turns: the whole stage (seeds read, prompts built, requests sent, pairs journalled); the same
with each prompt compared with training's by the nano LLM's tokenizer (--backbone); and one httpx2 client that
posts the same bodies and does nothing else. The server is a process of its own.
"""

import argparse
import asyncio
import itertools
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
from instant_llm import instant_llm

from desta2.data.backbone import Backbone
from desta2.data.backends import PromptStyle, Sampling
from desta2.data.completions import request_body
from desta2.data.endpoint import EndpointBackend
from desta2.data.prompts import DESCRIBE
from desta2.data.respond import Asking, respond
from desta2.model.configuration import DEFAULT_SYSTEM_PROMPT
from desta2.model.prompt import seed_messages, template_messages
from desta2.records import Seed, read_records, write_records

WANTED = 300  # requests a second
STYLE = PromptStyle("desta2", DEFAULT_SYSTEM_PROMPT)


def write_seeds(path: Path, count: int) -> None:
    """Seeds of usual length."""
    text = "I have a meeting at ten o'clock tomorrow morning, and the food was really good"
    told = f'[00:00:00 - 00:00:05] "{text}" (Gender: Female, Emotion: Happy, Pitch: High, Duration: 5s)'
    write_records(
        path,
        (
            Seed(id=f"corpus/{i:07}", audio=f"wav/{i}.wav", text=text, seed=told, seed_format="v2")
            for i in range(count)
        ),
    )


def stage(url: str, seeds: Path, folder: Path, concurrency: int, backbone: Backbone | None) -> float:
    """Seconds for the whole stage."""
    backend = EndpointBackend(url, STYLE, backbone=backbone, concurrency=concurrency)
    started = time.perf_counter()
    summary = respond(seeds, folder, backend, Asking())
    assert not summary.failed
    return time.perf_counter() - started


def body_of(seed: Seed) -> bytes:
    """The body that the stage sends."""
    messages = template_messages(seed_messages(seed.seed, DESCRIBE), STYLE)
    return request_body("instant", messages, seed.id, Sampling())


async def bare(url: str, bodies: list[bytes], concurrency: int) -> None:
    """Post the bodies with httpx2 alone."""
    waiting = iter(bodies)
    headers = {"Content-Type": "application/json"}
    async with httpx2.AsyncClient(headers=headers, timeout=None) as client:

        async def work() -> None:
            for body in waiting:
                response = await client.post(f"{url}/chat/completions", content=body)
                json.loads(response.content)

        await asyncio.gather(*(work() for _ in range(concurrency)))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--clips", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="runs that the medians are over")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Requests a second of each way; medians over the rounds."""
    logging.getLogger("desta2").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, instant_llm() as url:
        seeds = Path(folder) / "seeds.jsonl"
        write_seeds(seeds, options.clips)
        bodies = [body_of(seed) for seed in read_records(seeds, Seed)]
        backbone, most = Backbone("nano"), options.concurrency
        outputs = (Path(folder) / f"pairs{number}" for number in itertools.count())

        def bare_seconds() -> float:
            started = time.perf_counter()
            asyncio.run(bare(url, bodies, most))
            return time.perf_counter() - started

        runs: dict[str, Callable[[], float]] = {
            "respond": lambda: stage(url, seeds, next(outputs), most, None),
            "respond --backbone": lambda: stage(url, seeds, next(outputs), most, backbone),
            "bare httpx2": bare_seconds,
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                rates[name].append(options.clips / run())
    found = {name: statistics.median(values) for name, values in rates.items()}
    met = {name: found[name] >= WANTED for name in ("respond", "respond --backbone")}
    return {"clips": options.clips, "requests_per_s": found, "met": met}


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rows = ["| | requests a second | wanted |", "| --- | --- | --- |"]
    for name, rate in result["requests_per_s"].items():
        verdict = {True: f"{WANTED}: as wanted", False: f"{WANTED}: missed", None: ""}[
            result["met"].get(name)
        ]
        rows.append(f"| {name} | {rate:.0f} | {verdict} |")
    return "\n".join(rows)
