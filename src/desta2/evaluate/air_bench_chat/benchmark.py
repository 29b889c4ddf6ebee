"""AIR-Bench-Chat as a benchmark that a runner knows: its questions, and the scores of predictions.

The trade-off: a run without a judge is no mistake, since answering and judging may happen on two machines;
its predictions are kept and counted as unjudged, and `desta2 score air-bench-chat` judges them later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from desta2.evaluate.air_bench_chat import items
from desta2.evaluate.air_bench_chat.rows import chat_rows
from desta2.evaluate.air_bench_chat.score import BENCHMARK, score_answers
from desta2.evaluate.judging.judge import Judge, unjudged_in_words
from desta2.evaluate.rows import Row
from desta2.evaluate.systems import Question
from desta2.records import Prediction


class AirBenchChat:
    """The benchmark.

    Args:
        judge: entered; None leaves predictions unjudged.
        template: of the judge's prompt; None for ours.
    """

    def __init__(self, judge: Judge | None = None, template: Path | None = None) -> None:
        self._judge, self._template = judge, template

    def questions(self, data: Path) -> Iterator[Question]:
        """See `items.questions`."""
        return items.questions(data)

    def score(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """Judge and score predictions; see `score_answers`.

        Raises:
            InputError, RunError: as `score_answers`; or a prediction does not carry its item.
        """
        lines = ((f"prediction {item.id!r}", item.to_dict()) for item in predictions)
        answers = items.match_answers(lines)
        if self._judge is None:
            unjudged = {"n": len(answers), "verdicts": []}
            return {"benchmark": BENCHMARK, "categories": {}, "average": None, "n": 0, "unjudged": unjudged}
        return score_answers(answers, self._judge, None, self._template)[0]

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """See `chat_rows`."""
        return chat_rows(predictions)

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """A line for each category, the average and each task; and what is not scored."""
        return in_words(scores)


def in_words(scores: Mapping[str, Any]) -> str:
    """The result of `score_answers` for people."""
    unjudged = scores["unjudged"]
    if not scores["n"]:
        return f"{unjudged['n']} answers need a judge: desta2 score {BENCHMARK} PREDICTIONS --judge URL"
    rows = dict(scores["categories"])
    if scores["average"] is not None:
        rows["average"] = scores["average"]
    rows |= {f"  {task}": found for task, found in scores["by_task"].items()}
    lines = [f"{'':<32}{'score':>6}   {'95 % interval':<16}{'reference':>9}   {'win rate':>9}        n"]
    lines += [_line(name, found) for name, found in rows.items()]
    favour = scores["position_favour"]
    between = f"[{favour['low']:+.2f} … {favour['high']:+.2f}]"
    lines.append(f"the judge's favour for the first place: {favour['value']:+.2f} {between}")
    if scores["missing"]:
        lines.append(f"{scores['missing']} items have no answer and are not scored")
    if unjudged["n"]:
        lines.append(f"{unjudged['n']} answers could not be judged and are not scored")
        lines += unjudged_in_words(unjudged["verdicts"])
    judge = scores["judge"]
    return "\n".join([*lines, f"judge {judge['id']}, prompt {judge['prompt_hash'][:12]}"])


def _line(name: str, found: Mapping[str, Any]) -> str:
    mark, reference, wins = found["score"], found["reference"], found["win_rate"]
    between, won = f"[{mark['low']:.2f} … {mark['high']:.2f}]", 100 * wins["value"]
    numbers = f"{mark['value']:6.2f}   {between:<16}{reference['value']:9.2f}   {won:7.1f} %{mark['n']:9}"
    return f"{name:<32}{numbers}"
