"""The verbs desta2 score dynamic-superb, asr, multiple-choice and text-dominance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from desta2.commands import AsJson, Verbose, emit
from desta2.commands.judging import JudgeOptions, how_judged, with_judge

if TYPE_CHECKING:
    from desta2.records import Prediction


@with_judge
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
    *,
    judging: JudgeOptions,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Accuracy per task, per dimension and on average: the label as consecutive words in the answer. Offline.

    With --judge, an LLM decides besides whether each answer means its label. A prediction has id, task,
    instruction, label and response.

    Example: desta2 score dynamic-superb evaluation/predictions.jsonl --items checked.jsonl
    """
    from desta2.errors import RunError
    from desta2.evaluate.dynamic_superb.benchmark import DynamicSuperb
    from desta2.evaluate.dynamic_superb.score import check
    from desta2.evaluate.dynamic_superb.table import load_table
    from desta2.evaluate.judging.judge import unjudged_in_words
    from desta2.evaluate.judging.labels import judge_labels
    from desta2.records import write_records

    benchmark = DynamicSuperb(load_table(tasks, names))
    predictions = _read(files)
    scores = benchmark.score(predictions)  # what is wrong with them shows before a judge is asked
    columns: dict[str, Sequence[bool | None]] = {"correct": check(predictions)}
    text = benchmark.in_words(scores)
    if judging.judge is not None:
        with judging.open(files) as opened:
            found = judge_labels(opened, predictions, judging.judge_template)
        if not found.by_id:
            raise RunError(_no_verdict(len(predictions), found.unjudged[0]))
        scores = benchmark.score(predictions, found.by_id)
        text = "\n".join([benchmark.in_words(scores), *unjudged_in_words(found.unjudged)])
        scores |= how_judged(found.facts, found.unjudged)
        columns["judged"] = found.verdicts
    if items is not None:
        rows = zip(predictions, *columns.values(), strict=True)
        write_records(items, (item.to_dict() | dict(zip(columns, said, strict=True)) for item, *said in rows))
    emit(scores, as_json, text)


@with_judge
def asr(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS", help="Predictions: .jsonl[.gz|.zst], or a folder of parts."),
    ],
    items: Annotated[
        Path | None,
        typer.Option(help="Write each prediction with the 'transcript' found in it, in order, to this file."),
    ] = None,
    *,
    judging: JudgeOptions,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Word and character error rates of transcripts, which are taken out of the answers by rules. Offline.

    With --judge, an LLM takes them out besides. A prediction has id, task, instruction, response, and what
    was said as its label.

    Example: desta2 score asr evaluation/predictions.jsonl
    """
    from desta2.errors import RunError
    from desta2.evaluate.asr import Asr, extract_transcript
    from desta2.evaluate.judging.judge import unjudged_in_words
    from desta2.evaluate.judging.transcripts import judge_transcripts
    from desta2.records import write_records

    benchmark = Asr()
    predictions = _read(files)
    scores = benchmark.score(predictions)  # what is wrong with them shows before a judge is asked
    text = benchmark.in_words(scores)
    rows = [{**item.to_dict(), "transcript": extract_transcript(item.response)} for item in predictions]
    if judging.judge is not None:
        with judging.open(files) as opened:
            found = judge_transcripts(opened, predictions, judging.judge_template)
        if not found.by_id:
            raise RunError(_no_verdict(len(predictions), found.unjudged[0]))
        scores = benchmark.score(predictions, found.by_id)
        text = "\n".join([benchmark.in_words(scores), *unjudged_in_words(found.unjudged)])
        scores |= how_judged(found.facts, found.unjudged)
        rows = [{**row, "judged": found.by_id.get(row["id"])} for row in rows]
    if items is not None:
        write_records(items, rows)
    emit(scores, as_json, text)


def multiple_choice(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS", help="Predictions: .jsonl[.gz|.zst], or a folder of parts."),
    ],
    items: Annotated[
        Path | None,
        typer.Option(help="Write each prediction with its 'choice' and 'correct', in order, to this file."),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Accuracy of multiple choice, overall and by group; choices are read by rule. Offline.

    A prediction has id, task, instruction, response, its options as they were shown, and the right one as its
    label.

    Example: desta2 score multiple-choice evaluation/predictions.jsonl
    """
    from desta2.evaluate.multiple_choice.benchmark import MultipleChoice
    from desta2.evaluate.multiple_choice.choose import LETTERS
    from desta2.evaluate.multiple_choice.score import choice_of, is_right
    from desta2.records import write_records

    benchmark = MultipleChoice()
    predictions = _read(files)
    scores = benchmark.score(predictions)
    if items is not None:
        found = ((item, choice_of(item)) for item in predictions)
        write_records(
            items,
            (
                {
                    **item.to_dict(),
                    "choice": None if choice.place is None else LETTERS[choice.place],
                    "correct": is_right(item, choice),
                }
                for item, choice in found
            ),
        )
    emit(scores, as_json, benchmark.in_words(scores))


def text_dominance(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="PREDICTIONS", help="Predictions: .jsonl[.gz|.zst], or a folder of parts."),
    ],
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """What the audio adds to the transcript, and whether answers follow the voice or the words. Offline.

    Takes the predictions of: desta2 evaluate text-dominance

    Example: desta2 score text-dominance evaluation/predictions.jsonl
    """
    from desta2.evaluate.text_dominance.benchmark import TextDominance

    benchmark = TextDominance()
    scores = benchmark.score(_read(files))
    emit(scores, as_json, benchmark.in_words(scores))


def _no_verdict(count: int, first: Mapping[str, str]) -> str:
    return (
        f"the judge gave no verdict on any of {count} answers; the first, {first['id']}: {first['reason']}: "
        f"{first['answer'][:80]!r}"
    )


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
