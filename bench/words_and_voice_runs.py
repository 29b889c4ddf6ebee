"""The parts of `words_and_voice`: clips, pairs, trained models, their answers, and scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from desta2.data.annotate import annotate
from desta2.data.attributes import load_scheme
from desta2.data.audio import load_audio
from desta2.data.backends import PromptStyle, Sampling, TransformersBackend
from desta2.data.prompts import PromptPool
from desta2.data.respond import Asking, respond
from desta2.data.seed import seed
from desta2.evaluate.answers import is_right, read_answer
from desta2.evaluate.run import MAX_NEW_TOKENS, conversation
from desta2.evaluate.stats import Score, cluster_bootstrap
from desta2.evaluate.tasks import Item, facts_of, nano_items
from desta2.journal import Journal
from desta2.model.modeling import load
from desta2.nano.grammar import PLACES, TIMES
from desta2.nano.language import ASPECT
from desta2.nano.recipe import adapter_config
from desta2.nano.world import SCHEME, make_corpus
from desta2.records import Clip, Prediction, read_records, resolve_audio, write_records
from desta2.train.config import LoraOptions
from desta2.train.trainer import train

AGREEING = 0.95
BELONGS = {"when": "low", "where": "medium", "neither": "high"}
SETTINGS: dict[str, dict[str, float]] = {
    "plain": {},
    "dropout": {"transcript_dropout": 0.3},
    "mismatch": {"transcript_mismatch": 0.3},
    "both": {"transcript_dropout": 0.3, "transcript_mismatch": 0.3},
}
WORDS = ("given", "withheld")
_PLACES = {place for places in PLACES.values() for place in places}
_AT_ONCE = 32  # clips heard


def suggested(text: str) -> str:
    """The pitch that a sentence goes with in training."""
    last = text.split()[-1]
    return BELONGS["when" if last in TIMES else "where" if last in _PLACES else "neither"]


def pitch_of(clip: Clip) -> str | None:
    """How an annotated clip's pitch is spoken of; None where it was not measured."""
    return facts_of(clip).values.get("pitch")


def chosen(clips: Iterable[Clip]) -> list[Clip]:
    """Clips to train on: all that agree, and others until `AGREEING` of them do."""
    known = [(clip, suggested(clip.text or "") == pitch_of(clip)) for clip in clips if pitch_of(clip)]
    agreeing = [clip for clip, agrees in known if agrees]
    others = [clip for clip, agrees in known if not agrees]
    return agreeing + others[: round(len(agreeing) * (1 / AGREEING - 1))]


def corpus(folder: Path, n: int, split: str) -> Path:
    """Annotated clips of a split; what is there is kept."""
    manifest, annotated = folder / "clips.jsonl", folder / "annotated.jsonl"
    if not manifest.exists():
        make_corpus(n, folder, split)
    annotate(manifest, annotated, scheme=load_scheme(SCHEME))
    return annotated


def pairs(annotated: Path) -> Path:
    """What the LLM answers to pitch questions about the seeds of the chosen clips."""
    folder = annotated.parent
    write_records(folder / "chosen.jsonl", chosen(read_records(annotated, Clip)))
    seed(folder / "chosen.jsonl", folder / "seeds.jsonl", scheme=load_scheme(SCHEME))
    model = adapter_config([folder], folder, 1, 0).model
    backend = TransformersBackend("nano", PromptStyle(model.layout, model.system_prompt), batch_size=100)
    asking = Asking(PromptPool.of(*ASPECT["pitch"].questions), Sampling(max_new_tokens=32))
    respond(folder / "seeds.jsonl", folder / "pairs", backend, asking)
    return folder / "pairs"


