"""The verbs desta2 score dynamic-superb and desta2 score asr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from desta2.commands import AsJson, Verbose, emit

if TYPE_CHECKING:
    from desta2.records import Prediction


def dynamic_superb(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS", help="Predictions: .jsonl[.gz|.zst], or a folder of parts."),
    ],
    items: Annotated[
        Path | None,
        typer.Option(help="Write each prediction with 'correct', in order, to this .jsonl file."),
    ] = None,
    tasks: Annotated[
        Path | None, typer.Option(help="A table of tasks in place of the shipped one: .yaml.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="Further spellings of tasks, OTHER: NAME, in a .yaml file.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Accuracy per task, per dimension and on average: the label as consecutive words in the answer. Offline.

    A prediction has id, task, instruction, label and response.

    Example: desta2 score dynamic-superb evaluation/predictions.jsonl --items checked.jsonl
    """
    from desta2.evaluate.dynamic_superb.benchmark import DynamicSuperb
    from desta2.evaluate.dynamic_superb.score import check
    from desta2.evaluate.dynamic_superb.table import load_table
    from desta2.records import write_records

    benchmark = DynamicSuperb(load_table(tasks, names))
    predictions = _read(files)
    scores = benchmark.score(predictions)
    if items is not None:
        checked = zip(predictions, check(predictions), strict=True)
        write_records(items, ({**item.to_dict(), "correct": right} for item, right in checked))
    emit(scores, as_json, benchmark.in_words(scores))


def asr(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS", help="Predictions: .jsonl[.gz|.zst], or a folder of parts."),
    ],
    items: Annotated[
        Path | None,
        typer.Option(help="Write each prediction with the 'transcript' found in it, in order, to this file."),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Word and character error rates of transcripts, which are taken out of the answers by rules. Offline.

    A prediction has id, task, instruction, response, and what was said as its label.

    Example: desta2 score asr evaluation/predictions.jsonl
    """
    from desta2.evaluate.asr import Asr, extract_transcript
    from desta2.records import write_records

    benchmark = Asr()
    predictions = _read(files)
    scores = benchmark.score(predictions)
    if items is not None:
        found = ({**item.to_dict(), "transcript": extract_transcript(item.response)} for item in predictions)
        write_records(items, found)
    emit(scores, as_json, benchmark.in_words(scores))


def _read(files: list[Path]) -> list[Prediction]:
    """The predictions of all files; an id that is in two of them is one answer too many."""
    from desta2.errors import InputError
    from desta2.records import Prediction, read_records

    places: dict[str, Path] = {}
    predictions = []
    for file in files:
        for item in read_records(file, Prediction):
            if item.id in places:
                raise InputError(f"{item.id!r} is in {places[item.id]} and in {file}: give each answer once")
            places[item.id] = file
            predictions.append(item)
    return predictions
