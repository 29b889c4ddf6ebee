"""The verb desta2 score air-bench-chat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from desta2.commands import AsJson, Verbose, emit
from desta2.commands.judging import JudgeOptions, with_judge

if TYPE_CHECKING:
    from desta2.evaluate.air_bench_chat.judging import Comparison


@with_judge
def air_bench_chat(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Answers, one JSON object a line: .jsonl[.gz|.zst].")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="The benchmark's folder with Chat_meta.json: for lines that do not carry the items, and to "
            "count items without answer."
        ),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="Write each line with its marks, in order, to this .jsonl file.")
    ] = None,
    *,
    judging: JudgeOptions,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Marks of 1 to 10 by an LLM as judge, each answer against the reference in both orders. Resumable.

    Example: desta2 score air-bench-chat answers.jsonl --data AIR-Bench/Chat --judge http://localhost:8000/v1
    """
    from desta2.evaluate.air_bench_chat.benchmark import in_words
    from desta2.evaluate.air_bench_chat.items import read_answers, read_items
    from desta2.evaluate.air_bench_chat.score import score_answers

    known = None if data is None else read_items(data)
    answers = read_answers(files, known)
    with judging.open(files) as opened:
        result, compared = score_answers(answers, opened, known, judging.judge_template)
    if items is not None:
        _write_items(items, compared, result["judge"])
    emit(result, as_json, in_words(result))


def _write_items(path: Path, compared: list[Comparison], judge: dict[str, Any]) -> None:
    import json

    from desta2.lines import writing

    by = {"judge": {key: judge[key] for key in ("id", "prompt_hash")}}

    with writing(path) as out:
        for found in compared:  # escaped: responses may hold lone surrogates, which UTF-8 cannot
            out.write(json.dumps(found.to_dict() | by).encode() + b"\n")
