"""Whether memory grows with the corpus: seed + respond at 10,000 clips and at N, with an instant LLM.

Each size runs in a process of its own, which writes its clips, then seeds them, then has them answered by a
backend in the same process (no network, no LLM), and then starts again on the finished output, so that
scanning what is done is measured too. Reported are the peak of resident memory, as the system counts it, what
was there before the first clip (torch and transformers, mostly), and seconds.
"""

import argparse
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from instant_llm import ANSWER
from machine import peak_gb

FEW = 10_000
WANTED = 1.10  # peak at N clips over peak at FEW


class Instant:
    """A backend that answers at once."""

    kind = "endpoint"
    name = "instant"
    fingerprint = None

    def __init__(self) -> None:
        from desta2.data.backends import PromptStyle

        self.style = PromptStyle()

    def answers(self, requests: Iterable, sampling: object) -> Iterator:  # type: ignore[type-arg]
        """The same answer to everything."""
        from desta2.data.backends import Reply

        for request in requests:
            yield request, Reply(ANSWER, True)


def run(count: int) -> dict[str, float]:
    """Run both stages on `count` clips in this process."""
    logging.getLogger("desta2").setLevel(logging.ERROR)
    import desta2.model.prompt  # noqa: F401  # with torch, which respond would import later
    from desta2.data.respond import respond
    from desta2.data.seed import seed
    from desta2.records import Clip, write_records

    before = peak_mb()
    with tempfile.TemporaryDirectory() as name:
        folder, seconds = Path(name), {}
        attributes = {"gender": "Female", "emotion": "Happy", "pitch": "High"}
        clips = (
            Clip(
                id=f"corpus/{i:09}",
                audio=f"wav/{i}.wav",
                duration=5.0,
                text=f"clip {i}",
                attributes=attributes,
            )
            for i in range(count)
        )
        write_records(folder / "clips.jsonl", clips)
        for stage in ("seed", "respond", "respond again"):
            started = time.perf_counter()
            if stage == "seed":
                seed(folder / "clips.jsonl", folder / "seeds.jsonl", "v2")
            else:
                done = respond(folder / "seeds.jsonl", folder / "pairs", Instant())
                assert done.written + done.already_done == count
            seconds[stage] = round(time.perf_counter() - started, 1)
    return {"clips": count, "before_mb": before, "peak_mb": peak_mb(), **seconds}


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return round(peak_gb() * 1e3, 1)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the benchmark."""
    parser.add_argument("--clips", type=int, default=100_000, help=f"beside {FEW:,}")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Both sizes, each in a process of its own, and the ratio of their peaks."""
    context = multiprocessing.get_context("spawn")
    runs = []
    for count in (FEW, options.clips):
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            runs.append(pool.submit(run, count).result())
    ratio = runs[1]["peak_mb"] / runs[0]["peak_mb"]
    return {"runs": runs, "ratio": ratio, "met": ratio <= WANTED}


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    stages = ("seed", "respond", "respond again")
    rows = [
        "| clips | MB before the first clip | peak, MB | "
        + " | ".join(f"{name}, s" for name in stages)
        + " |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for found in result["runs"]:
        cells = (
            f"{found['clips']:,}",
            found["before_mb"],
            found["peak_mb"],
            *(found[name] for name in stages),
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    verdict = "as wanted" if result["met"] else "missed"
    return "\n".join([*rows, "", f"{result['ratio']:.3f} times the memory (wanted {WANTED}: {verdict})"])
