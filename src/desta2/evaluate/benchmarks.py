"""The benchmarks that a system can be run on, by name.

A benchmark is a module, or an object, with four functions. That is all that the runner needs to know, so a
further one is a line here.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from desta2.errors import InputError
from desta2.evaluate.rows import Row
from desta2.evaluate.runner import Run, answer, write_scores
from desta2.evaluate.systems import Question, System
from desta2.records import Prediction


class Benchmark(Protocol):
    """What is asked, and how the answers are scored."""

    def questions(self, data: Path) -> Iterator[Question]:
        """The questions in a fixed order. What is wrong with `data` as a whole shows at the call.

        Raises:
            InputError: the data are not there or not the benchmark's.
        """
        ...

    def score(self, predictions: Sequence[Prediction]) -> dict[str, Any]:
        """Scores as JSON values; every score is {value, low, high, n}.

        Raises:
            InputError: there is nothing to score, or a prediction cannot be scored.
        """
        ...

    def rows(self, predictions: Sequence[Prediction]) -> list[Row]:
        """The same scores item by item, as a table from the top to its parts.

        Predictions without a verdict that they need (of a judge) are in no row.

        Raises:
            InputError: a prediction cannot be scored.
        """
        ...

    def in_words(self, scores: Mapping[str, Any]) -> str:
        """The scores as a table for people."""
        ...


@dataclass(frozen=True)
class Options:
    """What a user may change of a benchmark.

    Attributes:
        tasks: dynamic-superb: a table of tasks in place of the shipped one.
        names: dynamic-superb: a file with further spellings of tasks.
        shuffles: multiple-choice: in how many orders of its options each item is asked.
    """

    tasks: Path | None = None
    names: Path | None = None
    shuffles: int = 1


_NONE = Options()


def _dynamic_superb(options: Options) -> Benchmark:
    _allow(options, "dynamic-superb", "tasks", "names")
    from desta2.evaluate.dynamic_superb.benchmark import DynamicSuperb
    from desta2.evaluate.dynamic_superb.table import load_table

    return DynamicSuperb(load_table(options.tasks, options.names))


def _speech_ifeval(options: Options) -> Benchmark:
    from desta2.evaluate.speech_ifeval.benchmark import SpeechIfeval

    _allow(options, "speech-ifeval")
    return SpeechIfeval()


def _asr(options: Options) -> Benchmark:
    from desta2.evaluate.asr import Asr

    _allow(options, "asr")
    return Asr()


def _air_bench_chat(options: Options) -> Benchmark:
    from desta2.evaluate.air_bench_chat.benchmark import AirBenchChat

    _allow(options, "air-bench-chat")
    return AirBenchChat()


def _multiple_choice(options: Options) -> Benchmark:
    from desta2.evaluate.multiple_choice.benchmark import MultipleChoice

    _allow(options, "multiple-choice", "shuffles")
    return MultipleChoice(options.shuffles)


def _text_dominance(options: Options) -> Benchmark:
    from desta2.evaluate.text_dominance.benchmark import TextDominance

    _allow(options, "text-dominance")
    return TextDominance()


def _allow(options: Options, benchmark: str, *allowed: str) -> None:
    """Refuse options that would have no effect."""
    for option in fields(Options):
        if option.name not in allowed and getattr(options, option.name) != option.default:
            raise InputError(f"--{option.name} has no effect on the benchmark {benchmark}: leave it out")


BENCHMARKS: Mapping[str, Callable[[Options], Benchmark]] = {
    "dynamic-superb": _dynamic_superb,
    "speech-ifeval": _speech_ifeval,
    "asr": _asr,
    "air-bench-chat": _air_bench_chat,
    "multiple-choice": _multiple_choice,
    "text-dominance": _text_dominance,
}


def open_benchmark(name: str, options: Options = _NONE) -> Benchmark:
    """The benchmark of a name; InputError, with the nearest name, where there is none."""
    if name not in BENCHMARKS:
        known = ["nano", "forgetting", *BENCHMARKS]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(f"unknown benchmark {name!r}{hint}; known: {', '.join(known)}")
    return BENCHMARKS[name](options)


def evaluate(
    run: Run, benchmark: Benchmark, system: System, questions: Iterator[Question] | None = None
) -> dict[str, Any]:
    """Answer what is open of this process's share and, if no share is missing, score all of it.

    Args:
        run: what, with which data, where.
        benchmark: named by `run.benchmark`.
        system: that answers.
        questions: those of the benchmark, where they are open already.

    Returns:
        "answered" (by this call), "missing" (shares that other processes have to finish), and where none is
        missing "scores", and "results", the file that has them with all facts.

    Raises:
        InputError, RunError: see `answer` and `Benchmark`.
    """
    answered = answer(run, questions or benchmark.questions(run.data), system)
    result: dict[str, Any] = {"answered": answered, "missing": run.missing()}
    if not result["missing"]:
        predictions = list(run.predictions())
        scores = benchmark.score(predictions)
        result |= {"scores": scores, "results": str(write_scores(run.folder, scores, len(predictions)))}
    return result
