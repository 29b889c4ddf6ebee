"""Reliance on the words: what `data.transcript_dropout` and `data.transcript_mismatch` do against it (nano).

    python bench/words_and_voice.py [-o FOLDER] [--clips 3600] [--steps 300] [--seeds 1] [--lora] [--json]

The design, written down before it was run. In the nano world words say nothing about the voice. Here they do:
sentences that end in a time go with low pitch, those that end in a place with medium, others with high
(`BELONGS`). From a synthesised corpus all clips that agree with this are taken to train on, and so many
others that `AGREEING` of all agree. Pitch is what the nano model hears moderately well. The LLM answers pitch
questions about the seeds (self-generation as in the demo, whose prompt is of no use here: its answers quote
the words, so mismatch would never apply). One adapter for each of `SETTINGS`, alike but for the two keys. The
test is on all clips of held-out speakers, with the true transcript and with an empty one.

"agree" and "disagree" are accuracies where the words suggest the true pitch and another one, each pitch
counting alike; "gap" is their difference; "follow" is the share of answers among the latter that are what the
words suggest. Intervals resample speakers. What is not in them: another training run (`--seeds`). The words
are in the audio, too, so a gap that stays with an empty transcript comes from there, and no transcript can
cure it. With `--lora` the LLM learns, too: frozen, it has no idea that words could go with a pitch, which an
LLM that knows what is sad does. A run that was stopped continues.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from machine import described

COLUMNS = ("agree", "disagree", "gap", "follow", "all")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train and ask all settings; scores by setting and way of giving words."""
    # Imported only now: processes that synthesise and measure clips import this file again.
    import words_and_voice_runs as runs

    from desta2.records import count_records
    from desta2.settings import keep_settings

    folder, numbers = options.output, range(1, options.seeds + 1)
    keep_settings(folder, {name: getattr(options, name) for name in ("clips", "test_clips", "steps")})
    found = runs.pairs(runs.corpus(folder / "train", options.clips, "train"))
    test = runs.corpus(folder / "test", options.test_clips, "test")
    rows = {}
    for name in runs.SETTINGS:
        models = [runs.trained(folder, found, name, options.steps, n, options.lora) for n in numbers]
        told = [prediction for model in models for prediction in runs.answers(model, test)]
        rows[name] = {way: runs.scores(runs.those(told, way)) for way in runs.WORDS}
    size = {"pairs": count_records(found), "steps": options.steps, "seeds": options.seeds}
    return {**size, "lora": options.lora, "settings": rows}


def table(result: dict[str, Any]) -> str:
    """The result in Markdown, in per cent."""
    n = result["settings"]["plain"]["given"]
    heads = (name if name == "gap" else f"{name}, n = {n[name]['n']}" for name in COLUMNS)
    lines = [
        f"{result['pairs']} pairs, {result['steps']} steps, {result['seeds']} runs of each",
        "",
        f"| training | transcript | {' | '.join(heads)} |",
        "| " + " | ".join(["---"] * (2 + len(COLUMNS))) + " |",
    ]
    for setting, ways in result["settings"].items():
        for words, found in ways.items():
            cells = " | ".join(_cell(found[name]) for name in COLUMNS)
            lines.append(f"| {setting} | {words} | {cells} |")
    return "\n".join(lines)


def _cell(score: dict[str, float]) -> str:
    value, low, high = (f"{100 * score[end]:.1f}" for end in ("value", "low", "high"))
    return f"{value} [{low} … {high}]"


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("words-and-voice"), help="is continued")
    parser.add_argument("--clips", type=int, default=3600, help="to choose from; about a third is trained on")
    parser.add_argument("--test-clips", type=int, default=500)
    parser.add_argument("--steps", type=int, default=300, help="of 16 pairs, for each setting")
    parser.add_argument("--seeds", type=int, default=1, help="training runs of each setting")
    parser.add_argument("--lora", action="store_true", help="let the LLM learn, too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    started = time.monotonic()
    result = {"machine": described(), **measure(options)}
    result["seconds"] = round(time.monotonic() - started)
    print(json.dumps(result) if options.json else f"{result['machine']}\n\n{table(result)}")


if __name__ == "__main__":
    main()
