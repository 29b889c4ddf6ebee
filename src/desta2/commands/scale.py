"""The verbs of `desta2 scale`: those of data construction over folders of shards.

Trade-off: a verb here is made of the verb itself: it has its options, and on the workers the verb is called
as the command line would call it, with a shard in place of the file. An option that a verb gains is therefore
here too; the price is that its result comes back as the JSON that it prints.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from desta2.commands import AsJson, Verbose, data, emit
from desta2.commands.respond import respond
from desta2.errors import InputError
from desta2.progress import Progress

logger = logging.getLogger(__name__)

VERBS: dict[str, Callable[..., None]] = {
    "annotate": data.annotate,
    "seed": data.seed,
    "respond": respond,
}
"""The verbs that take a file of records and write a file of records, each record by itself."""

_OWN = {"output", "processes", "as_json", "verbose"}  # options of a verb that are ours to give
_UNSETTLED = {
    "api_key_env", "batch_size", "concurrency", "data_root", "per_minute", "retries", "skip_bad", "timeout",
}  # fmt: skip
"""Options that say how the work is done, and not what comes of a good item: another run may have others."""

_PLACES = {"llm", "backbone"}  # options that may be a path, or something else
_ALONE = "Slurm"
_RAY_SLURM = "Ray, Slurm"

Shards = Annotated[str, typer.Argument(metavar="IN", help="Folder of shards, a path or a URL.")]
Output = Annotated[str, typer.Option("--output", "-o", help="Folder for the results, a path or a URL.")]
Form = Annotated[
    Literal["jsonl", "jsonl.gz", "jsonl.zst", "parquet"], typer.Option("--form", help="Form of the shards.")
]


def _engine_options(
    executor: Annotated[
        Literal["local", "ray", "slurm"], typer.Option(help="Who does the work.", rich_help_panel="Engine")
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Shards at a time; all cores, all that has room.", rich_help_panel="Engine"),
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(help="For copies, where a folder is a URL.", rich_help_panel="Engine"),
    ] = None,
    retry: Annotated[
        bool,
        typer.Option("--retry", help="Also shards of which items failed.", rich_help_panel="Engine"),
    ] = False,
    form: Form = "jsonl",
    cpus: Annotated[int, typer.Option(min=1, help="Cores for a shard.", rich_help_panel=_RAY_SLURM)] = 1,
    memory_gb: Annotated[
        int | None,
        typer.Option(min=1, help="Memory for each core, GiB; 4 on Slurm.", rich_help_panel=_RAY_SLURM),
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs for a shard.", rich_help_panel=_RAY_SLURM)] = 0,
    tasks: Annotated[
        int, typer.Option(min=1, help="Tasks of the job array.", rich_help_panel=_ALONE)
    ] = 1_000,
    partition: Annotated[str | None, typer.Option(help="Needed.", rich_help_panel=_ALONE)] = None,
    time: Annotated[str, typer.Option(help="Limit of a task.", rich_help_panel=_ALONE)] = "24:00:00",
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="More options of sbatch.", rich_help_panel=_ALONE),
    ] = None,
) -> None:
    """The options that every verb here has; never called."""


def run_verb(verb: str, options: Mapping[str, Any], source: Path, out: Path) -> dict[str, Any]:
    """Call a verb on one shard, as the command line would; what it prints with --json.

    Its progress goes to the log, a line at a time: many of them share a terminal, or a file.
    """
    function = VERBS[verb]
    first = next(iter(inspect.signature(function).parameters))
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(_Log(out.name)):
        function(**{first: source, "output": out, **options, "as_json": True})
    result = json.loads(printed.getvalue())
    assert isinstance(result, dict)
    return result


class _Log(io.TextIOBase):
    """A text stream whose lines go to the log, with the name of the shard."""

    def __init__(self, shard: str) -> None:
        self._shard, self._rest = shard, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                logger.info("%s: %s", self._shard, line)
        return len(text)


def _over_shards(verb: str) -> Callable[..., None]:
    """The verb over a folder: its own options, and those of the engines."""
    function = VERBS[verb]
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    own = [entry for entry in own if entry.name not in _OWN]
    engine = list(inspect.signature(_engine_options, eval_str=True).parameters.values())
    if both := {entry.name for entry in own} & {entry.name for entry in engine}:
        raise TypeError(f"scale {verb}: an option of the verb has a name of ours: {', '.join(both)}")

    def call(source: str, output: str, as_json: bool = False, verbose: int = 0, **given: Any) -> None:
        options = {entry.name: given.pop(entry.name) for entry in own}
        _run(verb, source, output, options, as_json=as_json, **given)

    head = inspect.signature(_frame, eval_str=True).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [head["source"], head["output"]]
        + [entry.replace(kind=keyword) for entry in [*own, *engine]]
        + [head[name].replace(kind=keyword) for name in ("as_json", "verbose")]
    )
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    call.__doc__ = (
        f"{summary.removesuffix(' Resumable.')} Of every shard of a folder. Resumable.\n\n"
        f"Example: desta2 scale {verb} {_EXAMPLES[verb]}"
    )
    call.__name__ = verb
    return call


_EXAMPLES = {
    "annotate": "clips/ -o annotated/ --executor slurm --partition cpu --tasks 64",
    "seed": "annotated/ -o seeds/",
    "respond": "seeds/ -o pairs/ --executor ray --llm meta-llama/Llama-3.1-8B-Instruct --gpus 1",
}


def _frame(source: Shards, output: Output, as_json: AsJson = False, verbose: Verbose = 0) -> None:
    """What every verb here begins and ends with; never called."""


def _run(
    verb: str, source: str, output: str, options: dict[str, Any], *, as_json: bool, retry: bool, form: str,
    scratch: Path | None, workers: int | None, **given: Any,
) -> None:  # fmt: skip
    from desta2.data.scale import Folder, scale

    options = {name: _anywhere(name, value) for name, value in options.items()}
    settled = {name: _plain(value) for name, value in options.items() if name not in _UNSETTLED}
    if "processes" in inspect.signature(VERBS[verb]).parameters:
        options["processes"] = 1  # the shards are what is done side by side
    if options.get("data_root", True) is None and "://" in output and "://" not in source:
        options["data_root"] = Path(source).absolute()  # paths stay as they are: relative to the input
    with Progress(len(Folder.of(source).shards()), f"{verb}, shards") as bar:
        summary = scale(
            partial(run_verb, verb, options), source, output, _engine(workers=workers, **given),
            suffix=f".{form}", scratch=scratch, settings={"verb": verb, **settled}, retry=retry,
            progress=bar.move_to,
        )  # fmt: skip
    result = {
        "output": output,
        "shards": summary.shards,
        "done": summary.done,
        "already_done": summary.already_done,
        "counts": dict(summary.counts),
        "examples": summary.examples,
        "job": summary.submitted and summary.submitted.job,
    }
    text = f"{output}: {summary.done} shards done, {summary.already_done} were done before"
    if summary.submitted is not None:
        job = summary.submitted
        text = (
            f"{output}: submitted {summary.shards - summary.already_done} shards as job {job.job}, "
            f"{job.tasks} tasks; script and logs are in {job.folder}. When it has ended, the same command "
            "does what is left"
        )
    counts = ", ".join(f"{name} {number}" for name, number in summary.counts.items())
    lines = [text, *([counts] if counts else []), *(f"skipped: {entry}" for entry in summary.examples)]
    emit(result, as_json, "\n".join(lines))


def _engine(
    *, executor: str, workers: int | None, cpus: int, memory_gb: int | None, gpus: int, tasks: int,
    partition: str | None, time: str, sbatch: list[str] | None,
) -> Any:  # fmt: skip
    from desta2.data.scale import Local, Ray, Slurm

    if executor == "local":
        return Local(workers)
    if executor == "ray":
        return Ray(workers, cpus, gpus, memory_gb and memory_gb * cpus)
    if partition is None:
        raise InputError("--executor slurm needs --partition, the name of one (`sinfo` lists them)")
    if wrong := [entry for entry in sbatch or () if "=" not in entry]:
        raise InputError(f"given --sbatch {wrong[0]}, expected NAME=VALUE, for example account=speech")
    more = dict(entry.lstrip("-").partition("=")[::2] for entry in sbatch or ())
    return Slurm(partition, time, tasks, workers, cpus, memory_gb or 4, gpus, more)


def _anywhere(name: str, value: Any) -> Any:
    """A path that means the same in every process: relative ones are relative to where the command runs."""
    if isinstance(value, str) and name in _PLACES and Path(value).exists():
        return str(Path(value).absolute())
    return value.absolute() if isinstance(value, Path) else value


def _plain(value: Any) -> Any:
    """An option as JSON; a file by its name and content, so that it may be moved and not be changed."""
    if isinstance(value, Path) and value.is_file():
        return f"{value.name} ({hashlib.sha256(value.read_bytes()).hexdigest()[:12]})"
    return value if isinstance(value, str | int | float | list | None) else str(value)


def shard(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="Clips or seeds: a file, or a folder of parts.")
    ],
    output: Output,
    records: Annotated[int, typer.Option(min=1, help="Records in a shard.")] = 5_000,
    form: Form = "jsonl",
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Cut a file of clips or seeds into a folder of shards, in their order.

    Example: desta2 scale shard clips.jsonl -o clips/
    """
    from desta2.data.scale import shard as cut

    with Progress(None, "cutting") as bar:
        count = cut(source, output, records, suffix=f".{form}", progress=bar.move_to)
    emit({"output": output, "shards": count}, as_json, f"{output}: {count} shards")


app = typer.Typer(
    help="Stages over folders of shards: on all cores, on a Ray cluster, on Slurm.", no_args_is_help=True
)
app.command()(shard)
for _verb in VERBS:
    app.command(name=_verb)(_over_shards(_verb))
