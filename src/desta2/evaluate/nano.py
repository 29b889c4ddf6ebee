"""The nano benchmark from a model to a report, resumable at every stage."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.data.annotate import annotate
from desta2.data.attributes import load_scheme
from desta2.data.seed import seed_clip
from desta2.errors import InputError
from desta2.evaluate.nano_rows import is_clean
from desta2.evaluate.report import Example, write_report
from desta2.evaluate.rows import cluster_of
from desta2.evaluate.rules import family_of
from desta2.evaluate.run import run_nano
from desta2.evaluate.score import score_nano, wer_interval
from desta2.evaluate.stats import Interval
from desta2.evaluate.systems import weights_of
from desta2.progress import Progress
from desta2.records import Clip, Prediction, count_records, read_records, resolve_audio
from desta2.settings import keep_settings

N_CLIPS = 400
_EXAMPLES = 5
_SHOWN = ("describe", "attribute", "format", "combination", "unknown")
"""Families of which an example shows one answer each."""


def test_corpus(folder: Path, n: int, seed: int) -> Path:
    """Held-out clips (voices and sentences that no training clip has), synthesised if they are not there."""
    from desta2.nano.world import make_corpus

    manifest = folder / "clips.jsonl"
    return manifest if manifest.exists() else make_corpus(n, folder, "test", seed)


def evaluate_nano(
    model_id: str,
    folder: Path,
    data: Path | None = None,
    n: int = N_CLIPS,
    seed: int = 0,
    facts: Mapping[str, str] | None = None,
    loss_curve: Sequence[tuple[int, float]] | None = None,
    *,
    fast: bool = False,
) -> dict[str, Any]:
    """Evaluate a model on the nano benchmark.

    Args:
        model_id: folder, hub id, or "nano".
        folder: gets the corpus, the predictions and `report.html`.
        data: folder with `clips.jsonl`, instead of clips synthesised here.
        n: number of clips to synthesise.
        seed: of the clips.
        facts: further lines for the report's table.
        loss_curve: (step, loss) of the training, for the report.
        fast: load the model in its fast mode.

    Returns:
        the scores (see `NanoResult`), "seconds" and "report".

    Raises:
        InputError: the data or the model cannot be used, or `folder` holds the evaluation of another model or
            of other clips.
    """
    from desta2.model.modeling import load
    from desta2.nano.world import SCHEME

    started = time.monotonic()
    if data is not None and not (data / "clips.jsonl").exists():
        raise InputError(
            f"{data} holds no clips.jsonl; make one with: desta2 nano corpus -n 400 -o {data} --split test"
        )
    model = load(model_id, fast=fast)
    clips = {"clips": n, "seed": seed} if data is None else {"data": str(data.resolve())}
    keep_settings(folder, {"model": weights_of(model), "fast": fast, **clips})
    manifest = data / "clips.jsonl" if data is not None else test_corpus(folder / "corpus", n, seed)
    annotated = folder / "clips.annotated.jsonl"
    with Progress(count_records(manifest), "measuring the test clips") as bar:
        annotate(manifest, annotated, scheme=load_scheme(SCHEME), progress=bar.move_to)
    predictions = run_nano(model, annotated, folder / "predictions")
    transcripts = predictions.pop("transcripts")
    clean = [item for item in transcripts if is_clean(item) and item.label]
    clean_wer = _word_error_rate(clean) if clean else None
    result = score_nano(predictions, _word_error_rate(transcripts), clean_wer)
    seconds = round(time.monotonic() - started, 1)
    about = {"model": model_id, "clips": str(len(transcripts)), "evaluation": f"{seconds} s", **(facts or {})}
    examples = _examples(list(read_records(annotated, Clip)), annotated, predictions, transcripts)
    report = write_report(folder, result, examples, about, loss_curve)
    return {**result, "seconds": seconds, "report": str(report)}


def _word_error_rate(transcripts: Sequence[Prediction]) -> Interval:
    return wer_interval(
        [item.label or "" for item in transcripts],
        [item.response for item in transcripts],
        [cluster_of(item) for item in transcripts],
    )


def _examples(
    clips: Sequence[Clip],
    manifest: Path,
    predictions: Mapping[str, Sequence[Prediction]],
    transcripts: Sequence[Prediction],
) -> list[Example]:
    """The first clip of each of five speakers, with what the speech model was asked and answered."""
    heard = {item.id: item.response for item in transcripts}
    chosen: dict[str, Clip] = {}
    for clip in clips:
        chosen.setdefault(clip.speaker or clip.id, clip)
    examples = []
    for clip in list(chosen.values())[:_EXAMPLES]:
        said = [item for item in predictions["speech"] if (item.model_extra or {})["clip"] == clip.id]
        shown: dict[str, Prediction] = {}
        for item in said:
            shown.setdefault(family_of(item), item)
        turns = [(shown[name].instruction, shown[name].response) for name in _SHOWN if name in shown]
        path = Path(resolve_audio(clip, manifest, None))
        examples.append(Example(path, seed_clip(clip).seed, heard[clip.id], turns))
    return examples
