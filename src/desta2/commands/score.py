"""The verbs desta2 score BENCHMARK: scores of stored predictions, without a model.

Each benchmark is a command of its own, because what a benchmark needs besides predictions differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from desta2.commands import AsJson, Verbose, emit
from desta2.commands.judging import JudgeOptions, how_judged, with_judge
from desta2.commands.predictions import asr, dynamic_superb, multiple_choice, text_dominance
from desta2.commands.score_air_bench import air_bench_chat

if TYPE_CHECKING:
    from desta2.evaluate.speech_ifeval.responses import Judged, Verdict
    from desta2.evaluate.speech_ifeval.score import FollowScore, Forgetting

app = typer.Typer(help="Score stored predictions of a benchmark, with 95 % intervals.", no_args_is_help=True)
app.command("air-bench-chat")(air_bench_chat)
Predictions = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Responses, one JSON object a line: .jsonl[.gz|.zst].")
]
app.command("dynamic-superb")(dynamic_superb)
app.command("asr")(asr)
app.command("multiple-choice")(multiple_choice)
app.command("text-dominance")(text_dominance)


@app.command("speech-ifeval")
@with_judge
def speech_ifeval(
    files: Predictions,
    instructions: Annotated[
        Path | None, typer.Option(help="The benchmark's folder, where responses do not carry instructions.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="Write each line with its verdicts, in order, to this .jsonl file.")
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="What forgetting is measured against: a file of the reference system's responses "
            "(repeatable), or its IFrate in per cent."
        ),
    ] = None,
    *,
    judging: JudgeOptions,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Share of responses that follow their instructions: 13 rules, and stored judge answers. Offline.

    With --judge, chain-of-thought responses that have no judge's answer are judged now. Files of all three
    parts give the IFrate besides. Rules and figures: docs/evaluate.md

    Example: desta2 score speech-ifeval responses.jsonl --items verdicts.jsonl
    """
    from desta2.evaluate.judging.judge import unjudged_in_words
    from desta2.evaluate.speech_ifeval.judging import judge_reasoning, open_template
    from desta2.evaluate.speech_ifeval.responses import Instructions, read_verdicts
    from desta2.evaluate.speech_ifeval.score import (
        forgetting_from_rate,
        forgetting_from_responses,
        score_verdicts,
    )

    asked = None if instructions is None else Instructions(instructions)
    percent = _percent(reference or [])
    others = [] if percent is not None else [Path(file) for file in reference or []]
    judged: dict[str, Judged] = {}
    facts: dict[str, Any] | None = None
    if judging.judge is not None:
        with judging.open(files) as opened:
            template = open_template(judging.judge_template)
            judged = judge_reasoning([*files, *others], opened, template, asked)
            facts = {**opened.facts, "prompt_hash": template.digest}
    verdicts = [verdict for file in files for verdict in read_verdicts(file, asked, judged)]
    score = score_verdicts(verdicts)
    forgetting = None
    if percent is not None:
        forgetting = forgetting_from_rate(score, percent / 100)
    elif others:
        references = [verdict for file in others for verdict in read_verdicts(file, asked, judged)]
        forgetting = forgetting_from_responses(verdicts, references)
    if items is not None:
        _write_items(items, verdicts, facts)
    result, text = _result(score, forgetting), _in_words(score, forgetting)
    if facts is not None:
        unjudged = [
            {"id": place, "reason": said.reason, "answer": said.answer}
            for place, said in judged.items()
            if said.reason
        ]
        result |= {"judged_now": len(judged) - len(unjudged), **how_judged(facts, unjudged)}
        text = "\n".join([text, *unjudged_in_words(unjudged)])
    emit(result, as_json, text)


def _percent(reference: list[str]) -> float | None:
    """The IFrate that stands in place of files, if it does."""
    try:
        return float(reference[0].rstrip(" %")) if len(reference) == 1 else None
    except ValueError:
        return None


def _write_items(path: Path, verdicts: list[Verdict], judge: dict[str, Any] | None) -> None:
    """Write the lines with their verdicts; those of chain-of-thought tell the judge that was asked now."""
    import json

    from desta2.evaluate.speech_ifeval.checkers import REASONING
    from desta2.lines import writing

    by = {} if judge is None else {"judge": {key: judge[key] for key in ("id", "prompt_hash")}}

    with writing(path) as out:
        for verdict in verdicts:  # escaped: responses may hold lone surrogates, which UTF-8 cannot
            told = by if verdict.part == REASONING else {}
            out.write(json.dumps(verdict.to_dict() | told).encode() + b"\n")


def _result(score: FollowScore, forgetting: Forgetting | None) -> dict[str, Any]:
    from desta2.evaluate.speech_ifeval.score import to_rate

    result: dict[str, Any] = {**to_rate(score.overall)}
    result["by_checker"] = {name: to_rate(rate) for name, rate in score.by_checker.items()}
    if len(score.by_part) > 1:
        result["by_part"] = {part: to_rate(rate) for part, rate in score.by_part.items()}
    if score.if_rate is not None:
        result["if_rate"] = score.if_rate.to_dict()
    if forgetting is not None:
        comparison = forgetting.comparison
        result["forgetting"] = {
            "rate": forgetting.rate,
            "reference": forgetting.reference,
            **({} if comparison is None else comparison.to_dict()),
        }
    return result


def _in_words(score: FollowScore, forgetting: Forgetting | None) -> str:
    rates = {f"  {name}": rate for name, rate in score.by_checker.items()}
    rates = {"responses that follow": score.overall, **rates}
    if len(score.by_part) > 1:
        rates |= score.by_part
    if score.if_rate is not None:
        rates["IFrate, the mean of the three"] = score.if_rate
    lines = [
        f"{name:<42}{100 * rate.value:7.2f} %   [{100 * rate.low:.2f} … {100 * rate.high:.2f}]   n = {rate.n}"
        for name, rate in rates.items()
    ]
    if forgetting is not None:
        lines.append(
            f"{'forgetting':<42}{100 * forgetting.rate:7.2f} %   against {100 * forgetting.reference:.2f} %"
        )
        if (found := forgetting.comparison) is not None:
            noise = "; within noise" if found.within_noise else ""
            points = f"[{100 * found.low:.2f} … {100 * found.high:.2f}], p = {found.p_value:.4f}{noise}"
            lines.append(f"{'difference in points':<42}{100 * found.difference:7.2f}     {points}")
    return "\n".join(lines)
