"""Time and memory of `Desta2Model.chat`, beside the published implementations and beside its parts alone.

    python bench/inference.py [--sizes small tiny] [--fast] [--json]

Random weights at Whisper-small and Whisper-tiny dimensions, an LLM of width 576 × 12 layers, 64 queries, 5 s
clips, transcripts of 24 tokens, answers of 32, greedy. Cases: one clip (2 Q-Former layers, against DeSTA2)
and four in a batch (6 layers, against DeSTA2.5). Each case runs in a process of its own, so that its peak
memory is its own. A floor is one part called alone, in turn with the whole: a busy spell strikes both.
Published figures come from another machine and are carried here by the time of one float32 encoder pass;
memory is not carried.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import PUBLISHED_PASS, alone, cell, speech
from machine import described, peak_gb

# Seconds and peak GB of the published `chat`.
PUBLISHED = {
    ("small", 1): (7.88, 2.2),
    ("tiny", 1): (2.36, 1.1),
    ("small", 4): (34.97, 5.8),
    ("tiny", 4): (7.08, 2.9),
}
Q_FORMER_LAYERS = {1: 2, 4: 6}  # by clips: those of DeSTA2 and DeSTA2.5
WANTED_SPEED, WANTED_FAST = {1: 1.35, 4: 1.9}, {"small": 3.0}
WANTED_FLOORS, WANTED_MEMORY = 1.10, 0.60
NEW_TOKENS, SECONDS = 32, 5
QUESTION = "What can you hear from the audio?"


def main() -> None:
    """Measure, and print a table or JSON."""
    options = _options()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    cases = []
    with tempfile.TemporaryDirectory(prefix="desta2-bench-") as name:
        for size in options.sizes:
            folder = Path(name) / size
            alone(_build, folder, size)
            for batch in Q_FORMER_LAYERS:
                print(f"measuring: Whisper-{size}, {batch} clips", file=sys.stderr)
                how = (options.repeats, options.threads, options.fast)
                found = alone(_measure, folder / str(batch), batch, *how)
                cases.append(judged({"size": size, "batch": batch, **found}, options.fast))
    ran_on = {**described(), "threads": options.threads}
    result = {"machine": ran_on, "fast": options.fast, "repeats": options.repeats, "cases": cases}
    print(json.dumps(result) if options.json else table(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=["small", "tiny", "smoke"], default=["small", "tiny"])
    parser.add_argument("--repeats", type=int, default=7, help="runs that the medians are over")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fast", action="store_true", help="load with fast=True")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _build(folder: Path, size: str) -> None:
    from random_models import SIZES, build

    build(folder, SIZES[size], {str(batch): layers for batch, layers in Q_FORMER_LAYERS.items()})


def _measure(folder: Path, batch: int, repeats: int, threads: int, fast: bool) -> dict[str, Any]:
    """Median seconds of the whole and of its parts, and peak memory of loading and answering."""
    import torch

    from desta2 import Desta2Model

    torch.set_num_threads(threads)
    imports_gb = peak_gb()
    model = Desta2Model.from_pretrained(folder, fast=fast)
    clips = speech(batch, SECONDS)
    conversations = [_conversation(clip) for clip in clips]

    def chat() -> Any:
        model.memory.clear()  # or the second run would hear nothing
        return model.chat(conversations, max_new_tokens=NEW_TOKENS, do_sample=False)

    answers = chat()  # also warms up
    peak = peak_gb()
    transcripts = [answer.transcripts[0] for answer in answers]
    _check_work(answers, transcripts)
    plain = _float_encoder(folder) if fast else model.whisper.get_encoder()
    runs = {"chat": chat, **_floors(model, clips, transcripts, plain)}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(repeats + 1):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first warms up
    if torch.get_num_threads() != threads:
        raise RuntimeError(f"something set {torch.get_num_threads()} threads in place of {threads}")
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "seconds": medians,
        "peak_gb": peak,
        "imports_gb": imports_gb,
        "parameters_gb": parameters / 1e9,
    }


def _float_encoder(folder: Path) -> Any:
    from transformers import WhisperForConditionalGeneration

    return WhisperForConditionalGeneration.from_pretrained(folder.parent / "whisper").get_encoder().eval()


def _floors(model: Any, clips: list[Any], transcripts: list[str], plain: Any) -> dict[str, Any]:
    """The parts, each alone, through transformers where it is transformers' work."""
    import torch
    from random_models import TRANSCRIPT_TOKENS
    from transformers.modeling_outputs import BaseModelOutput

    whisper, llm, features = model.whisper, model.llm, model.processor.features(clips)
    own = features.to(whisper.dtype)
    heard = model.encode(features)
    hidden = heard.last_hidden_state
    frames = torch.ones(hidden.shape[:2], dtype=torch.long)
    prompts = [
        model.processor.prompt(_conversation(clip), [text])
        for clip, text in zip(clips, transcripts, strict=True)
    ]
    length = max(len(prompt.input_ids) for prompt in prompts)
    embeds = torch.randn(len(clips), length, model.config.d_llm).to(llm.dtype)
    mask = torch.ones(embeds.shape[:2], dtype=torch.long)
    return {
        "one float32 encoder pass": lambda: plain(features[:1]),
        "encoder": lambda: whisper.get_encoder()(own),
        "asr": lambda: whisper.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            attention_mask=frames,
            max_length=None,
            max_new_tokens=TRANSCRIPT_TOKENS,
            do_sample=False,
            num_beams=1,
        ),
        "q_former": lambda: model.adapter(heard.taps),
        "llm": lambda: llm.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False
        ),
    }


