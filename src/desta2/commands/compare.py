"""The verbs desta2 evaluate compare and desta2 evaluate report, and how they stand beside desta2 evaluate.

`desta2 evaluate BENCHMARK` takes a name where a group would take a verb. It stays a command with its own
options and help, and hands over where its first word is one of the verbs here; the price is that options may
not come before that word, and that no benchmark can have such a name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from desta2.commands import AsJson, Verbose, emit

app = typer.Typer()
Benchmark = Annotated[
    str | None,
    typer.Option(help="Of which benchmark they are, where files are given instead of folders of runs."),
]
Tasks = Annotated[
    Path | None, typer.Option(help="dynamic-superb: a table of tasks in place of the shipped one.")
]
Names = Annotated[Path | None, typer.Option(help="dynamic-superb: further spellings of tasks, OTHER: NAME.")]


class BesideVerbs(TyperCommand):
    """The command of `desta2 evaluate`: with `compare` or `report` as its first word it is that verb."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the verb that is named, or else of this command."""
        verbs = typer.main.get_group(app).commands
        if args and args[0] in verbs:
            return verbs[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@app.command()
def compare(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="Folder of a run, or its predictions: .jsonl[.gz|.zst].")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another of the same benchmark.")],
    benchmark: Benchmark = None,
    common: Annotated[
        bool,
        typer.Option("--common", help="Compare the items that both answered, where one answered more."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with plots and examples: .html.")
    ] = None,
    tasks: Tasks = None,
    names: Names = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Is A better than B? Both scores and their difference, item by item, with 95 % intervals and p-values.

    Says where a difference is within noise: where equal systems would show it too. Offline.

    Example: desta2 evaluate compare runs/mine runs/base --report compared.html
    """
    from desta2.evaluate.benchmarks import Options
    from desta2.evaluate.stored import read_stored
    from desta2.evaluate.versus import compare_runs, in_words

    options = Options(tasks, names)
    one, other = read_stored(first, benchmark), read_stored(second, benchmark)
    found = compare_runs(one, other, options, common=common)
    result, text = found.to_dict(), in_words(found)
    if report is not None:
        from desta2.evaluate.run_report import write_versus_report

        result["report"] = str(write_versus_report(found, report, options))
        text = f"{text}\nreport: {report}"
    emit(result, as_json, text)


@app.command()
def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, or predictions: .jsonl[.gz|.zst].")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: report.html in RUN.")
    ] = None,
    benchmark: Benchmark = None,
    tasks: Tasks = None,
    names: Names = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Write a run's page again: plots, scores, worst answers to listen to. After judging, say. Offline.

    Example: desta2 evaluate report runs/mine
    """
    from desta2.errors import InputError
    from desta2.evaluate.benchmarks import Options
    from desta2.evaluate.run_report import REPORT, write_run_report
    from desta2.evaluate.stored import NANO, read_stored

    stored = read_stored(run, benchmark)
    if output is None and (stored.benchmark == NANO or not run.is_dir()):
        reason = "a nano run has a report of its own" if stored.benchmark == NANO else f"{run} is a file"
        raise InputError(f"{reason}: say with -o FILE.html where this one shall be")
    page = write_run_report(stored, run / REPORT if output is None else output, Options(tasks, names))
    emit({"report": str(page)}, as_json, f"report: {page}")
