"""What the benchmarks of the model share: cases in processes of their own, clips, the published machine."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# Seconds of one float32 encoder pass of one clip on the machine on which the published code was measured.
# What it took there is carried to another machine by the time of that pass.
PUBLISHED_PASS = {"small": 2.16, "tiny": 0.285}
EXAMPLES = Path(__file__).parents[1] / "examples"
CLIPS = ("american.wav", "british.wav", "caribbean.wav", "scottish.wav")
RATE = 16000


def alone(function: Any, *arguments: Any) -> Any:
    """Call in a fresh process, forked from one that has only imported what all need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["desta2.model", "random_models"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def speech(count: int, seconds: float) -> list[Any]:
    """Clips at 16 kHz, repeated or cut to a length; there are four different ones."""
    import numpy as np

    from desta2.data.audio import load_audio

    names = [CLIPS[i % len(CLIPS)] for i in range(count)]
    return [np.resize(load_audio(EXAMPLES / name), int(seconds * RATE)) for name in names]


def cell(case: dict[str, Any], name: str, form: str) -> str:
    """A figure of a case for a table, with its verdict where something was wanted; "–" if not measured."""
    if name not in case:
        return "–"
    verdict = {True: " (as wanted)", False: " (missed)", None: ""}[case["met"].get(name)]
    return format(case[name], form) + verdict