def trained(folder: Path, found: Path, setting: str, steps: int, seed_number: int, lora: bool) -> Path:
    """The model folder of a setting; trained if it is not there."""
    output = folder / f"{setting}-{seed_number}{'-lora' if lora else ''}"
    config = adapter_config([found], output, steps, seed_number)
    model = config.model.model_copy(update={"lora": LoraOptions() if lora else None})
    data = config.data.model_copy(update={"cache_dir": folder / "taps", **SETTINGS[setting]})
    if not (output / "model" / "adapter.safetensors").exists():
        train(config.model_copy(update={"model": model, "data": data}))
    return output / "model"


def answers(model_folder: Path, annotated: Path) -> list[Prediction]:
    """Predictions for all test clips of known pitch, with each of `WORDS`; asked if they are not there."""
    path = model_folder.parent / "predictions.jsonl"
    if not path.exists():
        model = load(model_folder)
        clips = [clip for clip in read_records(annotated, Clip) if pitch_of(clip)]
        with Journal(path) as journal:
            for first in range(0, len(clips), _AT_ONCE):
                for prediction in _asked(model, clips[first : first + _AT_ONCE], annotated):
                    if prediction.id not in journal.done:
                        journal.append(prediction)
    return list(read_records(path, Prediction))


def _asked(model: Any, clips: Sequence[Clip], manifest: Path) -> Iterable[Prediction]:
    items = [item for item in nano_items(clips) if item.task == "attribute/pitch"]
    audios = [load_audio(resolve_audio(clip, manifest, None)) for clip in clips]
    heard = model.hear(audios, transcripts=[clip.text for clip in clips])
    for words in WORDS:
        ears = heard if words == "given" else [one.with_transcript("") for one in heard]
        rows = list(zip(items, clips, ears, strict=True))
        asked = [conversation("speech", *row) for row in rows]
        outputs = model.chat(asked, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        for (item, clip, _), output in zip(rows, outputs, strict=True):
            yield prediction_of(clip, item, words, output.text)


def prediction_of(clip: Clip, item: Item, words: str, response: str) -> Prediction:
    """An answer with what its scores go by."""
    about = {"task": item.task, "instruction": item.instruction, "label": item.label, "audio": clip.audio}
    extra = {"suggested": suggested(clip.text or ""), "speaker": clip.speaker, "words": words}
    return Prediction.model_validate({"id": f"{clip.id}/{words}", "response": response, **about, **extra})


def those(predictions: Iterable[Prediction], words: str) -> list[Prediction]:
    """The answers with the transcript given, or those with it withheld."""
    return [one for one in predictions if (one.model_extra or {})["words"] == words]


def scores(predictions: Sequence[Prediction]) -> dict[str, Score]:
    """Accuracies where words and voice agree and disagree, their gap, and how often words were followed.

    Takes the predictions of one way of giving words, of any number of runs.
    """
    told = [prediction.model_extra or {} for prediction in predictions]
    label = np.array([prediction.label for prediction in predictions])
    words = np.array([extra["suggested"] for extra in told])
    speaker = np.array([extra["speaker"] for extra in told])
    right = np.array([is_right("pitch", str(one.label), one.response) for one in predictions], float)
    follows = np.array([read_answer("pitch", one.response) for one in predictions]) == words
    agree = words == label
    cells = np.char.add(label, np.where(agree, " agrees", " disagrees"))
    if len(found := np.unique(cells)) < 2 * len(BELONGS):
        raise SystemExit(f"the test clips hold only {', '.join(found)}: give more --test-clips")
    # The mean over all cells of ±2 × right is the mean of those that agree less that of those that do not.
    signed = np.where(agree, 2, -2) * right
    intervals = {
        "agree": cluster_bootstrap(right[agree], label[agree], speaker[agree]),
        "disagree": cluster_bootstrap(right[~agree], label[~agree], speaker[~agree]),
        "gap": cluster_bootstrap(signed, cells, speaker),
        "follow": cluster_bootstrap(follows[~agree].astype(float), label[~agree], speaker[~agree]),
        "all": cluster_bootstrap(right, label, speaker),
    }
    return {name: interval.to_dict() for name, interval in intervals.items()}