def _conversation(clip: Any) -> list[dict[str, Any]]:
    parts = [{"type": "audio", "audio": clip}, {"type": "text", "text": QUESTION}]
    return [{"role": "user", "content": parts}]


def _check_work(answers: list[Any], transcripts: list[str]) -> None:
    """The parts are a floor only if the whole did no less than they."""
    from random_models import TRANSCRIPT_TOKENS

    words = [len(text.split()) for text in transcripts]
    done = list(zip(words, [len(answer.token_ids) for answer in answers], strict=True))
    if set(done) != {(TRANSCRIPT_TOKENS, NEW_TOKENS)}:
        raise RuntimeError(
            f"(transcript, answer) tokens are {done}, not {(TRANSCRIPT_TOKENS, NEW_TOKENS)} each"
        )


def judged(case: dict[str, Any], fast: bool) -> dict[str, Any]:
    """A case with its ratios, and what is `met` of what is wanted of float32 or of the fast mode."""
    seconds, size, batch = case["seconds"], case["size"], case["batch"]
    case["floors"] = sum(seconds[part] for part in ("encoder", "asr", "q_former", "llm"))
    case["of_floors"] = seconds["chat"] / case["floors"]
    met = {} if fast else {"of_floors": case["of_floors"] <= WANTED_FLOORS}
    if (size, batch) in PUBLISHED:
        published, gigabytes = PUBLISHED[size, batch]
        case["published_here"] = published * seconds["one float32 encoder pass"] / PUBLISHED_PASS[size]
        case["times_as_fast"] = case["published_here"] / seconds["chat"]
        case["of_published_memory"] = case["peak_gb"] / gigabytes
        wanted = WANTED_FAST.get(size) if fast else WANTED_SPEED[batch]
        if wanted is not None:
            met["times_as_fast"] = case["times_as_fast"] >= wanted
        if not fast:
            met["of_published_memory"] = case["of_published_memory"] <= WANTED_MEMORY
    return {**case, "met": met}


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    machine = ", ".join(f"{name} {value}" for name, value in result["machine"].items())
    mode = "fast=True" if result["fast"] else "float32"
    lines = [
        f"{machine}; {mode}, median of {result['repeats']} runs",
        "",
        "| Whisper, clips | chat, s | published, carried here, s | times as fast "
        "| encoder + ASR + Q-Former + LLM alone, s | chat / alone | peak, GB | of published |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in result["cases"]:
        seconds = case["seconds"]
        parts = " + ".join(f"{seconds[part]:.2f}" for part in ("encoder", "asr", "q_former", "llm"))
        cells = (
            f"{case['size']}, {case['batch']}",
            f"{seconds['chat']:.2f}",
            cell(case, "published_here", ".2f"),
            cell(case, "times_as_fast", ".2f"),
            f"{parts} = {case['floors']:.2f}",
            cell(case, "of_floors", ".3f"),
            f"{case['peak_gb']:.2f} ({case['imports_gb']:.2f} imports, {case['parameters_gb']:.2f} weights)",
            cell(case, "of_published_memory", ".0%"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
