"""Reliance on the words: what `data.transcript_dropout` and `data.transcript_mismatch` do against it (nano).

    python bench/words_and_voice.py [-o FOLDER] [--clips 3600] [--test-clips 500] [--steps 300] [--seeds 1] [--json]

The design, written down before it was run. In the nano world words say nothing about the voice. Here they do:
sentences that end in a time go with low pitch, those that end in a place with medium, others with high
(`BELONGS`). From a synthesised corpus all clips that agree with this are taken to train on, and so many others
that `AGREEING` of all agree. Pitch is what the nano model hears moderately well. The LLM answers pitch
questions about the seeds (self-generation as in the demo, whose prompt is of no use here: its answers quote
the words, so mismatch would never apply). One adapter for each of `SETTINGS`, alike but for the two keys. The
test is on all clips of held-out speakers, with the true transcript and with an empty one.

"agree" and "disagree" are accuracies where the words suggest the true pitch and another one, each pitch
counting alike; "gap" is their difference; "follow" is the share of answers among the latter that are what the
words suggest. Intervals resample speakers. What is not in them: another training run (`--seeds`). The words are
in the audio, too, so a gap that stays with an empty transcript comes from there, and no transcript can cure
it. With `--lora` the LLM learns, too: frozen, it has no idea that words could go with a pitch, which an LLM that
knows what is sad does. A run that was stopped continues.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from machine import described

AGREEING = 0.95
BELONGS = {"when": "low", "where": "medium", "neither": "high"}
SETTINGS = {
    "plain": {},
    "dropout": {"transcript_dropout": 0.3},
    "mismatch": {"transcript_mismatch": 0.3},
    "both": {"transcript_dropout": 0.3, "transcript_mismatch": 0.3},
}
WORDS = ("given", "withheld")
_AT_ONCE = 32  # clips heard


def suggested(text: str) -> str:
    """The pitch that a sentence goes with in training."""
    from desta2.nano.grammar import PLACES, TIMES

    last, places = text.split()[-1], {place for places in PLACES.values() for place in places}
    return BELONGS["when" if last in TIMES else "where" if last in places else "neither"]


def pitch_of(clip: Any) -> str | None:
    """How an annotated clip's pitch is spoken of; None where it was not measured."""
    from desta2.evaluate.tasks import facts_of

    return facts_of(clip).values.get("pitch")


def chosen(clips: Iterable[Any]) -> list[Any]:
    """Clips to train on: all that agree, and others until `AGREEING` of them do."""
    known = [clip for clip in clips if pitch_of(clip)]
    agreeing = [clip for clip in known if suggested(clip.text) == pitch_of(clip)]
    others = [clip for clip in known if suggested(clip.text) != pitch_of(clip)]
    return agreeing + others[: round(len(agreeing) * (1 / AGREEING - 1))]


def corpus(folder: Path, n: int, split: str) -> Path:
    """Annotated clips of a split."""
    from desta2.data.annotate import annotate
    from desta2.data.attributes import load_scheme
    from desta2.nano.world import SCHEME, make_corpus

    manifest = folder / "clips.jsonl"
    if not manifest.exists():
        make_corpus(n, folder, split)
    annotate(manifest, folder / "annotated.jsonl", scheme=load_scheme(SCHEME))
    return folder / "annotated.jsonl"


def pairs(folder: Path, annotated: Path) -> Path:
    """What the LLM answers to pitch questions about the seeds of the chosen clips."""
    from desta2.data.attributes import load_scheme
    from desta2.data.backends import PromptStyle, Sampling, TransformersBackend
    from desta2.data.prompts import PromptPool
    from desta2.data.respond import Asking, respond
    from desta2.data.seed import seed
    from desta2.nano.language import ASPECT
    from desta2.nano.recipe import adapter_config
    from desta2.nano.world import SCHEME
    from desta2.records import Clip, write_records

    write_records(folder / "chosen.jsonl", chosen(read(annotated, Clip)))
    seed(folder / "chosen.jsonl", folder / "seeds.jsonl", scheme=load_scheme(SCHEME))
    model = adapter_config([folder], folder, 1, 0).model
    backend = TransformersBackend("nano", PromptStyle(model.layout, model.system_prompt), batch_size=100)
    asking = Asking(PromptPool.of(*ASPECT["pitch"].questions), Sampling(max_new_tokens=32))
    respond(folder / "seeds.jsonl", folder / "pairs", backend, asking)
    return folder / "pairs"


def read(path: Path, kind: Any) -> list[Any]:
    """All records of a file or folder."""
    from desta2.records import read_records

    return list(read_records(path, kind))


def trained(folder: Path, found: Path, setting: str, options: argparse.Namespace, seed: int) -> Path:
    """The model folder of a setting; made if it is not there."""
    from desta2.nano.recipe import adapter_config
    from desta2.train.config import LoraOptions
    from desta2.train.trainer import train

    output = folder / f"{setting}-{seed}{'-lora' if options.lora else ''}"
    config = adapter_config([found], output, options.steps, seed)
    lora = LoraOptions() if options.lora else None
    model = config.model.model_copy(update={"lora": lora})
    data = config.data.model_copy(update={"cache_dir": folder / "taps", **SETTINGS[setting]})
    if not (output / "model" / "adapter.safetensors").exists():
        train(config.model_copy(update={"model": model, "data": data}))
    return output / "model"


def answers(model_folder: Path, annotated: Path) -> list[Any]:
    """Predictions for all test clips whose pitch is known, with each of `WORDS`."""
    from desta2.data.audio import load_audio
    from desta2.evaluate.run import MAX_NEW_TOKENS, conversation
    from desta2.evaluate.tasks import nano_items
    from desta2.journal import Journal
    from desta2.model.modeling import load
    from desta2.records import Clip, Prediction, resolve_audio

    path = model_folder.parent / "predictions.jsonl"
    if path.exists():
        return read(path, Prediction)
    model = load(str(model_folder))
    clips = [clip for clip in read(annotated, Clip) if pitch_of(clip)]
    items = {item.clip: item for item in nano_items(clips) if item.task == "attribute/pitch"}
    with Journal(path) as journal:
        for first in range(0, len(clips), _AT_ONCE):
            part = clips[first : first + _AT_ONCE]
            audios = [load_audio(resolve_audio(clip, annotated, None)) for clip in part]
            heard = model.hear(audios, transcripts=[clip.text for clip in part])
            for words in WORDS:
                ears = heard if words == "given" else [one.with_transcript("") for one in heard]
                asked = [
                    conversation("speech", items[clip.id], clip, one)
                    for clip, one in zip(part, ears, strict=True)
                ]
                outputs = model.chat(asked, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
                for clip, output in zip(part, outputs, strict=True):
                    if f"{clip.id}/{words}" not in journal.done:
                        journal.append(_prediction(clip, items[clip.id], words, output.text))
    return read(path, Prediction)


def _prediction(clip: Any, item: Any, words: str, response: str) -> Any:
    from desta2.records import Prediction

    about = {"task": item.task, "instruction": item.instruction, "label": item.label, "audio": clip.audio}
    extra = {"suggested": suggested(clip.text), "speaker": clip.speaker, "words": words}
    return Prediction.model_validate({"id": f"{clip.id}/{words}", "response": response, **about, **extra})


def scores(predictions: Sequence[Any]) -> dict[str, Any]:
    """Accuracies where words and voice agree and disagree, their gap, and how often words were followed.

    Takes the predictions of one way of giving words, of any number of runs.
    """
    import numpy as np

    from desta2.evaluate.score import is_right, read_answer
    from desta2.evaluate.stats import cluster_bootstrap

    told = [prediction.model_extra for prediction in predictions]
    label = np.array([prediction.label for prediction in predictions])
    speaker = np.array([extra["speaker"] for extra in told])
    agree = np.array([extra["suggested"] for extra in told]) == label
    right = np.array([is_right("pitch", one.label, one.response) for one in predictions], dtype=float)
    said = zip(predictions, told, strict=True)
    follows = np.array([read_answer("pitch", one.response) == extra["suggested"] for one, extra in said])
    cells = np.array([f"{one}/{both}" for one, both in zip(label, agree, strict=True)])
    if len(set(cells)) < 2 * len(BELONGS):
        raise SystemExit(f"the test clips hold only {sorted(set(cells))}: give more --test-clips")
    # The mean over all cells of ±2 × right is the mean of those that agree less that of those that do not.
    signed = np.where(agree, 2, -2) * right
    found = {
        "agree": cluster_bootstrap(right[agree], label[agree], speaker[agree]),
        "disagree": cluster_bootstrap(right[~agree], label[~agree], speaker[~agree]),
        "gap": cluster_bootstrap(signed, cells, speaker),
        "follow": cluster_bootstrap(follows[~agree].astype(float), label[~agree], speaker[~agree]),
        "all": cluster_bootstrap(right, label, speaker),
    }
    return {name: interval.to_dict() for name, interval in found.items()}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train and ask all settings; scores by setting and way of giving words."""
    from desta2.records import Pair
    from desta2.settings import keep_settings

    keep_settings(options.output, {name: getattr(options, name) for name in ("clips", "test_clips", "steps")})
    found = pairs(options.output / "train", corpus(options.output / "train", options.clips, "train"))
    test = corpus(options.output / "test", options.test_clips, "test")
    rows = {}
    for setting in SETTINGS:
        models = [trained(options.output, found, setting, options, seed + 1) for seed in range(options.seeds)]
        predictions = [prediction for model in models for prediction in answers(model, test)]
        rows[setting] = {
            words: scores([one for one in predictions if one.model_extra["words"] == words])
            for words in WORDS
        }
    about = {"pairs": len(read(found, Pair)), "steps": options.steps, "seeds": options.seeds}
    return {**about, "lora": options.lora, "settings": rows}


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    columns = ("agree", "disagree", "gap", "follow", "all")
    first = result["settings"]["plain"]["given"]
    counts = (f"{name}, n = {first[name]['n']}" if name != "gap" else name for name in columns)
    lines = [f"| training | transcript | {' | '.join(counts)} |", "| " + " | ".join(["---"] * 7) + " |"]
    for setting, ways in result["settings"].items():
        for words, found in ways.items():
            cells = (
                "{value:.1f} [{low:.1f} … {high:.1f}]".format(
                    **{name: 100 * end for name, end in found[column].items()}
                )
                for column in columns
            )
            lines.append(f"| {setting} | {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("words-and-voice"), help="folder, continued")
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
